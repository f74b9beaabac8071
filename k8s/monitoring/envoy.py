"""The row of the dashboard about Envoy: what it asked, and what became of that."""

from __future__ import annotations

from k8s.monitoring.panels import DURATION, OURS, Kind, Panel, Query, Row, quantiles, rate

_ASKED = "envoy_http_ext_authz"
_PREFIX = "envoy_http_conn_manager_prefix"
# Ours, whatever the configuration calls it: mcp_authz in the example, outbound|9000||mcp-authz.authz.svc in a mesh.
_CLUSTER = 'envoy_cluster_name=~".*mcp[_-]authz.*"'


def _asked() -> str:
    return " + ".join(rate(f"{_ASKED}_{answer}") for answer in ("ok", "denied", "error"))


ENVOY = Row(
    "Envoy's side",
    (
        Panel(
            "What Envoy asked and what was answered",
            "The lines lie on one another. Envoy above: checks got lost or timed out, or not every replica is scraped."
            " Below: not every Envoy is scraped, or somebody else asks.",
            Kind.LINES,
            "reqps",
            (
                Query(_asked(), "Envoy asked"),
                Query(rate(f"{DURATION}_count", OURS), "we answered"),
            ),
        ),
        Panel(
            "What Envoy made of it",
            "error: no answer, and the call was denied; failure_mode_allowed: no answer, and the call passed.",
            Kind.LINES,
            "reqps",
            tuple(
                Query(rate(f"{_ASKED}_{answer}", "", _PREFIX), f"{{{{{_PREFIX}}}}} {answer}")
                for answer in ("ok", "denied", "error", "failure_mode_allowed", "invalid")
            ),
        ),
        Panel(
            "Time until Envoy had the answer",
            "Beside the time to decide: the difference is the way there and back, and waiting for a turn.",
            Kind.LINES,
            "ms",
            quantiles("envoy_cluster_upstream_rq_time", _CLUSTER, "0.5", "0.99"),
        ),
        Panel(
            "Trouble on the way",
            "Of Envoy's cluster for this service.",
            Kind.LINES,
            "reqps",
            tuple(
                Query(rate(f"envoy_cluster_upstream_{name}", _CLUSTER), label)
                for name, label in (
                    ("rq_per_try_timeout", "timeouts"),  # so called where the filter has a retry policy
                    ("rq_timeout", "timeouts without a retry policy"),
                    ("rq_retry", "retries"),
                    ("rq_pending_overflow", "refused by the circuit breaker"),
                    ("cx_connect_fail", "failed connections"),
                    ("cx_destroy_remote_with_active_rq", "connections lost with checks on them"),
                )
            ),
            12,
        ),
        Panel(
            "Hosts that Envoy asks",
            "Replicas that Envoy's cluster for this service has, and those it takes for healthy.",
            Kind.LINES,
            "short",
            (
                Query(f"sum(envoy_cluster_membership_total{{{_CLUSTER}}})", "known"),
                Query(f"sum(envoy_cluster_membership_healthy{{{_CLUSTER}}})", "healthy"),
            ),
            12,
        ),
    ),
)
