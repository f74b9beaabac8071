"""Rows of the dashboard about the service itself: its policies, store, people, identities and log."""

from __future__ import annotations

from k8s.monitoring.panels import CALLS, OURS, Kind, Panel, Query, Row, quantiles, rate, stat

_EXPIRED = "mcp_authz_approvals_expired_total"
_OLDEST = "mcp_authz_approvals_oldest_request_timestamp_seconds"


POLICIES = Row(
    "Policies",
    (
        Panel(
            "In force",
            "Replicas by the revision that they enforce. Two revisions for long: one does not reload.",
            Kind.TABLE,
            "short",
            (Query(f"count by (job, revision) (mcp_authz_policy_info{{{OURS}}})"),),
        ),
        Panel(
            "Mistakes found by the last load",
            "A file with one is not in force: its last good version is.",
            Kind.LINES,
            "short",
            (
                Query(
                    f"sum by (instance) (mcp_authz_policy_load_problems{{{OURS}}})"
                    f" or 0 * sum by (instance) (mcp_authz_policy_last_load_timestamp_seconds{{{OURS}}})",
                    "{{instance}}",
                ),
                Query(f"sum by (file) (mcp_authz_policy_load_problems{{{OURS}}})", "{{file}}"),
            ),
            bad=1,
        ),
        Panel(
            "Since the last load",
            "Policies are loaded when a file changes, with or without mistakes.",
            Kind.LINES,
            "s",
            (Query(f"time() - mcp_authz_policy_last_load_timestamp_seconds{{{OURS}}}", "{{instance}}"),),
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
            (Query(f"mcp_authz_store_up{{{OURS}}}", "{{instance}}"),),
            bad=1,
            low=True,
        ),
        Panel(
            "Who judged",
            "shared: the store. Otherwise each limit's on_store_error: the replica's own share, denied, or allowed.",
            Kind.STACKED,
            "reqps",
            (Query(rate("mcp_authz_store_attempts_total", OURS, "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Why the store could not tell",
            "By cause.",
            Kind.LINES,
            "reqps",
            (Query(rate("mcp_authz_store_failures_total", OURS, "cause"), "{{cause}}"),),
        ),
        Panel(
            "Time the store takes",
            "One round trip a check.",
            Kind.LINES,
            "s",
            quantiles("mcp_authz_store_duration_seconds", OURS, "0.5", "0.99"),
        ),
        Panel(
            "Counters kept in the process",
            "By table; beside a shared store these are for when it does not answer.",
            Kind.LINES,
            "short",
            (Query(f"sum by (table) (mcp_authz_store_entries{{{OURS}}})", "{{table}}"),),
        ),
        Panel(
            "Replicas that share the store",
            "As each replica last knew: it takes that share of a limit when the store does not answer.",
            Kind.LINES,
            "short",
            (Query(f"mcp_authz_store_replicas{{{OURS}}}", "{{instance}}"),),
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
            (Query(f"max(mcp_authz_approvals_pending{{{OURS}}})", "waiting"),),
        ),
        Panel(
            "The longest wait",
            "Of the requests that nobody has decided; nothing where none waits.",
            Kind.LINES,
            "s",
            (Query(f"time() - min({_OLDEST}{{{OURS}}})", "longest"),),
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
                    f" (increase(mcp_authz_approval_decision_seconds_bucket{{{OURS}}}[1h])))",
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
                    f"sum by (server, event) (increase(mcp_authz_approvals_total{{{CALLS}}}[1h]))",
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
                Query(f"sum by (verdict) (increase(mcp_authz_approvals_decided_total{{{OURS}}}[1h]))", "{{verdict}}"),
                Query(f"max by (what) (increase({_EXPIRED}{{{OURS}}}[1h]))", "{{what}} expired"),
            ),
        ),
        Panel(
            "Messages, and refusals at the page",
            "Messages to the webhook by what became of them; people who were not let in, or whose yes was not taken.",
            Kind.LINES,
            "short",
            (
                Query(
                    f"sum by (outcome) (increase(mcp_authz_approval_webhook_deliveries_total{{{OURS}}}[1h]))",
                    "message {{outcome}}",
                ),
                Query(
                    f"sum by (cause) (increase(mcp_authz_approval_log_in_failures_total{{{OURS}}}[1h]))",
                    "not let in: {{cause}}",
                ),
                Query(
                    f"sum by (cause) (increase(mcp_authz_approval_rulings_refused_total{{{OURS}}}[1h]))",
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
                Query(rate("mcp_authz_tokens_verified_total", OURS, "source, how"), "{{source}}: {{how}}"),
                Query(rate("mcp_authz_tokens_refused_total", OURS, "source, cause"), "{{source}}: {{cause}}"),
                Query(rate("mcp_authz_tokens_busy_total", OURS, "source"), "{{source}}: not verified"),
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
                    f"time() - mcp_authz_identity_keys_fetched_timestamp_seconds{{{OURS}}}",
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
                    f"mcp_authz_tls_certificate_expiry_timestamp_seconds{{{OURS}}} - time()",
                    "{{file}} at {{instance}}",
                ),
            ),
            6,
        ),
        stat(
            "Refused callers",
            "Checks a second of callers that --callers does not list.",
            "reqps",
            rate("mcp_authz_refused_callers_total", OURS),
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
                Query(rate("mcp_authz_audit_records_written_total", OURS), "written a second"),
                Query(rate("mcp_authz_audit_records_dropped_total", OURS, "effect"), "lost a second: {{effect}}"),
                Query(rate("mcp_authz_audit_errors_total", OURS), "failed writes a second"),
            ),
        ),
        Panel(
            "Processor",
            "Cores in use; a decision is made on one.",
            Kind.LINES,
            "short",
            (Query(f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])", "{{instance}}"),),
        ),
        Panel(
            "Memory",
            "Resident.",
            Kind.LINES,
            "bytes",
            (Query(f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}"),),
        ),
    ),
)
