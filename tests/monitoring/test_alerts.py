"""Each alert fires when it must, and not when it need not: promtool plays series through the rules, nothing is real."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_plays import OLDEST, PLAYS, Play, one, up

from k8s.monitoring.dashboards import RULES

ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if "alert" in rule]
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
NOISE = "McpAuthzAbsent"  # fires in every play that is about something else


def played(series: Mapping[str, str], at: int, step: int, expr: str, expected: Sequence[str], place: Path) -> str:
    """What promtool has against it that `expr` gives just these series, "" if nothing."""
    samples = [{"labels": labels, "value": 1} for labels in expected]
    test = {
        "interval": f"{step}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": f"{at}m", "exp_samples": samples}],
    }
    whole: dict[str, Any] = {"rule_files": [str(RULES)], "evaluation_interval": f"{step}m", "tests": [test]}
    file = place / "test.yaml"
    file.write_text(yaml.safe_dump(whole, width=10_000))
    command = ["promtool", "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("play", [pytest.param(play, id=play.about) for play in PLAYS])
def test_just_these_alerts_fire_when(play: Play, tmp_path: Path) -> None:
    firing = f'count by (alertname) (ALERTS{{alertstate="firing", alertname!="{NOISE}"}}) > bool 0'
    expected = [f'{{alertname="{name}"}}' for name in play.fires]
    assert played(play.series, play.at, play.step, firing, expected, tmp_path) == ""


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ({}, ['{alertname="McpAuthzAbsent"}']),
        (one("mcp_authz_build_info", "1x20"), []),
    ],
)
def test_that_nothing_is_scraped_is_an_alert(
    series: Mapping[str, str], expected: Sequence[str], tmp_path: Path
) -> None:
    expr = 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0'
    assert played({"up{job='other'}".replace("'", '"'): "1x20", **series}, 10, 1, expr, expected, tmp_path) == ""


def test_no_wait_is_long_while_nobody_waits(tmp_path: Path) -> None:
    # promtool's notation has no NaN, which the service gives then
    (waiting,) = (alert["expr"] for alert in ALERTS if alert["alert"] == "McpAuthzApprovalsWaiting")
    assert OLDEST in waiting
    assert played({}, 60, 1, waiting.replace(OLDEST, "vector(NaN)"), [], tmp_path) == ""
    assert played({}, 60, 1, waiting.replace(OLDEST, "vector(0)"), [], tmp_path) != ""


def test_promtool_sees_a_play_that_is_not_what_was_expected(tmp_path: Path) -> None:
    expr = 'ALERTS{alertname="McpAuthzDown"}'
    assert "FAILED" in played(up(value="0x10"), 5, 1, expr, [], tmp_path)


def test_every_alert_fires_in_some_play_and_in_another_of_its_metrics_does_not() -> None:
    names = {alert["alert"] for alert in ALERTS}
    assert {name for play in PLAYS for name in play.fires} | {NOISE} == names
    quiet = " ".join(series for play in PLAYS if not play.fires for series in play.series)
    recorded = {
        rule["record"]: rule["expr"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    for alert in ALERTS:
        expr = alert["expr"] + " ".join(expr for name, expr in recorded.items() if name in alert["expr"])
        metrics = set(re.findall(r"\b(?:mcp_authz|envoy_http)_\w+|\bup\b", expr)) - {"mcp_authz_build_info"}
        assert alert["alert"] == NOISE or any(metric in quiet for metric in metrics), alert["alert"]


def test_every_alert_says_what_it_is_and_stands_in_the_runbook() -> None:
    headings = set(re.findall(r"^### (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE))
    for alert in ALERTS:
        assert set(alert["annotations"]) == {"summary", "description", "runbook"}
        assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in ("critical", "warning")
    assert headings == {alert["alert"] for alert in ALERTS}
