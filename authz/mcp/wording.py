"""Decision -> what the caller is told of it: a text that a model can act on, and the same as data.

All of it is the policy's or the service's own words; nothing that the caller sent is repeated, for it would speak to
the model in the policy's voice (policies/README.md 11). How it travels is not known here.
"""

from __future__ import annotations

import math
from typing import Any, Final

from authz.model import Decision, Disclose, MessageKind, Reason, Standing, TargetKind

# Reverse DNS as MCP wants it; a second label `mcp` or `modelcontextprotocol` would be reserved (2025-11-25, `_meta`).
DECISION_KEY: Final = "io.github.mcp-authz/decision"

_OTHER: Final = "other"  # what a decision calls a target that the policy does not name
_LONGEST_RETRY: Final = 366 * 24 * 3600  # seconds; a limit's window is shorter

# `{it}` is the target as far as it may be named.
_HEADLINES: Final = {
    Reason.RULE_DENIED: "Denied by policy: {it} is not allowed.",
    Reason.DEFAULT_DENIED: "Denied by policy: no rule allows {it}.",
    Reason.NO_RULE_HOLDS: "Denied by policy: no rule for {it} holds for this caller and this call.",
    Reason.ARGUMENTS_INVALID: "Denied by policy: the arguments are not among those that the policy accepts for {it}.",
    Reason.REQUIREMENT_FAILED: "Denied by policy: this call does not meet what the policy requires for {it}.",
    Reason.CONDITION_FAILED: "Denied by policy: a condition on {it} cannot be decided for this call.",
    Reason.UNKNOWN_METHOD: "Denied by policy: this method is not one that the policy allows.",
    Reason.CONTINUATION_DENIED: "Denied by policy: {it} may not be continued with input responses.",
    Reason.ORIGIN_DENIED: "Denied by policy: requests from this origin are not allowed.",
    Reason.RATE_LIMITED: "Rate limit reached: {it} was not executed.",
    Reason.APPROVAL_REQUIRED: "Approval required: a person must approve this call of {it} first; it was not executed.",
    Reason.APPROVAL_DENIED: "Denied by a person: this call of {it} was not approved.",
    Reason.APPROVAL_REFUSED: "Denied by policy: {it} needs an approval, and no person can be asked about this call.",
    Reason.UNAUTHENTICATED: "Denied by policy: {it} needs a verified identity that this request does not have.",
    Reason.NO_POLICY: "Denied: no policy governs this server.",
    Reason.POLICY_INVALID: "Denied: the policy of this server could not be loaded.",
    Reason.AMBIGUOUS_NAME: "Denied by policy: the name is not exactly one that is known; use the exact name.",
    Reason.AMBIGUOUS_URI: "Denied by policy: the URI can be read in more than one way; use its plain form.",
    Reason.NOT_EXECUTED: "Not executed: another part of this batch was denied. Send this part again on its own.",
    Reason.BUSY: "Not executed: the policy service is busy.",
    Reason.STATE_UNAVAILABLE: "Not executed: the policy service cannot reach its state.",
    Reason.AUDIT_UNAVAILABLE: "Not executed: the policy service cannot record this call.",
    Reason.INTERNAL: "Not executed: the policy service failed.",
}
_FLAWS: Final = {
    Reason.HEADER_MISMATCH: "Header mismatch",
    Reason.UNSUPPORTED_VERSION: "Unsupported protocol version",
    Reason.TRUNCATED: "Incomplete request",
    Reason.TOO_LARGE: "Request too large",
}
_UNREADABLE: Final = "Malformed request"
_TRANSIENT: Final = frozenset((Reason.BUSY, Reason.STATE_UNAVAILABLE, Reason.AUDIT_UNAVAILABLE, Reason.INTERNAL))
_WAITING: Final = frozenset((Reason.APPROVAL_REQUIRED, Reason.APPROVAL_DENIED))
_KINDS: Final = {TargetKind.TOOL: "tool", TargetKind.PROMPT: "prompt", TargetKind.RESOURCE: "resource"}


def retry_seconds(decision: Decision) -> int:
    """Whole seconds until a rate-limited call could pass, at least 1; 0 where waiting changes nothing."""
    if decision.reason is not Reason.RATE_LIMITED:
        return 0
    return whole_seconds(decision.retry_after)


def whole_seconds(wait: float) -> int:
    """`wait` as Retry-After has it (RFC 9110 section 10.2.3): whole seconds, at least 1."""
    return math.ceil(max(1.0, wait)) if wait < _LONGEST_RETRY else _LONGEST_RETRY


def headline(reason: Reason, it: str = "this request") -> str:
    """One sentence that says what happened."""
    words = _HEADLINES.get(reason)
    return words.format(it=it) if words else f"{_FLAWS.get(reason, _UNREADABLE)}."


