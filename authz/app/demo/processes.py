"""Commands -> running children with their output in files, ended with the block that started them, whatever happens.

Knows nothing of what the children are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from authz.errors import AuthzError

GRACE = 5.0  # seconds from SIGTERM to SIGKILL
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)


class DemoError(AuthzError):
    """Something did not start or went away; the text says what, with the last lines it wrote."""


def _end_with_parent() -> None:
    """In the child, before exec: the kernel ends it should the parent be killed in a way that runs no code of it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One running program; `output` and `errors` are the files of its two streams."""

    def __init__(self, name: str, command: Sequence[str], directory: Path, *, pass_fds: Sequence[int] = ()) -> None:
        self.name = name
        self.output = directory / f"{name}.out"
        self.errors = directory / f"{name}.err"
        with self.output.open("ab") as output, self.errors.open("ab") as errors:
            self.process = subprocess.Popen(  # noqa: S603 - the commands are this package's own
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C is for the parent, which ends the children in order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def until(self, ready: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait until `ready()` is true; a ConnectionError or a missing file counts as not yet. Raises DemoError."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if ready():
                    return
            if not self.alive():
                raise DemoError(f"{self.name}: ended with exit code {self.process.returncode}{self._last_words()}")
            if time.monotonic() > deadline:
                raise DemoError(f"{self.name}: not ready after {seconds:g} s{self._last_words()}")
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send a signal to this child alone."""
        os.kill(self.pid, number)

    def stop(self) -> int:
        """SIGTERM, then SIGKILL after `GRACE`; gives the exit code, negative for a signal."""
        if self.alive():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(GRACE)
            self.process.kill()
        return self.process.wait()

    def _last_words(self) -> str:
        lines = [*_tail(self.output), *_tail(self.errors)]
        return ":\n" + "\n".join(f"  {line}" for line in lines) if lines else ", without a word"


def _tail(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-10:]


class Children:
    """All children of one run. Leaving the block stops them, the last one first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> Child:
        child = Child(name, command, self.directory, pass_fds=pass_fds)
        self._children.append(child)
        return child

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._children:
            self._children.pop().stop()
