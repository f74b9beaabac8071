"""Decisions -> audit records -> JSON lines, one for each decision, also for those before parsing.

It decides what may be written down (digests instead of values, nothing that authenticates) and how long a line may
get; it knows no file and no thread: where the lines go is a sink's business.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from authz.model import Approval, Charge, Decision, Effect, Era, JsonObject, Message, Principal, Shadowed

# Arguments of larger bodies get no digest of their own: making one would hold the interpreter for milliseconds. The
# digest of the body stands for them.
MAX_ARGUMENTS = 8 * 1024
MAX_LINE = 16 * 1024  # bytes; what journald (48 KiB), Docker and CRI loggers (16 KiB) keep in one piece
MAX_TEXT = 256  # of a text that the agent chose: bytes as they stand in the line
_MAX_OWN_TEXT = 512  # of a text that the policy or the service wrote
_MAX_LISTED = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Record:
    """One decision, as it is written down; each part of a batch is a record of its own.

    `time` is wall-clock seconds since the epoch, `latency` the seconds that the whole HTTP request took to decide.
    `principal` is None where the decision came before anybody was identified. `session` is the agent's session id,
    which is written as a digest only, `peer` the identity of the connection, `request_id` the proxy's own id of the
    request (its access log has it too), `version` the protocol version. `body` is what the arguments were read from:
    it is digested off the path. `era` is None where nothing could be read; then the decision's `detail` is the kind of
    the MalformedMessage, if that is why. `part` counts the parts of a batch from 0, `parts` is 1 for everything else.
    """

    time: float
    decision: Decision
    principal: Principal | None = None
    session: str = ""
    http_method: str = ""
    address: str = ""
    peer: str = ""
    era: Era | None = None
    version: str = ""
    trace_id: str = ""
    request_id: str = ""
    body: bytes = b""
    obligations: tuple[Charge | Approval, ...] = ()
    shadowed: tuple[Shadowed, ...] = ()
    latency: float = 0.0
    part: int = 0
    parts: int = 1


class AuditSink(Protocol):
    """Where records go."""

    def write(self, record: Record) -> bool:
        """Take a record without waiting; False: it cannot be recorded. Never raises."""
        ...


def _fold(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()


DEFAULT_REDACTED = (
    "*password*", "*passwd*", "*passphrase*", "*token*", "*secret*", "*credential*", "*authorization*", "*cookie*",
    "*key*", "pin", "cvv",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Redaction:
    """Whether argument values are written at all, and of which members never.

    `redact` are globs over member names at any depth, compared without regard to case. Of what remains at most
    `items` values are written, nested at most `depth` deep.
    """

    values: bool = False
    redact: tuple[str, ...] = DEFAULT_REDACTED
    items: int = 64
    depth: int = 6
    _names: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = "|".join(fnmatch.translate(_fold(glob)) for glob in self.redact)
        object.__setattr__(self, "_names", re.compile(pattern or r"(?!)"))

    def hides(self, name: str) -> bool:
        """Whether the value of this member is not to be written. A name too long to be looked at is hidden."""
        return len(name) > 128 or self._names.match(_fold(name)) is not None


NO_VALUES = Redaction()


def arguments_digest(arguments: JsonObject) -> str:
    """The SHA-256, in hex, of the arguments as `json.dumps(arguments, sort_keys=True, separators=(",", ":"))`.

    Not RFC 8785, which makes doubles of all numbers: there 9007199254740992 and …993 have one digest. Raises
    ValueError or TypeError for what is not JSON.
    """
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_as_dict)
    return hashlib.sha256(canonical.encode()).hexdigest()


def encode(record: Record, redaction: Redaction = NO_VALUES) -> bytes:
    """One line of ASCII JSON of at most MAX_LINE bytes, with the newline. Never raises for what an agent can send.

    Members that have nothing to say are left out.
    """
    decision = record.decision
    line: dict[str, Any] = {
        "time": _rfc3339(record.time),
        "decision_id": _own(decision.id),
        "effect": decision.effect.value,
        "reason": decision.reason.value,
        "rule": _own(decision.rule),
        "server": _own(decision.server),
        "method": clip(decision.message.method),
        **_targets(decision),
        "principal": _principal(record.principal),
        "peer": clip(record.peer),
        "address": clip(record.address),
        "session_sha256": hashlib.sha256(_utf8(record.session)).hexdigest()[:16] if record.session else "",
        "http_method": clip(record.http_method),
        "protocol": clip(record.version),
        "era": record.era.value if record.era else "",
        "trace_id": clip(record.trace_id),
        "request_id": clip(record.request_id),
        **_contents(record, redaction),
        "obligations": [_obligation(owed) for owed in record.obligations[:_MAX_LISTED]],
        "limits": [_own(name) for name in decision.limits[:_MAX_LISTED]],
        # Infinity, where waiting does not help, is no JSON.
        "retry_after": round(decision.retry_after, 3) if math.isfinite(decision.retry_after) else 0,
        "revision": _own(decision.revision),
        "latency_us": round(record.latency * 1e6),
        "shadow": [_shadow(shadowed) for shadowed in record.shadowed[:_MAX_LISTED]],
        "detail": _own(decision.detail),
        "cause": _own(decision.cause),
    }
    if record.parts > 1:
        line["part"], line["parts"] = record.part, record.parts
    encoded = _dump(line)
    for name in ("arguments", "shadow", "obligations", "targets", "detail", "cause", "limits"):
        if len(encoded) <= MAX_LINE:
            break
        if line.pop(name, None):
            line.setdefault("left_out", []).append(name)
            encoded = _dump(line)
    return encoded


def encode_gap(time: float, dropped: Mapping[Effect, int]) -> bytes:
    """The line that says how many records, by effect, are missing before the next one."""
    return _dump({"time": _rfc3339(time), "dropped": {effect.value: count for effect, count in dropped.items()}})


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """At most `limit` bytes' worth of a text as ASCII JSON has it; where it was cut its whole length is told.

    Lone surrogates become visible escapes: a strict reader of the line would refuse them.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    kept = _utf8(text[:limit]).decode()
    room = limit
    for count, char in enumerate(kept):
        room -= 1 if " " <= char <= "~" else 12 if char > "\uffff" else 6
        if room < 0:
            return f"{kept[:count]}…[of {len(text)}]"
    return kept if len(text) <= limit else f"{kept}…[of {len(text)}]"


