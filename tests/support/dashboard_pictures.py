"""`python tests/support/dashboard_pictures.py docs/images`: the README's pictures of the dashboard.

Drawn from the committed JSON with what a real Prometheus answers to its queries; Grafana draws them prettier.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from watched import Prometheus, filled, watching

from k8s.monitoring.dashboards import DASHBOARD

SECONDS = 40  # of traffic before the faults; half as much during them and after
SHOWN = 110
PICTURES = {
    "overview": ("Overview", "Rate limits", "Reasons"),
    "latency": ("Latency", "Envoy's side"),
    "state": ("Policies", "Store of limits and approvals", "Approvals", "Identity and TLS"),
}
UNIT = {"reqps": "/s", "s": " s", "ms": " ms", "percentunit": "", "short": "", "bytes": " B"}
CELL = 0.62, 0.34  # inches of one cell of Grafana's grid
COLOUR = {"green": "#73bf69", "red": "#f2495c"}
INK, FAINT, PAPER, PLOT = "#d8d9da", "#33363c", "#111217", "#181b1f"


def rows(board: Mapping[str, Any]) -> Mapping[str, Sequence[dict[str, Any]]]:
    """The panels of the dashboard by the title of their row."""
    found: dict[str, list[dict[str, Any]]] = {}
    for panel in board["panels"]:
        if panel["type"] == "row":
            found[panel["title"]] = []
        else:
            found[list(found)[-1]].append(panel)
    return found


def named(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """What a series is called."""
    text = target.get("legendFormat") or ", ".join(f"{name}={value}" for name, value in labels.items())
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), text)


def picture(prometheus: Prometheus, panels: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw these panels where the dashboard has them."""
    places = _together([panel["gridPos"] for panel in panels])
    height = max(place["y"] + place["h"] for place in places)
    figure = plt.figure(figsize=(24 * CELL[0], height * CELL[1]), facecolor=PAPER)
    for panel, place in zip(panels, places, strict=True):
        x, y = place["x"] / 24, 1 - (place["y"] + place["h"]) / height
        wide, high = place["w"] / 24, place["h"] / height
        edge = 0.9 / height
        axes = figure.add_axes((x + 0.03, y + edge, wide - 0.04, high - 2 * edge), facecolor=PLOT)
        axes.set_title(panel["title"], loc="left", color=INK, fontsize=9, fontweight="bold", pad=4)
        axes.tick_params(colors=INK, labelsize=7, length=0)
        for spine in axes.spines.values():
            spine.set_color(FAINT)
        _draw(prometheus, panel, axes)
    figure.savefig(file, dpi=85, facecolor=PAPER)
    plt.close(figure)


def _together(places: Sequence[Mapping[str, int]]) -> list[Mapping[str, int]]:
    """The places without the lines of the grid between them that nothing of the picture takes."""
    taken = sorted({y for place in places for y in range(place["y"], place["y"] + place["h"])})
    return [{**place, "y": taken.index(place["y"])} for place in places]


def _draw(prometheus: Prometheus, panel: Mapping[str, Any], axes: Axes) -> None:
    kind = panel["type"]
    if kind in ("bargauge", "table"):
        found = [
            (named(target, one["metric"]), float(one["value"][1]))
            for target in panel["targets"]
            for one in prometheus.instant(filled(target["expr"]))
        ]
        _bars(found[:10], axes)
        return
    series = [
        (named(target, one["metric"]), [(float(when), float(value)) for when, value in one["values"]])
        for target in panel["targets"]
        for one in prometheus.range(filled(target["expr"]), SHOWN)
    ]
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    if kind == "stat":
        latest = [value for _, points in series for _, value in points if math.isfinite(value)]
        axes.set_xticks([])
        axes.set_yticks([])
        text = f"{latest[-1]:.1%}" if unit == "percentunit" else f"{latest[-1]:.3g}{UNIT[unit]}"
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [{"color": "green"}])
        colour = [step["color"] for step in steps if latest[-1] >= (step.get("value") or 0)][-1]
        axes.text(0.5, 0.5, text, color=COLOUR[colour], fontsize=17, ha="center", va="center", transform=axes.transAxes)
    elif kind == "heatmap":
        _heat(series, axes)
    else:
        _lines(series, UNIT.get(unit, ""), panel, axes)
        for target in panel["targets"]:
            if target.get("exemplar"):
                _exemplars(prometheus, filled(target["expr"]), axes)
                break


