"""`Engine.check` alone, for policies of every size: how its time depends on tools, files and rules."""

from __future__ import annotations

import msgspec

from tests.bench.lab import Lab
from tests.bench.policies import Shape
from tests.bench.processes import output_of

SUITE = "engine"
SIZES = (10, 100, 1000)
RECORDED = "audit and metrics"  # what is measured; without it: the decision alone
BARE = "decision alone"
P50, P99 = "p50 µs", "p99 µs"


class Timing(msgspec.Struct, frozen=True):
    """One pass of the probe: the latencies of one engine, in µs."""

    shape: str
    size: int
    sinks: bool
    round: int
    p50: float
    p99: float


def run(lab: Lab) -> None:
    """A program of its own on the service's core; the engines take turns in it."""
    calls = 1000 if lab.quick else 4000
    for shape in Shape:
        arguments = [shape.value, "--rounds", str(lab.rounds), "--calls", str(calls)]
        for size in SIZES:
            arguments += ["--size", str(size)]
        output = output_of("tests.bench.engine_probe", arguments, lab.cores.service)
        for timing in msgspec.json.decode(output, type=list[Timing]):
            variant = f"{timing.shape}, {RECORDED if timing.sinks else BARE}"
            lab.record(SUITE, variant, timing.round, {P50: timing.p50, P99: timing.p99}, at=timing.size)
            lab.say(f"{variant} × {timing.size}: p50 {timing.p50:.1f} µs, p99 {timing.p99:.1f} µs")
