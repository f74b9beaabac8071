"""Panels and rules -> the files that Grafana and the Prometheus operator read, beside this one: `make dashboards`.

Knows no PromQL and no running service.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    GraphTresholdsStyleMode,
    HeatmapCellLayout,
    StackingMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from k8s.monitoring.decisions import LATENCY, LIMITS, OVERVIEW, REASONS
from k8s.monitoring.envoy import ENVOY
from k8s.monitoring.panels import Kind, Panel, Query
from k8s.monitoring.service import APPROVALS, IDENTITY, POLICIES, PROCESS, STORE

ROWS = (OVERVIEW, LIMITS, REASONS, LATENCY, POLICIES, STORE, APPROVALS, IDENTITY, ENVOY, PROCESS)

HERE = Path(__file__).parent
DASHBOARD, RULES, OPERATOR = HERE / "dashboard.json", HERE / "rules.yaml", HERE / "prometheus-rule.yaml"
_HEIGHT = {Kind.STAT: 4}  # of Grafana's grid, otherwise 8
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def files() -> Mapping[Path, str]:
    """Every generated file with its text."""
    return {DASHBOARD: _dashboard(), OPERATOR: _operator(RULES.read_text(encoding="utf-8"))}


def _dashboard() -> str:
    board = (
        dashboard.Dashboard("MCP authorization")
        .uid("mcp-authz")
        .description("What mcp-authz decides about MCP calls, how fast, and what Envoy sees of it.")
        .tags(["mcp-authz"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("job", "Job", "label_values(mcp_authz_build_info, job)"))
        .with_variable(
            _variable("server", "MCP server", 'label_values(mcp_authz_decisions_total{job=~"$job"}, server)')
        )
    )
    ids = itertools.count(1)
    for row in ROWS:
        board = board.with_row(dashboard.Row(row.title).id(next(ids)))
        for panel in row.panels:
            board = board.with_panel(_panel(panel).id(next(ids)))
    return json.dumps(board.build(), cls=JSONEncoder, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(_SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(panel: Panel) -> Any:
    built = (
        _BUILDERS[panel.kind]()
        .title(panel.title)
        .description(panel.about)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(_HEIGHT.get(panel.kind, 8))
        .min(0)
    )
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        built = built.with_target(_target(letter, query, panel.kind))
    if panel.bad is None:
        return built
    colours = ("red", "green") if panel.low else ("green", "red")
    steps = [Threshold(color=colours[0]), Threshold(value=panel.bad, color=colours[1])]
    if panel.kind is Kind.LINES:
        dashed = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        built = built.thresholds_style(dashed)
    return built.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))


def _target(letter: str, query: Query, kind: Kind) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(letter).expr(query.expr).datasource(_SOURCE)
    if query.legend:
        target = target.legend_format(query.legend)
    if kind in (Kind.BARS, Kind.TABLE):
        return target.instant().format(PromQueryFormat.TABLE if kind is Kind.TABLE else PromQueryFormat.TIME_SERIES)
    if kind is Kind.HEAT:
        return target.range().format(PromQueryFormat.HEATMAP)
    return target.range().exemplar(query.exemplars)


def _lines() -> timeseries.Panel:
    return timeseries.Panel().fill_opacity(8).show_points(VisibilityMode.NEVER)


def _stacked() -> timeseries.Panel:
    return _lines().fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL))


def _bars() -> bargauge.Panel:
    latest = common.ReduceDataOptions().calcs(["lastNotNull"])
    return bargauge.Panel().orientation(VizOrientation.HORIZONTAL).reduce_options(latest)


def _stat() -> stat.Panel:
    latest = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().color_mode(BigValueColorMode.VALUE).reduce_options(latest).no_value("0")


def _heat() -> heatmap.Panel:
    # Prometheus' buckets are cumulative; asked for in the format `heatmap`, Grafana takes them apart itself.
    rows = heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.LE)
    return heatmap.Panel().calculate(False).rows_frame(rows).y_axis(heatmap.YAxisConfig().unit("s"))


def _table() -> table.Panel:
    hide = {"excludeByName": {"Time": True}, "renameByName": {"Value": "replicas"}}
    return table.Panel().with_transformation(DataTransformerConfig(id_val="organize", options=hide))


_BUILDERS: Mapping[Kind, Any] = {
    Kind.STAT: _stat,
    Kind.LINES: _lines,
    Kind.STACKED: _stacked,
    Kind.BARS: _bars,
    Kind.HEAT: _heat,
    Kind.TABLE: _table,
}


def _operator(rules: str) -> str:
    """The rules as the Prometheus operator's resource."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "mcp-authz", "labels": {"app.kubernetes.io/name": "mcp-authz"}},
        "spec": yaml.safe_load(rules),
    }
    head = "# rules.yaml for the Prometheus operator, made by `make dashboards`.\n"
    return head + yaml.safe_dump(resource, sort_keys=False, width=1000, allow_unicode=True)


def main() -> None:
    """Write every generated file."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