def flaw_text(reason: Reason, flaw: str, decision_id: str) -> str:
    """What is wrong with a request that could not be read; `flaw` names what was expected, "" tells the code only."""
    if not flaw:
        return f"Denied by policy ({reason}). Decision id: {decision_id}."
    return f"{_FLAWS.get(reason, _UNREADABLE)}: {_sentence(flaw)} Decision id: {decision_id}."


def text(decision: Decision, page: str = "") -> str:
    """What a model reads: what was denied, by which rule, what would be accepted, and when to try again.

    `page` is where a person can approve the call, "" where there is no such page.
    """
    last = f"Decision id: {decision.id}."
    if decision.disclose is Disclose.CODE:
        return f"Denied by policy ({decision.reason}). {last}"
    full = decision.disclose is Disclose.FULL
    parts = [headline(decision.reason, _subject(decision, named=full))]
    if decision.reason is Reason.NOT_EXECUTED:
        return f"{parts[0]} {last}"
    if decision.reason_text:
        parts.append(f"Reason: {_sentence(decision.reason_text)}")
    if full:
        if decision.detail:
            parts.append(f"Detail: {_sentence(decision.detail)}")
        if decision.limits:
            parts.append(f"Limit: {', '.join(decision.limits)}.")
        if decision.rule:
            parts.append(f"Rule: {decision.rule}.")
    parts += (*_approval(decision, page, full), _advice(decision), last)
    return " ".join(parts)


def invitation(decision: Decision) -> str:
    """What the client shows to its user beside the address of the approval's page."""
    return f"{headline(decision.reason, _subject(decision, named=True))} Open the page to see what would run."


def data(decision: Decision, page: str = "") -> dict[str, Any]:
    """The same for programs; members that have nothing to say are left out."""
    found: dict[str, Any] = {"decisionId": decision.id, "reason": decision.reason.value}
    if decision.disclose is Disclose.CODE or decision.reason is Reason.NOT_EXECUTED:
        return found
    if decision.reason_text:
        found["message"] = decision.reason_text
    wait = retry_seconds(decision)
    if wait:
        found["retryAfterMs"] = wait * 1000
    if decision.approval and decision.reason in _WAITING:
        found["approval"] = _approval_data(decision, decision.approval, page)
    if decision.disclose is Disclose.FULL:
        known = (("server", decision.server), ("target", _target(decision)), ("rule", decision.rule))
        found.update((name, value) for name, value in (*known, ("detail", decision.detail)) if value)
        if decision.limits:
            found["limits"] = list(decision.limits)
    return found


def _approval(decision: Decision, page: str, full: bool) -> list[str]:
    """Where an approval stands: its reference, how long it waits, who decides and where; or what a person said."""
    approval = decision.approval
    if approval is None or decision.reason not in _WAITING:
        return []
    if decision.reason is Reason.APPROVAL_DENIED:
        return [f"Comment: {_sentence(approval.comment)}"] if approval.comment else []
    parts = [f"Approval {approval.id} is pending."] if approval.id else []
    if full and decision.approvers:
        parts.append(f"Approvers: {', '.join(decision.approvers)}.")
    if page:
        parts.append(f"Page for the approver: {page} .")
    return parts


def _approval_data(decision: Decision, approval: Standing, page: str) -> dict[str, Any]:
    expires = math.ceil(approval.expires_in * 1000)
    found: dict[str, Any] = {"id": approval.id, "status": approval.status.value, "expiresInMs": expires}
    if page:
        found["url"] = page
    if decision.disclose is Disclose.FULL and decision.approvers:
        found["approvers"] = list(decision.approvers)
    if approval.comment:
        found["comment"] = approval.comment
    return found


def _target(decision: Decision) -> str:
    return "" if decision.target == _OTHER else decision.target


def _subject(decision: Decision, *, named: bool) -> str:
    message = decision.message
    if message.kind is MessageKind.HTTP or not message.targets:
        return "this request"
    kind = _KINDS.get(message.targets[0].kind)
    if kind is None:
        return "this method"
    name = _target(decision)
    # A pattern is not what was called; the rule's name tells it.
    return f"{kind} `{name}`" if named and name and "*" not in name else f"this {kind}"


def _advice(decision: Decision) -> str:
    reason = decision.reason
    if reason is Reason.RATE_LIMITED:
        return f"Retry after {retry_seconds(decision)} s."
    if reason is Reason.APPROVAL_REQUIRED:
        wait = math.ceil(decision.approval.expires_in) if decision.approval else 0
        within = f" within {wait} s" if wait else ""
        return f"Send exactly the same call again once it is approved{within}; any change needs another approval."
    if reason in _TRANSIENT:
        return "It may be retried later."
    return "Do not retry it unchanged."


def _sentence(words: str) -> str:
    words = words.strip()
    return words if words.endswith((".", "!", "?")) else f"{words}."
