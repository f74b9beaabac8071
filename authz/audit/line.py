"""Audit records -> JSON lines, one for each decision, also for those before parsing, and one for each ruling.

It decides what may be written down and how long a line may get; it knows no file and no thread: where the lines go is a
sink's business.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from authz.audit.arguments import NO_VALUES, Redaction, arguments_digest, redacted
from authz.audit.record import Record, RulingRecord
from authz.audit.text import MAX_OWN_TEXT, clip, own, utf8
from authz.model import Approval, Charge, Decision, Effect, Message, Principal, Shadowed, Standing

# Arguments of larger bodies get no digest of their own: making one would hold the interpreter for milliseconds. The
# digest of the body stands for them.
MAX_ARGUMENTS = 8 * 1024
MAX_LINE = 16 * 1024  # bytes; what journald (48 KiB), Docker and CRI loggers (16 KiB) keep in one piece
_MAX_LISTED = 8
_ALWAYS = ("latency_us", "part")  # 0 says something there

_encode = msgspec.json.Encoder().encode


def encode(record: Record, redaction: Redaction = NO_VALUES) -> bytes:
    """One line of ASCII JSON of at most MAX_LINE bytes, with the newline. Never raises for what an agent can send.

    Members that have nothing to say are left out.
    """
    decision = record.decision
    line: dict[str, Any] = {
        "time": _rfc3339(record.time),
        "decision_id": own(decision.id),
        "effect": decision.effect.value,
        "reason": decision.reason.value,
        "rule": own(decision.rule),
        "server": own(decision.server),
        "selected_by": record.selected_by,
        "method": clip(decision.message.method),
        **_targets(decision),
        "principal": _principal(record.principal),
        "peer": clip(record.peer),
        "caller": clip(record.caller),
        "address": clip(record.address),
        "session_sha256": hashlib.sha256(utf8(record.session)).hexdigest()[:16] if record.session else "",
        "http_method": clip(record.http_method),
        "protocol": clip(record.version),
        "era": record.era.value if record.era else "",
        "trace_id": clip(record.trace_id),
        "request_id": clip(record.request_id),
        **_contents(record, redaction),
        "obligations": [_obligation(owed) for owed in record.obligations[:_MAX_LISTED]],
        "approval": _approval(decision.approval),
        "limits": [own(name) for name in decision.limits[:_MAX_LISTED]],
        # Infinity, where waiting does not help, is no JSON.
        "retry_after": round(decision.retry_after, 3) if math.isfinite(decision.retry_after) else 0,
        "revision": own(decision.revision),
        "latency_us": round(record.latency * 1e6),
        "shadow": [_shadow(shadowed) for shadowed in record.shadowed[:_MAX_LISTED]],
        "detail": own(decision.detail),
        "cause": own(decision.cause),
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


def encode_ruling(record: RulingRecord) -> bytes:
    """The line of what a person said: who, from where, of exactly what, and how the request stands after it."""
    ruling, approval = record.ruling, record.approval
    request = approval.request
    return _dump(
        {
            "time": _rfc3339(record.time),
            "approval": own(approval.id),
            "ruling": "granted" if ruling.granted else "denied",
            "status": approval.status.value,
            "approver": clip(ruling.approver),
            "address": clip(ruling.origin),
            "comment": clip(ruling.comment, MAX_OWN_TEXT),
            "server": own(request.server),
            "tool": clip(request.tool),
            "rule": own(request.rule),
            "principal": clip(request.principal),
            "digest": request.digest.hex(),
        }
    )


def encode_gap(time: float, dropped: Mapping[Effect, int]) -> bytes:
    """The line that says how many records, by effect, are missing before the next one."""
    return _dump({"time": _rfc3339(time), "dropped": {effect.value: count for effect, count in dropped.items()}})


def _targets(decision: Decision) -> dict[str, Any]:
    message: Message = decision.message
    names: dict[str, Any] = {"policy_target": own(decision.target)}
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
                contents["arguments"] = redacted(arguments, redaction, redaction.depth, [redaction.items])
        except (TypeError, ValueError, RecursionError) as error:
            contents["arguments_unreadable"] = type(error).__name__
    return contents


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
        return {"limit": own(owed.limit.name), "cost": owed.cost}
    return {"approval": own(owed.rule), "by": [own(name) for name in owed.by[:_MAX_LISTED]]}


def _approval(standing: Standing | None) -> dict[str, str]:
    """The grant that let the call through, or the request that it waits for."""
    if standing is None:
        return {}
    said = {"id": standing.id, "status": standing.status.value, "by": clip(standing.decided_by)}
    return {name: value for name, value in said.items() if value}


def _shadow(shadowed: Shadowed) -> dict[str, str]:
    said = {"policy": shadowed.policy, "effect": shadowed.effect, "reason": shadowed.reason, "rule": shadowed.rule}
    return {name: own(value) for name, value in said.items() if value}


def _dump(line: Mapping[str, Any]) -> bytes:
    kept = {name: value for name, value in line.items() if value or name in _ALWAYS}
    if "arguments" not in kept:  # in which any number may be
        encoded = _encode(kept)  # five times as fast as the standard library, and leaves text as it is
        if encoded.isascii() and b"\x7f" not in encoded:
            return encoded + b"\n"
    # DEL is the one control character that ASCII JSON leaves as it is; it can only stand inside a string.
    return json.dumps(kept, separators=(",", ":")).encode().replace(b"\x7f", b"\\u007f") + b"\n"


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
