"""What a panel of the dashboard is: questions to Prometheus, and how the answers are to be read. Knows no Grafana.

`$job` and `$server` are the dashboard's variables; `$__rate_interval` is Grafana's, at least four scrapes.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """How the answers are shown."""

    STAT = "stat"  # one number
    LINES = "lines"
    STACKED = "stacked"
    BARS = "bars"  # one bar each, as of now
    HEAT = "heat"  # buckets of a histogram over time
    TABLE = "table"  # labels and a number each, as of now


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and what a series is called ({{label}} is its label). `exemplars`: with traces that are behind it."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `width` is of 24, `unit` is Grafana's word; from `bad` on a number is red, below it where `low`."""

    title: str
    about: str
    kind: Kind
    unit: str
    queries: Sequence[Query]
    width: int = 8
    bad: float | None = None
    low: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


OURS = 'job=~"$job"'
CALLS = f'{OURS}, server=~"$server"'
DURATION = "mcp_authz_decision_duration_seconds"


def rate(metric: str, labels: str = "", by: str = "") -> str:
    """What a counter grows by in a second, summed `by` labels."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantiles(histogram: str, labels: str, *shares: str, exemplars: bool = False) -> tuple[Query, ...]:
    """A query for each of these shares of a histogram, called p50 and so on."""
    buckets = rate(f"{histogram}_bucket", labels, "le")
    return tuple(Query(f"histogram_quantile({share}, {buckets})", f"p{share[2:]:0<2}", exemplars) for share in shares)


def stat(title: str, about: str, unit: str, expr: str, bad: float | None = None, *, low: bool = False) -> Panel:
    """A panel of one number; `bad` and `low` as in Panel."""
    return Panel(title, about, Kind.STAT, unit, (Query(expr),), 4, bad, low)
