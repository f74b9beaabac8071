"""Samples -> the figures that this project promises, each beside its target, and whether it was met.

A figure that was not measured in a run is not judged. Medians of ratios within a round are what counts.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.policies import Shape
from tests.bench.samples import Samples, Spread
from tests.bench.suites import engine, envoy, flood, idle, size, transport


class Bound(enum.Enum):
    """Which side of the target is good."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Target:
    """One promise. `measure` gives the figure of a run, None where the run has none."""

    figure: str
    bound: Bound
    value: float
    unit: str
    measure: Callable[[Samples], Spread | None]

    @property
    def text(self) -> str:
        """`≤ 30 µs`."""
        return f"{self.bound.value} {self.value:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Judged:
    """A target and what a run says of it; `met` is None where it says nothing."""

    target: Target
    found: Spread | None

    @property
    def met(self) -> bool | None:
        """By the median."""
        if self.found is None:
            return None
        if self.target.bound is Bound.AT_MOST:
            return self.found.median <= self.target.value
        return self.found.median >= self.target.value


def _engine(shape: Shape) -> str:
    return f"{shape.value}, {engine.RECORDED}"


def _growth(shape: Shape) -> Callable[[Samples], Spread | None]:
    def measured(samples: Samples) -> Spread | None:
        variant = _engine(shape)
        return samples.ratio(engine.SUITE, variant, variant, engine.P50, at=1000, base_at=10)

    return measured


TARGETS: Sequence[Target] = (
    Target(
        "`Engine.check`, allowed, arguments schema, one limit, audit and metrics: p50",
        Bound.AT_MOST,
        30,
        "µs",
        lambda samples: samples.spread(engine.SUITE, _engine(Shape.TOOLS), engine.P50, 10),
    ),
    *(
        Target(f"p50 with 1000 {shape.value} over p50 with 10", Bound.AT_MOST, 1.1, "×", _growth(shape))
        for shape in Shape
    ),
    Target(
        "calls/s over a unix socket, 64 in flight, over the same on grpc.aio",
        Bound.AT_LEAST,
        3,
        "×",
        lambda samples: samples.ratio(transport.SUITE, transport.MEMORY, transport.GRPCIO, transport.RATE),
    ),
    Target(
        "CPU of a call over the same on grpc.aio",
        Bound.AT_MOST,
        0.4,
        "×",
        lambda samples: samples.ratio(transport.SUITE, transport.MEMORY, transport.GRPCIO, transport.CPU),
    ),
    Target("CPU of a call over Envoy's own for it", Bound.AT_MOST, 1, "×", envoy.cpu_over_envoys),
    Target(
        "through Envoy, 16 connections: calls/s over an always-OK servicer's",
        Bound.AT_LEAST,
        0.85,
        "×",
        lambda samples: samples.ratio(envoy.SUITE, envoy.SERVICE, envoy.OK, envoy.RATE),
    ),
    Target(
        "through Envoy, 1 connection: p50 added, over what an always-OK servicer adds",
        Bound.AT_MOST,
        1.15,
        "×",
        envoy.added_over_always_ok,
    ),
    Target("through Envoy, 1 connection: p99 over p50", Bound.AT_MOST, 2, "×", envoy.p99_over_p50),
    Target(
        "Valkey: calls/s, 64 in flight, over memory",
        Bound.AT_LEAST,
        0.6,
        "×",
        lambda samples: samples.ratio(transport.SUITE, transport.VALKEY, transport.MEMORY, transport.RATE),
    ),
    Target(
        f"{size.VARIANT}: start to ready",
        Bound.AT_MOST,
        6,
        "s",
        lambda samples: samples.spread(size.SUITE, size.VARIANT, size.READY),
    ),
    Target(
        f"{size.VARIANT}: a changed file is in force after",
        Bound.AT_MOST,
        100,
        "ms",
        lambda samples: samples.spread(size.SUITE, size.VARIANT, size.LIVE),
    ),
    Target(
        f"{size.VARIANT}: longest call while one file changes",
        Bound.AT_MOST,
        20_000,
        "µs",
        lambda samples: samples.spread(size.SUITE, size.VARIANT, size.WORST_ONE),
    ),
    Target(
        f"{size.VARIANT}: longest call while all change",
        Bound.AT_MOST,
        20_000,
        "µs",
        lambda samples: samples.spread(size.SUITE, size.VARIANT, size.WORST_ALL),
    ),
    *(
        Target(f"flood of distinct {of.value}: memory grows by", Bound.AT_MOST, 64, "MiB", flood.growth(of))
        for of in flood.Distinct
    ),
    *(
        Target(f"flood of distinct {of.value}: p99 of others over before", Bound.AT_MOST, 2, "×", flood.harm(of))
        for of in flood.Distinct
    ),
    Target(
        "idle: memory", Bound.AT_MOST, 90, "MiB", lambda samples: samples.spread(idle.SUITE, idle.SERVICE, idle.RSS)
    ),
    Target(
        "start to ready", Bound.AT_MOST, 1, "s", lambda samples: samples.spread(idle.SUITE, idle.SERVICE, idle.READY)
    ),
)


def judge(samples: Samples) -> list[Judged]:
    """Every target."""
    return [Judged(target, target.measure(samples)) for target in TARGETS]
