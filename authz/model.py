"""The nouns of the service: what is asked, who asks, what is owed and what is answered.

Standard library only. Every room speaks in these values; none of them knows a wire format, a file or a clock.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]
MessageId: TypeAlias = str | int | None

NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return NOTHING  # Python 3.11 takes a mappingproxy, which has no hash there, for a mutable default


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


# ---------------------------------------------------------------------------------------------- the question


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request as the proxy describes it.

    `headers` has lower-case names; repeated lines are joined by `,` (as Envoy does), so a comma in a singleton
    header means that it was sent twice. `path` includes the query. `size` is what the proxy says the body has in
    bytes (-1: not said). `body_is_text` is true where the proxy sent the body as a string, in which every byte
    that is not UTF-8 was replaced by `!`. `verified` is the metadata that earlier filters of the proxy wrote, by
    filter name; `context` is what the proxy's route says (the client cannot set it). `stream_id` is the proxy's own
    id of the request, `caller` the transport peer that asked for the check, `wire` the check as it arrived: the same
    bytes mean that the proxy asks a second time.
    """

    method: str
    path: str
    host: str
    headers: Mapping[str, str]
    body: bytes = b""
    body_is_text: bool = False
    size: int = -1
    protocol: str = ""
    source_address: str = ""
    peer: str = ""
    verified: Mapping[str, JsonObject] = field(default_factory=_nothing)
    context: Mapping[str, str] = field(default_factory=_nothing)
    stream_id: str = ""
    caller: str = ""
    wire: bytes = b""


class Era(enum.Enum):
    """Which generation of the protocol a request speaks."""

    LEGACY = "legacy"  # 2024-11-05 … 2025-11-25: initialize, sessions
    MODERN = "modern"  # 2026-07-28: stateless, `_meta` and mirror headers in every request