def _lines(series: Sequence[tuple[str, Any]], unit: str, panel: Mapping[str, Any], axes: Axes) -> None:
    now = max((points[-1][0] for _, points in series), default=0.0)
    shown = [(name, points) for name, points in series if any(math.isfinite(value) for _, value in points)]
    if panel["fieldConfig"]["defaults"]["custom"].get("stacking", {}).get("mode") == "normal":
        times = sorted({when for _, points in shown for when, _ in points})
        values = [[dict(points).get(when, 0.0) for when in times] for _, points in shown]
        axes.stackplot([when - now for when in times], values, labels=[name for name, _ in shown], alpha=0.8)
    else:
        for name, points in shown:
            axes.plot([when - now for when, _ in points], [value for _, value in points], label=name, linewidth=1.2)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_xlim(-SHOWN, 0)
    axes.set_ylim(bottom=0)
    factor, unit = _scale(axes.get_ylim()[1], unit)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * factor:.4g}{unit}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} s")
    if shown:
        axes.legend(
            fontsize=6, loc="upper left", facecolor=PLOT, edgecolor=FAINT, labelcolor=INK, ncols=1 + len(shown) // 6
        )


def _scale(most: float, unit: str) -> tuple[float, str]:
    """What values are multiplied with, and the unit then: seconds as what people would say."""
    if unit != UNIT["s"]:
        return (1 / 2**20, " MiB") if unit == UNIT["bytes"] else (1, unit)
    return (1000, " ms") if most < 1 else (1 / 86400, " days") if most > 86400 else (1, unit)


def _exemplars(prometheus: Prometheus, expr: str, axes: Axes) -> None:
    end = time.time()
    found = prometheus.ask("query_exemplars", query=expr, start=str(end - SHOWN), end=str(end))
    points = [(one["timestamp"] - end, float(one["value"])) for series in found for one in series["exemplars"]]
    axes.scatter(*zip(*points, strict=True), marker="D", s=9, color="#f2cc0c", label="exemplar", zorder=3)
    axes.legend(fontsize=6, loc="upper left", facecolor=PLOT, edgecolor=FAINT, labelcolor=INK)


def _heat(series: Sequence[tuple[str, Any]], axes: Axes) -> None:
    ordered = sorted(series, key=lambda one: float(one[0]))
    cumulative = [[value for _, value in points] for _, points in ordered]
    shortest = min(map(len, cumulative))
    below = [[0.0] * shortest, *(values[-shortest:] for values in cumulative)]
    cells = [
        [upper - lower for upper, lower in zip(above, under, strict=True)] for under, above in itertools.pairwise(below)
    ]
    axes.imshow(
        cells, aspect="auto", origin="lower", cmap="inferno", interpolation="nearest", extent=(-SHOWN, 0, 0, len(cells))
    )
    axes.set_yticks([at + 1 for at in range(len(cells))], [f"{float(name) * 1000:g} ms" for name, _ in ordered])


def _bars(found: Sequence[tuple[str, float]], axes: Axes) -> None:
    axes.barh([name for name, _ in found], [value for _, value in found], height=0.4, color="#ff9830")
    axes.set_yticks(range(len(found)), [""] * len(found))
    for at, (name, value) in enumerate(found):
        axes.text(0.01, at + 0.32, f"{name}  {value:.3g}", color=INK, fontsize=7, transform=axes.get_yaxis_transform())
    axes.set_ylim(-0.6, max(3, len(found)))


def main(directory: Path) -> None:
    """Write every picture into `directory`."""
    board = rows(json.loads(DASHBOARD.read_text()))
    with watching() as running:
        asyncio.run(running.traffic(SECONDS))
        for name, titles in PICTURES.items():
            panels = [panel for title in titles for panel in board[title]]
            picture(running.prometheus, panels, directory / f"dashboard-{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