def _targets(decision: Decision) -> dict[str, Any]:
    message: Message = decision.message
    names: dict[str, Any] = {"policy_target": _own(decision.target)}
    if message.targets:
        names[message.targets[0].kind.value] = clip(message.targets[0].name)
    names.pop("method", None)  # a target that is the method itself says nothing new
    if len(message.targets) > 1:
        names["targets"] = [clip(target.name) for target in message.targets[:_MAX_LISTED]]
        names["targets_total"] = len(message.targets)
    if message.continuation:
        names["continuation"] = True
    return names


def _contents(record: Record, redaction: Redaction) -> dict[str, Any]:
    contents: dict[str, Any] = {}
    if record.body and record.part == 0:  # the parts of a batch share one body
        contents["body_sha256"], contents["body_bytes"] = hashlib.sha256(record.body).hexdigest(), len(record.body)
    arguments = record.decision.message.arguments
    if arguments and len(record.body) <= MAX_ARGUMENTS:
        try:
            contents["arguments_sha256"] = arguments_digest(arguments)
            if redaction.values:
                contents["arguments"] = _redacted(arguments, redaction, redaction.depth, [redaction.items])
        except (TypeError, ValueError, RecursionError) as error:
            contents["arguments_unreadable"] = type(error).__name__
    return contents


def _redacted(value: Any, redaction: Redaction, depth: int, left: list[int]) -> Any:
    """A copy of `value` that may be written; `left` is how many values may still be, over all levels."""
    left[0] -= 1
    if isinstance(value, str):
        return clip(value)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "[a number of more than 256 bits]"
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == 0:
        return "[nested deeper]"
    kept: Any = {} if isinstance(value, Mapping) else []
    for seen, item in enumerate(value):
        if left[0] <= 0:
            more = f"[+{len(value) - seen}]"
            kept.update({"…": more}) if isinstance(kept, dict) else kept.append(more)
            break
        if not isinstance(value, Mapping):
            kept.append(_redacted(item, redaction, depth - 1, left))
        elif redaction.hides(item):
            left[0] -= 1
            kept[clip(item)] = "[redacted]"
        else:
            kept[clip(item)] = _redacted(value[item], redaction, depth - 1, left)
    return kept


def _principal(principal: Principal | None) -> dict[str, str]:
    if principal is None:
        return {}
    said = {
        "id": principal.id,
        "issuer": principal.issuer,
        "source": principal.source,
        "client_id": principal.client_id,
    }
    return {name: clip(value) for name, value in said.items() if value}


def _obligation(owed: Charge | Approval) -> dict[str, Any]:
    if isinstance(owed, Charge):
        return {"limit": _own(owed.limit.name), "cost": owed.cost}
    return {"approval": _own(owed.rule), "by": [_own(name) for name in owed.by[:_MAX_LISTED]]}


def _shadow(shadowed: Shadowed) -> dict[str, str]:
    said = {"policy": shadowed.policy, "effect": shadowed.effect, "reason": shadowed.reason, "rule": shadowed.rule}
    return {name: _own(value) for name, value in said.items() if value}


def _dump(line: Mapping[str, Any]) -> bytes:
    kept = {name: value for name, value in line.items() if value or name in ("latency_us", "part")}
    # DEL is the one control character that ASCII JSON leaves as it is; it can only stand inside a string.
    return json.dumps(kept, separators=(",", ":")).encode().replace(b"\x7f", b"\\u007f") + b"\n"


def _rfc3339(seconds: float) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _own(text: str) -> str:
    return clip(text, _MAX_OWN_TEXT)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected JSON, got {type(value).__name__}")
