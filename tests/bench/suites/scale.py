"""Calls/s and latency against the number of calls in flight: both transports, with the service and without."""

from __future__ import annotations

from tests.bench.lab import Lab
from tests.bench.suites import transport

SUITE = "in flight"
STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
VARIANTS = (transport.MEMORY, transport.GRPCIO, transport.OK_NATIVE, transport.OK_GRPCIO)


def run(lab: Lab) -> None:
    """All variants in turn at each number, `rounds` times."""
    subjects = transport.start(lab, VARIANTS)
    for round_ in range(lab.rounds):
        for number in STEPS:
            for subject, questions in subjects:
                loaded = lab.ask(subject, questions, in_flight=number, seconds=lab.seconds / 3)
                lab.record(SUITE, subject.name, round_, transport.figures(loaded, subject), at=number)
        lab.say(f"round {round_ + 1}")
    for subject, _ in subjects:
        subject.child.stop()
