"""Samples -> tables for people: each suite's variants, and every target with what was found. Measures nothing."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.bench.samples import Samples, Spread
from tests.bench.suites import engine, envoy, flood, idle, parts, scale, size, transport
from tests.bench.targets import Judged, judge


def show(samples: Samples, console: Console) -> None:
    """Everything that was measured."""
    for suite, base in ((transport.SUITE, transport.MEMORY), (envoy.SUITE, envoy.SERVICE)):
        if samples.variants(suite, "calls/s"):
            console.print(_variants(samples, suite, base))
    for suite in (engine.SUITE, scale.SUITE):
        for figure in ("p50 µs", "p99 µs", "calls/s"):
            if samples.variants(suite, figure):
                console.print(_scale(samples, suite, figure))
    for suite in (parts.SUITE, size.SUITE, flood.SUITE, idle.SUITE):
        figures = list(dict.fromkeys(one.figure for one in samples.all if one.suite == suite))
        if figures:
            console.print(_figures(samples, suite, figures))
    console.print(_targets(judge(samples)))


def _variants(samples: Samples, suite: str, base: str) -> Table:
    figures = list(dict.fromkeys(one.figure for one in samples.all if one.suite == suite))
    table = Table(
        title=f"{suite}: medians, and calls/s over {base} (min · median · max of rounds)", title_justify="left"
    )
    table.add_column("variant")
    for figure in (*figures, "ratio"):
        table.add_column(figure, justify="right")
    for variant in samples.variants(suite, "calls/s"):
        ratio = samples.ratio(suite, variant, base, "calls/s")
        cells = [_median(samples.spread(suite, variant, figure)) for figure in figures]
        table.add_row(variant, *cells, spread_text(ratio))
    return table


def _scale(samples: Samples, suite: str, figure: str) -> Table:
    variants = samples.variants(suite, figure)
    steps = sorted({step for variant in variants for step in samples.scale(suite, variant, figure)})
    table = Table(title=f"{suite}: {figure}", title_justify="left")
    table.add_column("variant")
    for step in (*map(str, steps), "last over first"):
        table.add_column(step, justify="right")
    for variant in variants:
        cells = [_median(samples.spread(suite, variant, figure, step)) for step in steps]
        ratio = samples.ratio(suite, variant, variant, figure, at=steps[-1], base_at=steps[0])
        table.add_row(variant, *cells, spread_text(ratio))
    return table


def _figures(samples: Samples, suite: str, figures: list[str]) -> Table:
    table = Table(title=suite, title_justify="left")
    table.add_column("")
    for figure in figures:
        table.add_column(figure, justify="right")
    for variant in samples.variants(suite, figures[0]):
        table.add_row(variant, *(_median(samples.spread(suite, variant, figure)) for figure in figures))
    return table


def _targets(judged: list[Judged]) -> Table:
    table = Table(title="targets (min · median · max of rounds; the median counts)", title_justify="left")
    for heading in ("figure", "target", "found", ""):
        table.add_column(heading)
    for one in judged:
        if one.met is not None:
            table.add_row(one.target.figure, one.target.text, spread_text(one.found), "met" if one.met else "NOT MET")
    return table


def markdown(samples: Samples) -> str:
    """The targets as a table for a README."""
    lines = ["| figure | target | min · median · max | |", "|---|---|---|---|"]
    for one in judge(samples):
        met = {True: "met", False: "**not met**", None: "not measured"}[one.met]
        lines.append(f"| {one.target.figure} | {one.target.text} | {spread_text(one.found)} | {met} |")
    return "\n".join(lines) + "\n"


def spread_text(spread: Spread | None) -> str:
    """`0.91 · 0.95 · 1.02`, one number where all are the same, "" for none."""
    if spread is None:
        return ""
    if spread.low == spread.high:
        return _number(spread.median)
    return " · ".join(map(_number, (spread.low, spread.median, spread.high)))


def _median(spread: Spread | None) -> str:
    return "" if spread is None else _number(spread.median)


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
