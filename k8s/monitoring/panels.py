"""The panels of the dashboard: what is asked of Prometheus, and how it is to be read. Knows nothing of Grafana's JSON.

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


_OURS = 'job=~"$job"'
_CALLS = f'{_OURS}, server=~"$server"'
_DECISIONS = "mcp_authz_decisions_total"
_DURATION = "mcp_authz_decision_duration_seconds"
_FAILED = "internal|busy|state_unavailable|audit_unavailable|policy_invalid"
_FAILING = f'{_OURS}, reason=~"{_FAILED}"'
_IN_TIME = f'{_OURS}, le="0.005"'
_EXPIRED = "mcp_authz_approvals_expired_total"
_OLDEST = "mcp_authz_approvals_oldest_request_timestamp_seconds"
_ASKED = "envoy_http_ext_authz"
_PREFIX = "envoy_http_conn_manager_prefix"
# Ours, whatever the configuration calls it: mcp_authz in the example, outbound|9000||mcp-authz.authz.svc in a mesh.
_CLUSTER = 'envoy_cluster_name=~".*mcp[_-]authz.*"'


def _rate(metric: str, labels: str = "", by: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{labels}}}[$__rate_interval]))"


def _quantiles(histogram: str, labels: str, *shares: str, exemplars: bool = False) -> tuple[Query, ...]:
    buckets = _rate(f"{histogram}_bucket", labels, "le")
    return tuple(Query(f"histogram_quantile({share}, {buckets})", f"p{share[2:]:0<2}", exemplars) for share in shares)


def _stat(title: str, about: str, unit: str, expr: str, bad: float | None = None, *, low: bool = False) -> Panel:
    return Panel(title, about, Kind.STAT, unit, (Query(expr),), 4, bad, low)


def _asked() -> str:
    return " + ".join(_rate(f"{_ASKED}_{answer}") for answer in ("ok", "denied", "error"))


OVERVIEW = Row(
    "Overview",
    (
        _stat("Allowed", "Calls a second that went on.", "reqps", _rate(_DECISIONS, f'{_CALLS}, effect="allow"')),
        _stat("Denied", "Calls a second that did not.", "reqps", _rate(_DECISIONS, f'{_CALLS}, effect="deny"')),
        _stat(
            "Limited",
            "Of the denied, those that a rate limit stopped.",
            "reqps",
            _rate(_DECISIONS, f'{_CALLS}, reason="rate_limited"'),
        ),
        _stat(
            "Waiting for a person",
            "Requests for approval that nobody has decided, in the whole store.",
            "short",
            f"max(mcp_authz_approvals_pending{{{_OURS}}})",
        ),
        _stat(
            "Failed",
            f"Share of decisions that are denials for reasons of the service's own: {_FAILED.replace('|', ', ')}.",
            "percentunit",
            f"({_rate(_DECISIONS, _FAILING)} or vector(0)) / {_rate(_DECISIONS, _OURS)}",
            0.01,
        ),
        _stat(
            "Within 5 ms",
            "Share of checks; the objective is 99.9 %.",
            "percentunit",
            f"{_rate(f'{_DURATION}_bucket', _IN_TIME)} / {_rate(f'{_DURATION}_count', _OURS)}",
            0.999,
            low=True,
        ),
        Panel(
            "Decisions by outcome",
            "Allowed, and the denied by whether a limit, a person or the policy stands in the way.",
            Kind.STACKED,
            "reqps",
            (
                Query(_rate(_DECISIONS, f'{_CALLS}, effect="allow"'), "allowed"),
                Query(_rate(_DECISIONS, f'{_CALLS}, reason="rate_limited"'), "limited"),
                Query(_rate(_DECISIONS, f'{_CALLS}, reason=~"approval_.*"'), "waiting for a person, or denied by one"),
                Query(
                    _rate(_DECISIONS, f'{_CALLS}, effect="deny", reason!~"rate_limited|approval_.*"'),
                    "denied otherwise",
                ),
            ),
            12,
        ),
        Panel(
            "Decisions by server",
            "Which server's calls, and what became of them.",
            Kind.LINES,
            "reqps",
            (Query(_rate(_DECISIONS, _CALLS, "server, effect"), "{{server}} {{effect}}"),),
            12,
        ),
    ),
)

LIMITS = Row(
    "Rate limits",
    (
        Panel(
            "Hits by limit and server",
            "Calls a second that were denied because this limit was exhausted.",
            Kind.LINES,
            "reqps",
            (Query(_rate("mcp_authz_rate_limit_hits_total", _CALLS, "server, limit"), "{{server}}: {{limit}}"),),
            12,
        ),
        Panel(
            "Most hits within the hour, by tool",
            "Where agents want more than the policy gives.",
            Kind.BARS,
            "short",
            (
                Query(
                    "topk(10, sum by (server, tool, limit)"
                    f" (increase(mcp_authz_rate_limit_hits_total{{{_CALLS}}}[1h])))",
                    "{{server}} {{tool}}: {{limit}}",
                ),
            ),
            12,
        ),
    ),
)

REASONS = Row(
    "Reasons",
    (
        Panel(
            "Denials by reason",
            "The reason is what the agent was told, and stands in the audit record.",
            Kind.STACKED,
            "reqps",
            (Query(_rate(_DECISIONS, f'{_CALLS}, effect="deny"', "reason"), "{{reason}}"),),
        ),
        Panel(
            "Requests that could not be read",
            "Denied before any policy was asked, by what was wrong with them.",
            Kind.LINES,
            "reqps",
            (Query(_rate("mcp_authz_malformed_requests_total", _OURS, "kind"), "{{kind}}"),),
        ),
        Panel(
            "What shadow policies would change",
            "Calls that a shadow policy would decide otherwise: look here before it takes over.",
            Kind.LINES,
            "reqps",
            (
                Query(
                    _rate(
                        "mcp_authz_shadow_decisions_total",
                        f'{_CALLS}, effect="deny", actual_effect="allow"',
                        "server, policy",
                    ),
                    "{{server}}: {{policy}} would deny",
                ),
                Query(
                    _rate(
                        "mcp_authz_shadow_decisions_total",
                        f'{_CALLS}, effect="allow", actual_effect="deny"',
                        "server, policy",
                    ),
                    "{{server}}: {{policy}} would allow",
                ),
            ),
        ),
    ),
)

LATENCY = Row(
    "Latency",
    (
        Panel(
            "Time to decide",
            "Within the service. A diamond is one call, and leads to its trace.",
            Kind.LINES,
            "s",
            _quantiles(_DURATION, _OURS, "0.5", "0.9", "0.99", exemplars=True),
            10,
            0.005,
        ),
        Panel(
            "How many took how long",
            "Checks a second by the time they took.",
            Kind.HEAT,
            "s",
            (Query(_rate(f"{_DURATION}_bucket", _OURS, "le"), "{{le}}"),),
            10,
        ),
        _stat(
            "In flight",
            "Checks that are not answered: waiting for the shared store, or for their turn with a large body.",
            "short",
            f"sum(mcp_authz_calls_in_flight{{{_OURS}}})",
        ),
    ),
)

POLICIES = Row(
    "Policies",
    (
        Panel(
            "In force",
            "Replicas by the revision that they enforce. Two revisions for long: one does not reload.",
            Kind.TABLE,
            "short",
            (Query(f"count by (job, revision) (mcp_authz_policy_info{{{_OURS}}})"),),
        ),
        Panel(
            "Mistakes found by the last load",
            "A file with one is not in force: its last good version is.",
            Kind.LINES,
            "short",
            (
                Query(
                    f"sum by (instance) (mcp_authz_policy_load_problems{{{_OURS}}})"
                    f" or 0 * sum by (instance) (mcp_authz_policy_last_load_timestamp_seconds{{{_OURS}}})",
                    "{{instance}}",
                ),
                Query(f"sum by (file) (mcp_authz_policy_load_problems{{{_OURS}}})", "{{file}}"),
            ),
            bad=1,
        ),
        Panel(
            "Since the last load",
            "Policies are loaded when a file changes, with or without mistakes.",
            Kind.LINES,
            "s",
            (Query(f"time() - mcp_authz_policy_last_load_timestamp_seconds{{{_OURS}}}", "{{instance}}"),),
        ),
    ),
)

STORE = Row(
    "Store of limits and approvals",
    (
        Panel(
            "Shared store answers",
            "1 while it judges calls; absent where counters are kept in the process.",
            Kind.LINES,
            "short",
            (Query(f"mcp_authz_store_up{{{_OURS}}}", "{{instance}}"),),
            bad=1,
            low=True,
        ),
        Panel(
            "Who judged",
            "shared: the store. Otherwise each limit's on_store_error: the replica's own share, denied, or allowed.",
            Kind.STACKED,
            "reqps",
            (Query(_rate("mcp_authz_store_attempts_total", _OURS, "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Why the store could not tell",
            "By cause.",
            Kind.LINES,
            "reqps",
            (Query(_rate("mcp_authz_store_failures_total", _OURS, "cause"), "{{cause}}"),),
        ),
        Panel(
            "Time the store takes",
            "One round trip a check.",
            Kind.LINES,
            "s",
            _quantiles("mcp_authz_store_duration_seconds", _OURS, "0.5", "0.99"),
        ),
        Panel(
            "Counters kept in the process",
            "By table; beside a shared store these are for when it does not answer.",
            Kind.LINES,
            "short",
            (Query(f"sum by (table) (mcp_authz_store_entries{{{_OURS}}})", "{{table}}"),),
        ),
        Panel(
            "Replicas that share the store",
            "As each replica last knew: it takes that share of a limit when the store does not answer.",
            Kind.LINES,
            "short",
            (Query(f"mcp_authz_store_replicas{{{_OURS}}}", "{{instance}}"),),
        ),
    ),
)

APPROVALS = Row(
    "Approvals",
    (
        Panel(
            "Requests that wait",
            "In the whole store.",
            Kind.LINES,
            "short",
            (Query(f"max(mcp_authz_approvals_pending{{{_OURS}}})", "waiting"),),
        ),
        Panel(
            "The longest wait",
            "Of the requests that nobody has decided; nothing where none waits.",
            Kind.LINES,
            "s",
            (Query(f"time() - min({_OLDEST}{{{_OURS}}})", "longest"),),
            bad=600,
        ),
        Panel(
            "Time until people decide",
            "Of those that were decided, over the last hour.",
            Kind.LINES,
            "s",
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le)"
                    f" (increase(mcp_authz_approval_decision_seconds_bucket{{{_OURS}}}[1h])))",
                    name,
                )
                for share, name in (("0.5", "p50"), ("0.9", "p90"))
            ),
        ),
        Panel(
            "Requested and claimed",
            "A call that needs a yes files a request; the call that comes after the yes claims it.",
            Kind.LINES,
            "short",
            (
                Query(
                    f"sum by (server, event) (increase(mcp_authz_approvals_total{{{_CALLS}}}[1h]))",
                    "{{server}} {{event}}",
                ),
            ),
        ),
        Panel(
            "What people said, and what nobody answered",
            "Within the hour. Each replica counts its own decisions, and all that expires in the store.",
            Kind.LINES,
            "short",
            (
                Query(f"sum by (verdict) (increase(mcp_authz_approvals_decided_total{{{_OURS}}}[1h]))", "{{verdict}}"),
                Query(f"max by (what) (increase({_EXPIRED}{{{_OURS}}}[1h]))", "{{what}} expired"),
            ),
        ),
        Panel(
            "Messages, and refusals at the page",
            "Messages to the webhook by what became of them; people who were not let in, or whose yes was not taken.",
            Kind.LINES,
            "short",
            (
                Query(
                    f"sum by (outcome) (increase(mcp_authz_approval_webhook_deliveries_total{{{_OURS}}}[1h]))",
                    "message {{outcome}}",
                ),
                Query(
                    f"sum by (cause) (increase(mcp_authz_approval_log_in_failures_total{{{_OURS}}}[1h]))",
                    "not let in: {{cause}}",
                ),
                Query(
                    f"sum by (cause) (increase(mcp_authz_approval_rulings_refused_total{{{_OURS}}}[1h]))",
                    "not taken: {{cause}}",
                ),
            ),
        ),
    ),
)

IDENTITY = Row(
    "Identity and TLS",
    (
        Panel(
            "Tokens",
            "Verified (new), known from before (cached), refused by why, and those that nobody could verify then.",
            Kind.LINES,
            "reqps",
            (
                Query(_rate("mcp_authz_tokens_verified_total", _OURS, "source, how"), "{{source}}: {{how}}"),
                Query(_rate("mcp_authz_tokens_refused_total", _OURS, "source, cause"), "{{source}}: {{cause}}"),
                Query(_rate("mcp_authz_tokens_busy_total", _OURS, "source"), "{{source}}: not verified"),
            ),
            7,
        ),
        Panel(
            "Age of the issuers' keys",
            "They are fetched every five minutes, and those that are known go on to count.",
            Kind.LINES,
            "s",
            (
                Query(
                    f"time() - mcp_authz_identity_keys_fetched_timestamp_seconds{{{_OURS}}}",
                    "{{source}} at {{instance}}",
                ),
            ),
            7,
            1800,
        ),
        Panel(
            "Certificates expire in",
            "Of the listener and of the authorities that vouch for its callers.",
            Kind.LINES,
            "s",
            (
                Query(
                    f"mcp_authz_tls_certificate_expiry_timestamp_seconds{{{_OURS}}} - time()",
                    "{{file}} at {{instance}}",
                ),
            ),
            6,
        ),
        _stat(
            "Refused callers",
            "Checks a second of callers that --callers does not list.",
            "reqps",
            _rate("mcp_authz_refused_callers_total", _OURS),
        ),
    ),
)

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
                Query(_rate(f"{_DURATION}_count", _OURS), "we answered"),
            ),
        ),
        Panel(
            "What Envoy made of it",
            "error: no answer, and the call was denied; failure_mode_allowed: no answer, and the call passed.",
            Kind.LINES,
            "reqps",
            tuple(
                Query(_rate(f"{_ASKED}_{answer}", "", _PREFIX), f"{{{{{_PREFIX}}}}} {answer}")
                for answer in ("ok", "denied", "error", "failure_mode_allowed", "invalid")
            ),
        ),
        Panel(
            "Time until Envoy had the answer",
            "Beside the time to decide: the difference is the way there and back, and waiting for a turn.",
            Kind.LINES,
            "ms",
            _quantiles("envoy_cluster_upstream_rq_time", _CLUSTER, "0.5", "0.99"),
        ),
        Panel(
            "Trouble on the way",
            "Of Envoy's cluster for this service.",
            Kind.LINES,
            "reqps",
            tuple(
                Query(_rate(f"envoy_cluster_upstream_{name}", _CLUSTER), label)
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

PROCESS = Row(
    "Audit log and process",
    (
        Panel(
            "Audit records",
            "Written, and lost by what was decided.",
            Kind.LINES,
            "short",
            (
                Query(_rate("mcp_authz_audit_records_written_total", _OURS), "written a second"),
                Query(_rate("mcp_authz_audit_records_dropped_total", _OURS, "effect"), "lost a second: {{effect}}"),
                Query(_rate("mcp_authz_audit_errors_total", _OURS), "failed writes a second"),
            ),
        ),
        Panel(
            "Processor",
            "Cores in use; a decision is made on one.",
            Kind.LINES,
            "short",
            (Query(f"rate(process_cpu_seconds_total{{{_OURS}}}[$__rate_interval])", "{{instance}}"),),
        ),
        Panel(
            "Memory",
            "Resident.",
            Kind.LINES,
            "bytes",
            (Query(f"process_resident_memory_bytes{{{_OURS}}}", "{{instance}}"),),
        ),
    ),
)

ROWS = (OVERVIEW, LIMITS, REASONS, LATENCY, POLICIES, STORE, APPROVALS, IDENTITY, ENVOY, PROCESS)
