"""The answer: what the policy says, what came of paying, what was decided and what the client gets."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from authz.model.approvals import Standing
from authz.model.owed import Obligation, Quota
from authz.model.question import NOTHING, Message


class Effect(enum.StrEnum):
    """What is done with a call."""

    ALLOW = "allow"
    DENY = "deny"


class Reason(enum.StrEnum):
    """Why a call was decided as it was: a closed set whose text is stable (metrics, audit, answers)."""

    ALLOWED = "allowed"
    # the policy's own word
    RULE_DENIED = "rule_denied"
    DEFAULT_DENIED = "default_denied"
    NO_RULE_HOLDS = "no_rule_holds"
    ARGUMENTS_INVALID = "arguments_invalid"
    REQUIREMENT_FAILED = "requirement_failed"
    CONDITION_FAILED = "condition_failed"
    UNKNOWN_METHOD = "unknown_method"
    CONTINUATION_DENIED = "continuation_denied"
    ORIGIN_DENIED = "origin_denied"
    # what is owed first
    RATE_LIMITED = "rate_limited"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_REFUSED = "approval_refused"
    # who asks, and which policy
    UNAUTHENTICATED = "unauthenticated"
    NO_POLICY = "no_policy"
    POLICY_INVALID = "policy_invalid"
    # what could not be read without doubt
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    HEADER_MISMATCH = "header_mismatch"
    UNSUPPORTED_VERSION = "unsupported_version"
    AMBIGUOUS_NAME = "ambiguous_name"
    AMBIGUOUS_URI = "ambiguous_uri"
    # the service itself
    NOT_EXECUTED = "not_executed"
    BUSY = "busy"
    STATE_UNAVAILABLE = "state_unavailable"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    INTERNAL = "internal"


class Disclose(enum.StrEnum):
    """How much a denied caller is told: everything, the rule's reason and when to retry, or only the code."""

    FULL = "full"
    REASON = "reason"
    CODE = "code"


class Step(Struct, frozen=True, gc=False):
    """One line of the trace: a block, rule or condition that was tried, whether it held and why."""

    place: str
    result: str
    detail: str = ""


class Evaluation(Struct, frozen=True, gc=False):
    """What the policy alone says of a call, and what is owed for it.

    `rule` names the block or rule that decided (`tools.valkey_write.rules[1]`), `reason_text` is the policy's own
    sentence, `detail` says which argument failed and what would be accepted (from the policy's text only, never from
    what the caller sent). `target` is the name as the policy itself spells it, "" if it does not.
    """

    effect: Effect
    reason: Reason
    rule: str = ""
    reason_text: str = ""
    detail: str = ""
    target: str = ""
    obligations: tuple[Obligation, ...] = ()
    disclose: Disclose | None = None
    trace: tuple[Step, ...] = ()


class Decision(Struct, frozen=True, gc=False):
    """The answer to one message, joined everywhere by its id.

    `server`, `target` and `rule` are names of the policy ("" or `other` if it has none), so that they may become
    metric labels. `detail` is for the log and, as far as `disclose` lets it, for the caller. `retry_after` is in
    seconds. `approval` is how the approval stands that it needs or was granted by, `approvers` who may give it, in the
    policy's words. `cause` is for the operator's log only.
    """

    id: str
    effect: Effect
    reason: Reason
    message: Message
    server: str = ""
    target: str = ""
    rule: str = ""
    reason_text: str = ""
    detail: str = ""
    cause: str = ""
    retry_after: float = 0.0
    limits: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    approval: Standing | None = None
    approvers: tuple[str, ...] = ()
    revision: str = ""
    disclose: Disclose = Disclose.FULL


class Shadowed(Struct, frozen=True, gc=False):
    """What a shadow policy would have decided, beside what was done."""

    policy: str
    effect: Effect
    reason: Reason
    rule: str = ""


class Reply(Struct, frozen=True, gc=False):
    """The answer as HTTP: let through (`allowed`), or this status, headers and body.

    For an allowed call `headers` are added to the response, and `metadata` goes to the proxy's access log either way.
    """

    allowed: bool
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    metadata: Mapping[str, Any] = NOTHING
