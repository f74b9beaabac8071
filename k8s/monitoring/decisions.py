"""Rows of the dashboard about calls: what became of them, why, and how fast."""

from __future__ import annotations

from k8s.monitoring.panels import CALLS, DURATION, OURS, Kind, Panel, Query, Row, quantiles, rate, stat

_DECISIONS = "mcp_authz_decisions_total"
_FAILED = "internal|busy|state_unavailable|audit_unavailable|policy_invalid"
_FAILING = f'{OURS}, reason=~"{_FAILED}"'
_IN_TIME = f'{OURS}, le="0.005"'


OVERVIEW = Row(
    "Overview",
    (
        stat("Allowed", "Calls a second that went on.", "reqps", rate(_DECISIONS, f'{CALLS}, effect="allow"')),
        stat("Denied", "Calls a second that did not.", "reqps", rate(_DECISIONS, f'{CALLS}, effect="deny"')),
        stat(
            "Limited",
            "Of the denied, those that a rate limit stopped.",
            "reqps",
            rate(_DECISIONS, f'{CALLS}, reason="rate_limited"'),
        ),
        stat(
            "Waiting for a person",
            "Requests for approval that nobody has decided, in the whole store.",
            "short",
            f"max(mcp_authz_approvals_pending{{{OURS}}})",
        ),
        stat(
            "Failed",
            f"Share of decisions that are denials for reasons of the service's own: {_FAILED.replace('|', ', ')}.",
            "percentunit",
            f"({rate(_DECISIONS, _FAILING)} or vector(0)) / {rate(_DECISIONS, OURS)}",
            0.01,
        ),
        stat(
            "Within 5 ms",
            "Share of checks; the objective is 99.9 %.",
            "percentunit",
            f"{rate(f'{DURATION}_bucket', _IN_TIME)} / {rate(f'{DURATION}_count', OURS)}",
            0.999,
            low=True,
        ),
        Panel(
            "Decisions by outcome",
            "Allowed, and the denied by whether a limit, a person or the policy stands in the way.",
            Kind.STACKED,
            "reqps",
            (
                Query(rate(_DECISIONS, f'{CALLS}, effect="allow"'), "allowed"),
                Query(rate(_DECISIONS, f'{CALLS}, reason="rate_limited"'), "limited"),
                Query(rate(_DECISIONS, f'{CALLS}, reason=~"approval_.*"'), "waiting for a person, or denied by one"),
                Query(
                    rate(_DECISIONS, f'{CALLS}, effect="deny", reason!~"rate_limited|approval_.*"'),
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
            (Query(rate(_DECISIONS, CALLS, "server, effect"), "{{server}} {{effect}}"),),
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
            (Query(rate("mcp_authz_rate_limit_hits_total", CALLS, "server, limit"), "{{server}}: {{limit}}"),),
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
                    f" (increase(mcp_authz_rate_limit_hits_total{{{CALLS}}}[1h])))",
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
            (Query(rate(_DECISIONS, f'{CALLS}, effect="deny"', "reason"), "{{reason}}"),),
        ),
        Panel(
            "Requests that could not be read",
            "Denied before any policy was asked, by what was wrong with them.",
            Kind.LINES,
            "reqps",
            (Query(rate("mcp_authz_malformed_requests_total", OURS, "kind"), "{{kind}}"),),
        ),
        Panel(
            "What shadow policies would change",
            "Calls that a shadow policy would decide otherwise: look here before it takes over.",
            Kind.LINES,
            "reqps",
            (
                Query(
                    rate(
                        "mcp_authz_shadow_decisions_total",
                        f'{CALLS}, effect="deny", actual_effect="allow"',
                        "server, policy",
                    ),
                    "{{server}}: {{policy}} would deny",
                ),
                Query(
                    rate(
                        "mcp_authz_shadow_decisions_total",
                        f'{CALLS}, effect="allow", actual_effect="deny"',
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
            quantiles(DURATION, OURS, "0.5", "0.9", "0.99", exemplars=True),
            10,
            0.005,
        ),
        Panel(
            "How many took how long",
            "Checks a second by the time they took.",
            Kind.HEAT,
            "s",
            (Query(rate(f"{DURATION}_bucket", OURS, "le"), "{{le}}"),),
            10,
        ),
        stat(
            "In flight",
            "Checks that are not answered: waiting for the shared store, or for their turn with a large body.",
            "short",
            f"sum(mcp_authz_calls_in_flight{{{OURS}}})",
        ),
    ),
)
