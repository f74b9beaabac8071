"""Floods of names that nobody has seen: how much memory they take, and what a well-behaved caller feels.

Three windows a flood, with the same load of 64 calls in flight: before it comes from 32 agents, in the flood every call
is somebody or something new, afterwards nothing comes. What is compared is therefore not a busy service with an idle
one, but new names with known ones.
"""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.bench import policies
from tests.bench.lab import Lab, Subject, decode
from tests.bench.load import Load
from tests.bench.processes import on, output_of, rss
from tests.bench.question import HOLE, Question, Verdict, mixed, tool_call
from tests.bench.samples import Samples, Spread

SUITE = "flood"
RSS, GROWTH = "RSS MiB", "RSS grown MiB"
P99_IDLE, P99_BEFORE, P99_DURING = "p99 alone µs", "p99 before µs", "p99 during µs"
PAUSE = 0.004  # seconds between the calls of the well-behaved one


class Distinct(enum.Enum):
    """What is new in every call of a flood."""

    PRINCIPALS = "principals"
    SESSIONS = "sessions"
    TOOLS = "tool names"
    IDS = "ids"


def question(of: Distinct) -> Question:
    """A call in which this is a number that is different every time."""
    if of is Distinct.PRINCIPALS:
        return tool_call(subject=f"agent-{HOLE}")
    if of is Distinct.SESSIONS:
        return tool_call(session=f"session-{HOLE}")
    if of is Distinct.TOOLS:
        return tool_call(f"tool_{HOLE}", verdict=Verdict(False, "default_denied", 200))
    return tool_call(number=HOLE)


def run(lab: Lab) -> None:
    """Each flood on a service of its own, which had its share of ordinary calls before."""
    for of in Distinct:
        subject = lab.service(f"flood-{of.name.lower()}", policies.policies())
        alone = well_behaved(lab, subject, mixed()[:1], seconds=lab.seconds)
        # As many calls as its own tables keep anyway: what they take is no growth by the flood.
        ordinary = 3 * lab.seconds if lab.quick else 15
        before, _ = beside(lab, subject, mixed(), ["--seconds", str(ordinary)], ordinary)
        memory = rss(subject.child.pid)
        during, flooded = beside(lab, subject, [question(of)], ["--calls", str(lab.flood)], 0.0)
        grown = rss(subject.child.pid) - memory
        figures = {RSS: memory, GROWTH: grown, P99_IDLE: alone.p99, P99_BEFORE: before.p99, P99_DURING: during.p99}
        lab.record(SUITE, of.value, 0, {**figures, "calls": flooded.calls, "calls/s": flooded.rate})
        lab.say(f"{flooded.calls:,} {of.value}: +{grown:.1f} MiB, p99 {before.p99:,.0f} -> {during.p99:,.0f} µs")
        subject.child.stop()


def well_behaved(lab: Lab, subject: Subject, asked: Sequence[Question], *, seconds: float) -> Load:
    """One call at a time, with pauses."""
    return lab.ask(subject, asked, in_flight=1, seconds=seconds, flags=["--pause", str(PAUSE)])


def beside(
    lab: Lab, subject: Subject, flood: Sequence[Question], flags: Sequence[str], seconds: float
) -> tuple[Load, Load]:
    """What a well-behaved caller gets while others load the service, and what these get."""
    return beside_of(lab, subject, mixed()[:1], flood, flags, seconds)


def beside_of(
    lab: Lab,
    subject: Subject,
    asked: Sequence[Question],
    flood: Sequence[Question],
    flags: Sequence[str],
    seconds: float,
) -> tuple[Load, Load]:
    """As `beside`, with what the well-behaved caller asks."""
    arguments = [*lab.asking(subject, flood), *flags]
    caller = [*lab.asking(subject, asked, in_flight=1), "--pause", str(PAUSE), "--seconds", str(seconds or 1e6)]
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(output_of, "tests.bench.load", arguments, lab.cores.rest)
        with on(lab.cores.rest):
            polite = subprocess.Popen([sys.executable, "-m", "tests.bench.load", *caller], stdout=subprocess.PIPE)  # noqa: S603
        flooded = decode(loading.result())
        polite.terminate()
        output, _ = polite.communicate()
    return decode(output), flooded


def growth(of: Distinct) -> Callable[[Samples], Spread | None]:
    """How much more memory there is after a flood, in MiB."""
    return lambda samples: samples.spread(SUITE, of.value, GROWTH)


def harm(of: Distinct) -> Callable[[Samples], Spread | None]:
    """p99 of the well-behaved caller during a flood over the one before."""

    def measured(samples: Samples) -> Spread | None:
        during = samples.spread(SUITE, of.value, P99_DURING)
        before = samples.spread(SUITE, of.value, P99_BEFORE)
        return Spread.of([during.median / before.median]) if during and before and before.median else None

    return measured
