"""Who calls during a long run: agents that behave, the corpus of tricks, ever new names, and callers that hang up.

Each is a load generator of its own, which compares every verdict; it runs for some seconds and is followed by the next,
so that connections come and go. Knows nothing of what happens to the service meanwhile.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

from tests.bench import question
from tests.bench.lab import Lab, Subject, decode
from tests.bench.processes import ProgramError, on
from tests.bench.question import HOLE, Question, Verdict
from tests.bench.suites import flood
from tests.support.corpus import cases, check_request

SEGMENT = 8.0  # seconds of one load generator
_EXPECTED = {"allow": True, "deny": False, "either": None}
_GARBAGE = (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(512), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 64)


def corpus() -> list[Question]:
    """Every request of the corpus with its verdict."""
    return [
        Question.of(check_request(case.http, case.policy, case.check_request, stream=HOLE), _verdict(case.expect))
        for case in cases()
    ]


def _verdict(expected: str) -> Verdict:
    return Verdict(_EXPECTED[expected])


class Crowd:
    """All callers of one service."""

    def __init__(self, lab: Lab, subject: Subject) -> None:
        self._lab = lab
        self._subject = subject
        self._streams: Mapping[str, Iterator[tuple[Sequence[Question], tuple[str, ...]]]] = {
            "agents": cycle([(question.mixed(), ("--in-flight", "8"))]),
            "corpus": cycle([(corpus(), ("--in-flight", "8"))]),
            "new names": cycle(
                [([flood.question(of)], ("--in-flight", "2", "--pause", "0.002")) for of in flood.Distinct]
            ),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._idle: list[socket.socket] = []
        self.calls = 0
        self.hung_up = 0

    def tend(self) -> None:
        """Count what has ended, start what is to follow. Raises ProgramError where a verdict was wrong."""
        for name, stream in self._streams.items():
            if name in self._running and self._running[name].poll() is None:
                continue
            self._count(name)
            questions, flags = next(stream)
            self._running[name] = self._start(questions, "--seconds", str(SEGMENT), *flags)

    def misbehave(self) -> None:
        """Say what is no gRPC, connect and say nothing, and hang up with calls in flight."""
        for line in self._idle:
            line.close()
        self._idle = [self._connection() for _ in range(20)]
        for garbage in _GARBAGE:
            with self._connection() as line:
                line.sendall(garbage)
        hasty = self._start(question.mixed(), "--seconds", "60", "--in-flight", "64")
        try:
            hasty.wait(1.0)
        except subprocess.TimeoutExpired:
            hasty.kill()
            self.hung_up += 1
        hasty.communicate()

    def leave(self) -> None:
        """Let what runs come to its end. Raises ProgramError where a verdict was wrong."""
        for line in self._idle:
            line.close()
        self._idle = []
        for process in self._running.values():
            process.terminate()
        for name in list(self._running):
            self._count(name)

    def end(self) -> None:
        """Kill whatever still runs."""
        for process in self._running.values():
            process.kill()
            process.communicate()
        self._running.clear()

    def _count(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        output, errors = process.communicate()
        if process.returncode == -signal.SIGTERM:
            return  # told to leave before it had begun
        if process.returncode:
            raise ProgramError(f"{name}: {errors.decode(errors='replace').strip()}")
        self.calls += decode(output).calls

    def _start(self, questions: Sequence[Question], *flags: str) -> subprocess.Popen[bytes]:
        arguments = [*self._lab.asking(self._subject, questions), *flags]
        command = [sys.executable, "-m", "tests.bench.load", *arguments]
        with on(self._lab.cores.rest):
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603

    def _connection(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(5)
        line.connect(str(Path(self._subject.socket)))
        return line
