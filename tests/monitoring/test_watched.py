"""A real Prometheus scrapes the service and its Envoy: whatever the dashboard asks has an answer, and rules hold."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import time
from collections.abc import Iterator

import pytest
from watched import INTERVAL, TRACE, Watched, asked, filled, watching

from authz.app.demo import stack
from k8s.monitoring.dashboards import DASHBOARD

BOARD = json.loads(DASHBOARD.read_text())
QUERIES = [pytest.param(target, id=f"{title} {target['refId']}") for title, target in asked(BOARD)]
SECONDS = 60  # more than all of it takes


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """After traffic of every kind, scraped to its end."""
    with watching() as running:
        asyncio.run(running.traffic(8))
        running.prometheus.until("mcp_authz_policy_load_problems > 0")
        running.prometheus.until("mcp_authz_store_up == 1")
        running.prometheus.until("sum(envoy_http_ext_authz_error) > 0")
        time.sleep(3 * INTERVAL)  # both have been scraped after the last call
        yield running


@pytest.mark.parametrize("target", QUERIES)
def test_every_query_of_the_dashboard_returns_data(watched: Watched, target: dict[str, object]) -> None:
    expr = filled(str(target["expr"]))
    series = watched.prometheus.instant(expr) if target.get("instant") else watched.prometheus.range(expr, SECONDS)
    values = [float(value) for one in series for _, value in one.get("values") or [one["value"]]]
    assert any(math.isfinite(value) for value in values), expr


@pytest.mark.parametrize(
    "counted",
    [
        'mcp_authz_decisions_total{server="demo", effect="allow", reason="allowed"}',
        'mcp_authz_decisions_total{server="demo", effect="deny", reason="rule_denied"}',
        'mcp_authz_decisions_total{server="demo", effect="deny", reason="rate_limited"}',
        'mcp_authz_decisions_total{server="demo", reason="approval_required"}',
        'mcp_authz_rate_limit_hits_total{server="demo", tool="start_import_job"}',
        'mcp_authz_approvals_total{event="claimed"}',
        'mcp_authz_approvals_decided_total{verdict="granted"}',
        "mcp_authz_approvals_pending",
        "mcp_authz_approval_webhook_deliveries_total",
        'mcp_authz_store_attempts_total{outcome="local"}',
        "mcp_authz_store_failures_total",
        'mcp_authz_malformed_requests_total{kind="duplicate_member"}',
        'mcp_authz_shadow_decisions_total{policy="demo-next.yaml", effect="allow", actual_effect="deny"}',
        'mcp_authz_approval_log_in_failures_total{cause="token"}',
        "envoy_http_ext_authz_denied",
        "envoy_http_ext_authz_error",
        'envoy_cluster_upstream_rq_per_try_timeout{envoy_cluster_name="mcp_authz"}',
    ],
)
def test_what_happened_is_counted(watched: Watched, counted: str) -> None:
    assert watched.prometheus.instant(f"sum({counted}) > 0"), counted


def test_envoy_asked_as_often_as_was_answered_but_for_the_checks_that_timed_out(watched: Watched) -> None:
    def counted(expr: str) -> float:
        return float(watched.prometheus.instant(f"sum({expr})")[0]["value"][1])

    answered = counted("mcp_authz_decision_duration_seconds_count")
    got = counted("envoy_http_ext_authz_ok") + counted("envoy_http_ext_authz_denied")
    assert got <= answered <= got + counted("envoy_http_ext_authz_error")


def test_a_bucket_leads_to_the_trace_of_a_call(watched: Watched) -> None:
    found = watched.prometheus.ask(
        "query_exemplars",
        query='mcp_authz_decision_duration_seconds_bucket{effect="deny"}',
        start=str(time.time() - SECONDS),
        end=str(time.time()),
    )
    assert {exemplar["labels"]["trace_id"] for one in found for exemplar in one["exemplars"]} == {TRACE}


def test_that_trace_is_in_the_audit_record_and_in_envoys_log(watched: Watched) -> None:
    records = [json.loads(line) for line in watched.audit.read_text().splitlines()]
    traced = {record["decision_id"] for record in records if record.get("trace_id") == TRACE}
    # What could not be read has no trace: nothing of it is believed.
    lines = [json.loads(line) for line in watched.envoy.child.output.read_text().splitlines()]
    logged = {
        line["authz"]["decision_id"]
        for line in lines
        if TRACE in line.get("trace", "") and line.get("authz", {}).get("reason") == "rule_denied"
    }
    assert logged
    assert logged <= traced


def test_every_rule_is_evaluated_without_error(watched: Watched) -> None:
    rules = [rule for group in watched.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 30
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_the_mistake_in_a_policy_is_an_alert_that_waits_to_fire(watched: Watched) -> None:
    watched.prometheus.until('ALERTS{alertname="McpAuthzPolicyProblems"}', within=5 * INTERVAL)


def test_promtool_finds_nothing_in_the_metrics(watched: Watched) -> None:
    _, text = stack.get(watched.service.admin, "/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)  # noqa: S607
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
