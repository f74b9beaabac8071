"""Where it is measured: children that are ended with the run, their cores, and the subjects that calls are sent to.

Knows how each subject is started and how calls get to it; what is compared with what is the suites' affair.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from authz.app.demo import stack
from authz.app.demo.processes import Child, Children
from tests.bench import question
from tests.bench.load import Load
from tests.bench.processes import Cores, on, output_of
from tests.bench.question import Question
from tests.bench.samples import Sample, Samples
from tests.support.valkey_server import ValkeyServer

# Two shared cores: a call that is late because the machine is busy must not be taken for a wrong answer.
PATIENCE = ("--timeout", "2s", "--state-timeout", "1s")
START = 120.0  # seconds in which a service is ready, with 1000 policies on a machine that has other work
SERVICE = ("-m", "authz.app.cli")


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that answers Checks. `admin` is the port for operators, 0 where there is none."""

    name: str
    child: Child
    socket: Path
    admin: int = 0


@dataclass(frozen=True, slots=True)
class Lab:
    """One run: `rounds` of `seconds` each, and `flood` new names in a flood.

    `quick` asks for the shortest run that still shows everything.
    """

    children: Children
    cores: Cores
    samples: Samples
    rounds: int
    seconds: float
    quick: bool
    say: Callable[[str], None]
    cleanup: contextlib.ExitStack
    flood: int = 1_000_000
    numbers: Iterator[int] = field(default_factory=itertools.count)

    # ---------------------------------------------------------------------------------------------- subjects

    def service(self, name: str, policies: Mapping[str, str], *flags: str, program: Sequence[str] = SERVICE) -> Subject:
        """`mcp-authz serve` with these policies, audit to a file and metrics on."""
        place = self._place(name)
        audit = str(self.children.directory / f"{place}.audit")
        directory = self.write(place, policies)
        with on(self.cores.service):
            running = stack.start_service(
                self.children,
                directory,
                "--audit",
                audit,
                *PATIENCE,
                *flags,
                name=place,
                program=program,
                seconds=START,
            )
        return Subject(name, running.child, running.socket, running.admin)

    def always_ok(self, name: str, transport: str) -> Subject:
        """The servicer that allows everything."""
        place = self._place(name)
        path = self.children.directory / f"{place}.sock"
        command = [sys.executable, "-m", "tests.bench.always_ok", str(path), transport]
        with on(self.cores.service):
            child = self.children.start(place, command)
        child.until(path.is_socket)
        return Subject(name, child, path)

    def valkey(self) -> ValkeyServer:
        """A store for replicas, on the core that is not the service's."""
        with on(self.cores.rest):
            return self.cleanup.enter_context(ValkeyServer())

    def write(self, name: str, policies: Mapping[str, str]) -> Path:
        """Policy files in a directory of their own."""
        directory = self.children.directory / f"{name}.policies"
        directory.mkdir(mode=0o700)
        for file, text in policies.items():
            (directory / file).write_text(text)
        return directory

    def _place(self, name: str) -> str:
        """A file name of its own for whatever is called so."""
        return f"{next(self.numbers)}-" + "".join(char if char.isalnum() else "-" for char in name)

    # ----------------------------------------------------------------------------------------------- calls

    def ask(
        self,
        subject: Subject,
        questions: Sequence[Question],
        *,
        in_flight: int = 64,
        seconds: float = 0.0,
        warm: float = 0.3,
        also: Sequence[int] = (),
        flags: Sequence[str] = (),
    ) -> Load:
        """Load a subject; every answer is compared. Raises ProgramError at the first wrong one."""
        arguments = self.asking(subject, questions, in_flight=in_flight, also=also)
        arguments += ["--seconds", str(seconds or self.seconds), "--warm", str(warm), *flags]
        return decode(output_of("tests.bench.load", arguments, self.cores.rest))

    def asking(
        self, subject: Subject, questions: Sequence[Question], *, in_flight: int = 64, also: Sequence[int] = ()
    ) -> list[str]:
        """The arguments of the load generator, but for how long."""
        file = question.save(questions, self.children.directory / f"{self._place(subject.name)}.questions")
        watched = [part for pid in (subject.child.pid, *also) for part in ("--watch", str(pid))]
        return [str(subject.socket), str(file), "--in-flight", str(in_flight), *watched]

    def record(self, suite: str, variant: str, round_: int, figures: Mapping[str, float], *, at: int = 0) -> None:
        """Keep what one round gave."""
        for figure, value in figures.items():
            self.samples.add(Sample(suite, variant, figure, value, round_, at))


def decode(line: bytes) -> Load:
    """What the load generator printed."""
    return msgspec.json.decode(line, type=Load)
