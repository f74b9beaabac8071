"""What the metrics say in each play, and which alerts must fire then: the data of tests/monitoring/test_alerts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Play:
    """Series (promtool's notation, a value every `step` minutes) and the alerts that fire `at` minutes."""

    about: str
    series: Mapping[str, str]
    at: int
    fires: Sequence[str] = ()
    step: int = 1


OURS = 'namespace="mcp", job="mcp-authz", instance="a:9464"'
ENVOY = 'namespace="mcp", job="envoy", instance="e:9901"'


def up(labels: str = OURS, value: str = "1x60") -> dict[str, str]:
    return {f"up{{{labels}}}": value}


def envoy(**rates: int) -> dict[str, str]:
    """Envoy's counters, by what they grow by in a minute."""
    every = {"ok": 0, "denied": 0, "error": 0, "failure_mode_allowed": 0, **rates}
    return {f"envoy_http_ext_authz_{name}{{{ENVOY}}}": f"0+{rate}x60" for name, rate in every.items()}


def decisions(**rates: int) -> dict[str, str]:
    """Decisions by reason, by what they grow by in a minute."""
    return {
        f'mcp_authz_decisions_total{{{OURS}, server="bank", reason="{reason}",'
        f' effect="{"allow" if reason == "allowed" else "deny"}"}}': f"0+{rate}x60"
        for reason, rate in rates.items()
    }


def durations(*, fast: int, slow: int, times: int) -> dict[str, str]:
    """The histogram with so many checks a step in 1 ms and in 20 ms."""
    name = f"mcp_authz_decision_duration_seconds_bucket{{{OURS}"
    within, total = f"0+{fast}x{times}", f"0+{fast + slow}x{times}"
    return {
        f'{name}, le="0.001"}}': within,
        f'{name}, le="0.005"}}': within,
        f'{name}, le="0.025"}}': total,
        f'{name}, le="+Inf"}}': total,
        f"mcp_authz_decision_duration_seconds_count{{{OURS}}}": total,
    }


def one(name: str, values: str, more: str = "") -> dict[str, str]:
    return {f"{name}{{{OURS}{more}}}": values}


def hits(values: str) -> dict[str, str]:
    return one("mcp_authz_rate_limit_hits_total", values, ', server="bank", tool="pay", limit="hour"')


def denials(values: str, reason: str = "rule_denied") -> dict[str, str]:
    return one("mcp_authz_decisions_total", values, f', server="bank", effect="deny", reason="{reason}"')


EXPIRY = "mcp_authz_tls_certificate_expiry_timestamp_seconds"
CERT = ', file="tls_cert"'
OLDEST = "mcp_authz_approvals_oldest_request_timestamp_seconds"
WEBHOOK = "mcp_authz_approval_webhook_deliveries_total"

PLAYS = (
    Play("a replica does not answer the scrape", up(value="0x10"), 5, ["McpAuthzDown"]),
    Play("a replica was away for one scrape", up(value="1 0 1x10"), 5),
    Play("another job is down", up('job="billing", instance="b:1"', "0x10"), 5),
    Play(
        "Envoy gets no answer to 2 % of its checks", envoy(ok=900, denied=80, error=20), 10, ["McpAuthzFailingClosed"]
    ),
    Play("Envoy gets an answer to 99.5 %", envoy(ok=900, denied=95, error=5), 10),
    Play("Envoy gets no answer at all", envoy(error=10), 10, ["McpAuthzFailingClosed"]),
    Play(
        "Envoy lets pass what nobody answered",
        envoy(ok=1000, failure_mode_allowed=1),
        10,
        ["McpAuthzCallsPassUnchecked"],
    ),
    Play("Envoy denies what was denied", envoy(ok=500, denied=500), 10),
    Play("2 % of the decisions failed", decisions(allowed=980, internal=10, busy=10), 10, ["McpAuthzErrors"]),
    Play("0.5 % of the decisions failed", decisions(allowed=995, state_unavailable=5), 10),
    Play("half a minute of failures", decisions(allowed=10, internal=10), 3),
    Play("what the policy denies is no failure", {**denials("0+3x60"), **decisions(allowed=100)}, 30),
    # with fewer than the thousand checks that the objective wants to see
    Play("the slowest hundredth takes 20 ms", durations(fast=58, slow=4, times=17), 16, ["McpAuthzSlow"]),
    Play("the slowest thousandth takes 20 ms", durations(fast=1999, slow=1, times=30), 20),
    Play("few checks, one of them slow", durations(fast=8, slow=2, times=30), 20),
    Play(
        "2 % are slow for an hour",
        durations(fast=980, slow=20, times=70),
        65,
        ["McpAuthzLatencyBudgetBurns", "McpAuthzLatencyBudgetBurnsFast", "McpAuthzSlow"],
    ),
    Play("none is slow", durations(fast=1000, slow=0, times=400), 390),
    Play(
        "0.8 % are slow for six hours",
        durations(fast=4960, slow=40, times=100),
        6 * 60 + 30,
        ["McpAuthzLatencyBudgetBurns", "McpAuthzLatencyBudgetBurnsFast"],
        step=5,
    ),
    Play(
        "0.4 % are slow for a day",
        durations(fast=4980, slow=20, times=320),
        DAY + 60,
        ["McpAuthzLatencyBudgetBurns"],
        step=5,
    ),
    Play("0.05 % are slow for three days", durations(fast=9995, slow=5, times=900), 3 * DAY + 60, step=5),
    Play("all are slow, but nobody calls", durations(fast=0, slow=1, times=900), 3 * DAY + 60, step=5),
    Play(
        "a policy has a mistake",
        one("mcp_authz_policy_load_problems", "0x3 2x20", ', file="bank.yaml"'),
        12,
        ["McpAuthzPolicyProblems"],
    ),
    Play(
        "a mistake that was mended within minutes",
        one("mcp_authz_policy_load_problems", "0x3 2x2 0x20", ', file="bank.yaml"'),
        12,
    ),
    Play("the shared store is away", one("mcp_authz_store_up", "1 0x20"), 10, ["McpAuthzStoreDown"]),
    Play("the shared store was away for a minute", one("mcp_authz_store_up", "1 0 1x20"), 10),
    Play(
        "one attempt in twenty is judged without the store",
        {
            **one("mcp_authz_store_attempts_total", "0+95x30", ', outcome="shared"'),
            **one("mcp_authz_store_attempts_total", "0+5x30", ', outcome="local"'),
        },
        20,
        ["McpAuthzStoreDegraded"],
    ),
    Play(
        "one attempt in a thousand is judged without the store",
        {
            **one("mcp_authz_store_attempts_total", "0+999x30", ', outcome="shared"'),
            **one("mcp_authz_store_attempts_total", "0+1x30", ', outcome="denied"'),
        },
        20,
    ),
    Play(
        "a table is full",
        one("mcp_authz_store_overflows_total", "5x10 6x20", ', limit="hour"'),
        20,
        ["McpAuthzStoreFull"],
    ),
    Play("a table was full yesterday", one("mcp_authz_store_overflows_total", "5x40", ', limit="hour"'), 30),
    Play(
        "limits stop ten times as many as yesterday",
        hits(f"0+60x{2 * DAY // 5} {60 * (2 * DAY // 5)}+600x12"),
        2 * DAY + 45,
        ["McpAuthzRateLimitHitsUnusual"],
        step=5,
    ),
    Play("limits stop as many as yesterday", hits("0+600x700"), 2 * DAY + 45, step=5),
    Play("limits of a new server stop a call a second", hits("_x30 0+60x60"), 60, ["McpAuthzRateLimitHitsUnusual"]),
    Play("limits of a new server stop a call now and then", hits("_x30 0+3x60"), 60),
    Play(
        "ten times as many denials as yesterday",
        denials(f"0+60x{2 * DAY // 5} {60 * (2 * DAY // 5)}+600x12"),
        2 * DAY + 45,
        ["McpAuthzDenialsSpike"],
        step=5,
    ),
    Play("as many denials as yesterday", denials("0+600x700"), 2 * DAY + 45, step=5),
    Play("many calls that wait for a person are no spike", denials("0+60x60", "approval_required"), 60),
    Play("a request has waited for 11 minutes", one(OLDEST, "0x30"), 11, ["McpAuthzApprovalsWaiting"]),
    Play("a request has waited for 9 minutes", one(OLDEST, "0x30"), 9),
    Play(
        "a request expired, as two replicas tell",
        {
            **one("mcp_authz_approvals_expired_total", "0x10 1x60", ', what="request"'),
            'mcp_authz_approvals_expired_total{namespace="mcp", job="mcp-authz", instance="b:9464", what="request"}': (
                "0x10 1x60"
            ),
        },
        30,
        ["McpAuthzApprovalsExpire"],
    ),
    Play("a yes expired unused", one("mcp_authz_approvals_expired_total", "0x10 1x60", ', what="grant"'), 30),
    Play("a message was given up", one(WEBHOOK, "0x5 1x30", ', outcome="failed"'), 12, ["McpAuthzWebhookFailing"]),
    Play("messages arrive", one(WEBHOOK, "0+1x30", ', outcome="delivered"'), 20),
    Play(
        "somebody tries tokens at the page",
        one("mcp_authz_approval_log_in_failures_total", "0+5x30", ', cause="token"'),
        20,
        ["McpAuthzLogInsRefused"],
    ),
    Play(
        "somebody mistyped a token",
        one("mcp_authz_approval_log_in_failures_total", "0x5 3x30", ', cause="token"'),
        10,
    ),
    Play(
        "a certificate of which three days are left stays",
        one(EXPIRY, f"{(1 + 3) * 86400}x700", CERT),
        DAY + 60,
        ["McpAuthzCertificateExpires"],
        step=5,
    ),
    Play("a certificate has a month", one(EXPIRY, f"{32 * 86400}x700", CERT), DAY + 60, step=5),
    Play(
        "a certificate of an hour is not renewed",
        one(EXPIRY, "3600x120", CERT),
        55,
        ["McpAuthzCertificateExpires"],
    ),
    # every half an hour one that is good for an hour
    Play(
        "certificates of an hour are renewed",
        one(EXPIRY, " ".join(f"{3600 + 1800 * turn}x5" for turn in range(60)), CERT),
        DAY + 60,
        step=5,
    ),
    Play(
        "new certificates do not fit",
        one("mcp_authz_tls_reload_problem", "0 1x30"),
        20,
        ["McpAuthzCertificateNotTaken"],
    ),
    Play("one of two files came first", one("mcp_authz_tls_reload_problem", "0 1 0x30"), 20),
    Play("an unlisted caller asks", one("mcp_authz_refused_callers_total", "0x5 4x30"), 12, ["McpAuthzCallersRefused"]),
    Play("an unlisted caller asked yesterday", one("mcp_authz_refused_callers_total", "4x60"), 50),
    Play(
        "an issuer's keys were never fetched",
        {
            **one("mcp_authz_identity_keys", "0x20", ', source="corp"'),
            **one("mcp_authz_identity_keys_fetched_timestamp_seconds", "0x20", ', source="corp"'),
        },
        10,
        ["McpAuthzIssuerKeysMissing"],
    ),
    Play(
        "an issuer's keys were fetched 40 minutes ago",
        {
            **one("mcp_authz_identity_keys", "2x60", ', source="corp"'),
            **one("mcp_authz_identity_keys_fetched_timestamp_seconds", "0x60", ', source="corp"'),
        },
        40,
        ["McpAuthzIssuerKeysOld"],
    ),
    Play(
        "an issuer's keys are fetched every five minutes",
        {
            **one("mcp_authz_identity_keys", "2x60", ', source="corp"'),
            **one(
                "mcp_authz_identity_keys_fetched_timestamp_seconds",
                " ".join(f"{300 * turn}x4" for turn in range(12)),
                ', source="corp"',
            ),
        },
        50,
    ),
    Play(
        "audit records are lost",
        one("mcp_authz_audit_records_dropped_total", "0x5 7x30", ', effect="deny"'),
        8,
        ["McpAuthzAuditDropping"],
    ),
    Play(
        "the audit log cannot be written", one("mcp_authz_audit_errors_total", "0x5 1x30"), 8, ["McpAuthzAuditDropping"]
    ),
    Play(
        "audit records were lost yesterday", one("mcp_authz_audit_records_dropped_total", "7x60", ', effect="deny"'), 50
    ),
)
