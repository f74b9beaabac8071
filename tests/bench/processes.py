"""Programs on cores of their own, and what the kernel knows of them: CPU time, memory, open files, threads.

Knows nothing of what they do. Whoever starts a child inside `on` gives it those cores: threads, too, inherit them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores the service has, and which everything else: the same where the machine has one, or pinning is off."""

    service: frozenset[int]
    rest: frozenset[int]

    @classmethod
    def shared_out(cls, cores: frozenset[int], *, pin: bool = True) -> Cores:
        """The last core for the service alone."""
        if len(cores) < 2 or not pin:
            return cls(cores, cores)
        alone = frozenset({max(cores)})
        return cls(alone, cores - alone)

    @property
    def pinned(self) -> bool:
        """Whether the service has a core of its own."""
        return self.service != self.rest


@contextlib.contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """What is started inside runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class ProgramError(Exception):
    """A program of the bench ended otherwise than with 0; the text is what it said."""


def output_of(module: str, arguments: Sequence[str], cores: frozenset[int]) -> bytes:
    """Run `python -m module` to its end; gives its stdout. Raises ProgramError."""
    with on(cores):
        done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise ProgramError(f"{module}: exit code {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def cpu_seconds(pid: int) -> float:
    """CPU time that all threads of a process have used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def rss(pid: int) -> float:
    """Resident memory in MiB."""
    return float(psutil.Process(pid).memory_info().rss / MIB)


def open_files(pid: int) -> int:
    """File descriptors, sockets among them."""
    return int(psutil.Process(pid).num_fds())


def threads(pid: int) -> int:
    """Threads."""
    return int(psutil.Process(pid).num_threads())


def descriptors(pid: int) -> list[str]:
    """What the file descriptors are, a line each."""
    files = (os.readlink(entry) for entry in os.scandir(f"/proc/{pid}/fd"))
    connections = psutil.Process(pid).net_connections("all")
    return sorted(files) + [f"{one.family.name} {one.laddr} {one.raddr} {one.status}" for one in connections]