class MessageKind(enum.Enum):
    """What a message is; only a request is answered with a JSON-RPC body."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"  # the client's answer to a request of the server
    HTTP = "http"  # no JSON-RPC at all: SSE GET, session DELETE, preflight, OAuth metadata


class TargetKind(enum.StrEnum):
    """What a method is done to."""

    TOOL = "tool"
    PROMPT = "prompt"
    RESOURCE = "resource"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class Target:
    """What it is done to. For `METHOD` the name is the method itself."""

    kind: TargetKind
    name: str


# Names that `methods:` of a policy uses for what has no JSON-RPC method.
HTTP_STREAM = "GET"
HTTP_END = "DELETE"
HTTP_PREFLIGHT = "OPTIONS"
HTTP_METADATA = "GET /.well-known"
CLIENT_RESPONSE = "response"


@dataclass(frozen=True, slots=True)
class Message:
    """One JSON-RPC unit (or one HTTP request that carries none).

    `targets` is what the policy judges: one tool, prompt or resource, several URIs (`subscriptions/listen`), or the
    method itself. `arguments` is the object of a tools/call or prompts/get, else empty. `reference_only` is true for
    completion, which asks about a target without using it. `log_level` is the level asked for in `_meta` or by
    `logging/setLevel`, else "". `doubtful_text`: any `!` in the arguments may stand for bytes that were not UTF-8.
    """

    kind: MessageKind
    method: str
    id: MessageId = None
    targets: tuple[Target, ...] = ()
    arguments: JsonObject = field(default_factory=_nothing)
    continuation: bool = False
    reference_only: bool = False
    wants_task: bool = False
    log_level: str = ""
    doubtful_text: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one HTTP request carries: its messages and the protocol they are in.

    `session` is the legacy session id, "" where there is none or the era has none. `sse_transport` is true for a
    POST of the HTTP+SSE transport of 2024-11-05, whose answer travels on another connection.
    """

    era: Era
    messages: tuple[Message, ...]
    version: str = ""
    session: str = ""
    batch: bool = False
    sse_transport: bool = False
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, from what the proxy has verified and nothing else.

    `source` is the name of the identity source in the settings and `issuer` who vouches for the id; both are part of
    who this is. A principal with `verified=False` has no id: limits fall back to the source address.
    `absent` names what the token did not carry (`groups`, `client_id`, `scopes`), which is undecidable for a rule
    that needs it, not empty. `peer` is the verified identity of the connection, whatever the source.
    """

    id: str = ""
    issuer: str = ""
    source: str = ""
    client_id: str = ""
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: JsonObject = field(default_factory=_nothing)
    absent: frozenset[str] = frozenset()
    peer: str = ""
    verified: bool = False


ANONYMOUS = Principal()


@dataclass(frozen=True, slots=True)
class Call:
    """The question: this principal, this method on these targets of this server, with these arguments, now.

    `now` is wall-clock seconds since the epoch (for conditions); limits use the store's own monotonic clock.
    `address` is the source address, by which limits count where nobody is verified. `origin` is the browser's Origin
    header, None where there is none.
    """

    server: str
    message: Message
    principal: Principal
    era: Era = Era.LEGACY
    session: str = ""
    address: str = ""
    host: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=_nothing)
    origin: str | None = None
    now: float = 0.0


# ------------------------------------------------------------------------------------------------- what is owed


@dataclass(frozen=True, slots=True)
class Limit:
    """One rate limit of a policy. `key` identifies its counters over reloads (policies/README.md 6).

    `window` is in seconds.
    """

    name: str
    key: tuple[str, ...]
    max: int
    window: float
    server: str


@dataclass(frozen=True, slots=True)
class Charge:
    """An obligation: count `cost` on one counter of a limit.

    `descriptor` names the counter within the limit, a tuple of (part, value) pairs, never a joined string.
    `session` is the agent's session id where the limit counts per session: then `descriptor` names the principal's
    part only and the store keeps at most as many session counters for it as its setting `sessions` says.
    `anonymous` charges live in a table of their own.
    """

    limit: Limit
    descriptor: tuple[tuple[str, str], ...]
    cost: float = 1.0
    session: str = ""
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """An obligation: a person must have said yes to exactly this call. `timeout` is in seconds, `by` empty: anyone."""

    rule: str
    timeout: float
    by: tuple[str, ...] = ()


Obligation: TypeAlias = Charge | Approval


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a limit after a decision. `reset` is in seconds: when a whole window is free again."""

    limit: Limit
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Discharge:
    """The outcome of paying obligations: all were paid (`paid`), or nothing was.

    `exhausted` are the limits that refused, with `retry_after` in seconds until the call could pass;
    `approval_missing` says that a grant is needed and there is none. `quotas` are the limits as they stand now.
    """

    paid: bool
    exhausted: tuple[Limit, ...] = ()
    retry_after: float = 0.0
    approval_missing: bool = False
    quotas: tuple[Quota, ...] = ()


# -------------------------------------------------------------------------------------------------- the answer


class Disclose(enum.StrEnum):
    """How much a denied caller is told: everything, the rule's reason and when to retry, or only the code."""

    FULL = "full"
    REASON = "reason"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the trace: a block, rule or condition that was tried, whether it held and why."""

    place: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
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


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one message, joined everywhere by its id.

    `server`, `target` and `rule` are names of the policy ("" or `other` if it has none), so that they may become
    metric labels. `detail` is for the log and, as far as `disclose` lets it, for the caller. `retry_after` is in
    seconds. `cause` is for the operator's log only.
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
    revision: str = ""
    disclose: Disclose = Disclose.FULL


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What a shadow policy would have decided, beside what was done."""

    policy: str
    effect: Effect
    reason: Reason
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer as HTTP: let through (`allowed`), or this status, headers and body.

    For an allowed call `headers` are added to the response, and `metadata` goes to the proxy's access log either way.
    """

    allowed: bool
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    metadata: Mapping[str, Any] = field(default_factory=dict)
