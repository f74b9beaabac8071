"""Samples -> the plots of the README, as SVG on a ground of their own, so that they read in light and in dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.policies import Shape
from tests.bench.samples import Samples
from tests.bench.suites import engine, envoy, parts, scale, transport

GROUND, INK, FAINT = "#fdfdfb", "#1f2328", "#c9cdd3"
# Okabe and Ito's colours, which people of every colour vision tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f")
LINES = (("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"))  # told apart without colour, too
REST = "HTTP/2, gRPC, event loop"
STYLE: dict[Any, Any] = {
    "figure.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "bench",  # the same samples give the same file
    "svg.fonttype": "path",
}


def draw(samples: Samples, directory: Path) -> list[Path]:
    """Draws the plots for which there are samples; gives their files."""
    drawn = []
    plots: list[tuple[str, Callable[[Samples, Axes], bool]]] = [
        ("latency-against-rules", latency_against_rules),
        ("calls-against-in-flight", calls_against_in_flight),
        ("cpu-per-call", cpu_per_call),
    ]
    directory.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, plot in plots:
            figure = Figure(figsize=(7.2, 3.6), layout="constrained")
            if plot(samples, figure.add_subplot()):
                path = directory / f"bench-{name}.svg"
                figure.savefig(path, metadata={"Date": None})
                drawn.append(path)
    return drawn


def latency_against_rules(samples: Samples, axes: Axes) -> bool:
    """p50 of `Engine.check` for each shape of a policy; the bars are the smallest and the largest of the rounds."""
    for number, shape in enumerate(Shape):
        variant = f"{shape.value}, {engine.RECORDED}"
        _line(axes, samples, (engine.SUITE, variant, engine.P50), number, shape.value)
    axes.set_xscale("log")
    axes.set(xlabel="tools, policies or rules", xticks=engine.SIZES, xticklabels=list(map(str, engine.SIZES)))
    axes.minorticks_off()
    axes.set_ylabel("p50 of a decision, µs")
    axes.set_ylim(bottom=0)
    return _finished(axes)


def calls_against_in_flight(samples: Samples, axes: Axes) -> bool:
    """Calls/s for each transport, with the service and with the least that any would do."""
    for number, variant in enumerate(scale.VARIANTS):
        _line(axes, samples, (scale.SUITE, variant, transport.RATE), number, variant)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="calls in flight", ylabel="calls/s", xticks=scale.STEPS, xticklabels=list(map(str, scale.STEPS)))
    axes.set_ylim(bottom=0)
    return _finished(axes)


def cpu_per_call(samples: Samples, axes: Axes) -> bool:
    """CPU of a call: what this service uses by part, the same on grpcio, and Envoy for the same call."""
    whole = samples.spread(transport.SUITE, transport.MEMORY, transport.CPU)
    found = {part: samples.spread(parts.SUITE, part, parts.CPU) for part in parts.PARTS}
    if whole is None or not all(found.values()):
        return False
    costs = {part: spread.median for part, spread in found.items() if spread}
    costs = {REST: max(0.0, whole.median - sum(costs.values())), **costs}
    left = 0.0
    for (part, cost), colour in zip(costs.items(), COLOURS, strict=False):
        axes.barh("this service", cost, left=left, color=colour, label=part)
        left += cost
    others = {
        "the same on grpc.aio": samples.spread(transport.SUITE, transport.GRPCIO, transport.CPU),
        "always OK": samples.spread(transport.SUITE, transport.OK_NATIVE, transport.CPU),
        "always OK on grpc.aio": samples.spread(transport.SUITE, transport.OK_GRPCIO, transport.CPU),
        "Envoy itself": samples.spread(envoy.SUITE, envoy.SERVICE, envoy.ENVOY_CPU),
    }
    for name, spread in others.items():
        if spread:
            axes.barh(name, spread.median, color=COLOURS[-1])
    axes.invert_yaxis()
    axes.set(xlabel="CPU of a call, µs")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", fontsize=8)
    return True


def _line(axes: Axes, samples: Samples, measured: tuple[str, str, str], number: int, label: str) -> None:
    steps = samples.scale(*measured)
    spreads = [spread for step in steps if (spread := samples.spread(*measured, step))]
    if not spreads:
        return
    medians = [spread.median for spread in spreads]
    below = [spread.median - spread.low for spread in spreads]
    above = [spread.high - spread.median for spread in spreads]
    marker, dashes = LINES[number]
    axes.errorbar(
        steps,
        medians,
        yerr=[below, above],
        color=COLOURS[number],
        label=label,
        marker=marker,
        linestyle=dashes,
        markersize=4,
        capsize=3,
    )


def _finished(axes: Axes) -> bool:
    if not axes.has_data():
        return False
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.legend(fontsize=8)
    return True
