"""A decided request -> records for every sink; what must be written down and cannot be is denied instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from authz.audit import AuditSink, Record
from authz.explanation import NOTHING_READ, Explanation
from authz.identity.callers import is_certified
from authz.mcp.reply import ReplyStyle, encode_denied
from authz.model import Effect, HttpRequest, Reason, Reply


class Recorder:
    """Tells `sinks` of every decision; a call is only allowed once every sink of `required` has taken its record.

    `clock` gives seconds since the epoch, `timer` those by which `started` was taken.
    """

    def __init__(
        self,
        sinks: Sequence[AuditSink],
        required: Sequence[AuditSink],
        clock: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        self._sinks = tuple(sinks)
        self._required = tuple(required)
        self._clock = clock
        self._timer = timer

    def record(self, request: HttpRequest, explanation: Explanation, started: float, style: ReplyStyle) -> Reply:
        """The explanation's reply once it is written down; where it must be and cannot, a denial."""
        records = self._records(request, explanation, started)
        # Kept to the end: one sink that refuses a record must not keep the others from it.
        taken = [sink.write(record) for record in records for sink in self._required]
        if explanation.reply.allowed and not all(taken):
            explanation = _unrecorded(explanation, style)
            records = self._records(request, explanation, started)
            for record in records:
                for sink in self._required:
                    sink.write(record)
        for record in records:
            for sink in self._sinks:
                sink.write(record)
        return explanation.reply

    def _records(self, request: HttpRequest, explanation: Explanation, started: float) -> list[Record]:
        """One record a decision."""
        exchange = explanation.exchange
        now = self._clock()
        latency = self._timer() - started
        parts = len(explanation.decisions)
        return [
            Record(
                time=now,
                decision=decision,
                principal=explanation.principal,
                session=exchange.session,
                http_method=request.method,
                address=request.source_address,
                peer=request.peer,
                caller=request.caller if is_certified(request.caller) else "",
                era=None if exchange is NOTHING_READ else exchange.era,
                version=exchange.version,
                trace_id=exchange.trace_id,
                request_id=request.headers.get("x-request-id", ""),
                body=request.body,
                obligations=owed,
                shadowed=explanation.shadowed[part::parts],
                selected_by=explanation.selected_by or "",
                latency=latency,
                part=part,
                parts=parts,
            )
            for part, (decision, owed) in enumerate(zip(explanation.decisions, explanation.obligations, strict=True))
        ]


def _unrecorded(explanation: Explanation, style: ReplyStyle) -> Explanation:
    """The denial of what would be allowed but cannot be recorded."""
    decisions = tuple(
        replace(decision, effect=Effect.DENY, reason=Reason.AUDIT_UNAVAILABLE) for decision in explanation.decisions
    )
    reply = encode_denied(explanation.exchange, decisions, style)
    return replace(explanation, decisions=decisions, reply=reply)
