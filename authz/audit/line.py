"""Audit records -> JSON lines, one for each decision, also for those before parsing, and one for each ruling.

It decides what may be written down and how long a line may get; it knows no file and no thread: where the lines go is a
sink's business.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict

from authz.audit.arguments import NO_VALUES, Redaction, arguments_digest, redacted
from authz.audit.members import Line
from authz.audit.members import encode as encode_line
from authz.audit.record import Record, RulingRecord
from authz.audit.text import MAX_OWN_TEXT, clip, own, utf8
from authz.model import Approval, Charge, Effect, Principal, Shadowed, Standing, Target, TargetKind

# Arguments of larger bodies get no digest of their own: making one would hold the interpreter for milliseconds. The
# digest of the body stands for them.
MAX_ARGUMENTS = 8 * 1024
MAX_LINE = 16 * 1024  # bytes; what journald (48 KiB), Docker and CRI loggers (16 KiB) keep in one piece
_MAX_LISTED = 8
_ALWAYS = ("latency_us", "part")  # 0 says something there
_DISPENSABLE = ("arguments", "shadow", "obligations", "targets", "detail", "cause", "limits")  # first what helps least


def encode(record: Record, redaction: Redaction = NO_VALUES) -> bytes:
    """One line of ASCII JSON of at most MAX_LINE bytes, with the newline. Never raises for what an agent can send."""
    line = _line(record, redaction)
    encoded = _dump(line)
    for member in _DISPENSABLE:
        if len(encoded) <= MAX_LINE:
            break
        if line.leave_out(member):
            encoded = _dump(line)
    return encoded


def _line(record: Record, redaction: Redaction) -> Line:
    decision = record.decision
    message = decision.message
    batch = record.parts > 1
    line = Line(
        time=_rfc3339(record.time),
        decision_id=own(decision.id),
        effect=decision.effect.value,
        reason=decision.reason.value,
        rule=own(decision.rule),
        server=own(decision.server),
        selected_by=record.selected_by,
        method=clip(message.method),
        policy_target=own(decision.target),
        continuation=message.continuation,
        principal=_principal(record.principal),
        peer=clip(record.peer),
        caller=clip(record.caller),
        address=clip(record.address),
        session_sha256=_session_digest(record.session) if record.session else "",
        http_method=clip(record.http_method),
        protocol=clip(record.version),
        era=record.era.value if record.era else "",
        trace_id=clip(record.trace_id),
        request_id=clip(record.request_id),
        obligations=[_obligation(owed) for owed in record.obligations[:_MAX_LISTED]],
        approval=_approval(decision.approval),
        limits=[own(name) for name in decision.limits[:_MAX_LISTED]],
        # Infinity, where waiting does not help, is no JSON; 0 has nothing to say.
        retry_after=round(decision.retry_after, 3) or 0 if math.isfinite(decision.retry_after) else 0,
        revision=own(decision.revision),
        latency_us=round(record.latency * 1e6),
        shadow=[_shadow(shadowed) for shadowed in record.shadowed[:_MAX_LISTED]],
        detail=own(decision.detail),
        cause=own(decision.cause),
        part=record.part if batch else None,
        parts=record.parts if batch else None,
    )
    if message.targets:
        _add_targets(line, message.targets)
    _add_contents(line, record, redaction)
    return line


def encode_ruling(record: RulingRecord) -> bytes:
    """The line of what a person said: who, from where, of exactly what, and how the request stands after it."""
    ruling, approval = record.ruling, record.approval
    request = approval.request
    return _dump_any(
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
    return _dump_any({"time": _rfc3339(time), "dropped": {effect.value: count for effect, count in dropped.items()}})


def _add_targets(line: Line, targets: Sequence[Target]) -> None:
    first = targets[0]
    if first.kind is not TargetKind.METHOD:  # which says nothing new
        setattr(line, first.kind.value, clip(first.name))
    if len(targets) > 1:
        line.targets = [clip(target.name) for target in targets[:_MAX_LISTED]]
        line.targets_total = len(targets)


def _add_contents(line: Line, record: Record, redaction: Redaction) -> None:
    if record.body and record.part == 0:  # the parts of a batch share one body
        line.body_sha256, line.body_bytes = hashlib.sha256(record.body).hexdigest(), len(record.body)
    arguments = record.decision.message.arguments
    if arguments and len(record.body) <= MAX_ARGUMENTS:
        try:
            line.arguments_sha256 = arguments_digest(arguments)
            if redaction.values:
                line.arguments = redacted(arguments, redaction, redaction.depth, [redaction.items])
        except (TypeError, ValueError, RecursionError) as error:
            line.arguments_unreadable = type(error).__name__


@functools.lru_cache(maxsize=1024)  # an agent makes many calls in a session
def _session_digest(session: str) -> str:
    return hashlib.sha256(utf8(session)).hexdigest()[:16]


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


def _dump(line: Line) -> bytes:
    if line.arguments is None:  # in which any number may be
        encoded = encode_line(line)  # five times as fast as the standard library, and leaves text as it is, also DEL
        if encoded.isascii() and b"\x7f" not in encoded:
            return encoded + b"\n"
    return _dump_any(asdict(line))


def _dump_any(said: Mapping[str, Any]) -> bytes:
    kept = {name: value for name, value in said.items() if value or (value == 0 and name in _ALWAYS)}
    return json.dumps(kept, separators=(",", ":")).encode() + b"\n"


def _rfc3339(seconds: float) -> str:
    whole, micros = divmod(round(seconds * 1e6), 1_000_000)
    return "%s.%06dZ" % (_second(whole), micros)  # noqa: UP031  # half of what an f-string costs where compiled


@functools.lru_cache(maxsize=4)  # a second has many calls
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").removesuffix("+00:00")
