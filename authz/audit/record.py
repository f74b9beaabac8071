"""What is written down of a decision, and of what a person said of a request for approval; and who takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from authz.model import Approval, ApprovalRecord, Charge, Decision, Era, Principal, Ruling, Shadowed


class Record(Struct, frozen=True, gc=False):
    """One decision, as it is written down; each part of a batch is a record of its own.

    `time` is wall-clock seconds since the epoch, `latency` the seconds that the whole HTTP request took to decide.
    `principal` is None where the decision came before anybody was identified. `session` is the agent's session id,
    which is written as a digest only, `peer` the identity of the connection, `request_id` the proxy's own id of the
    request (its access log has it too), `version` the protocol version. `body` is what the arguments were read from:
    it is digested off the path. `era` is None where nothing could be read; then the decision's `detail` is the kind of
    the MalformedMessage, if that is why. `part` counts the parts of a batch from 0, `parts` is 1 for everything else.
    `selected_by` says what chose the policy, "" where there was no choice; `caller` who asked for the check, "" without
    a certificate.
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
    selected_by: str = ""
    caller: str = ""


@dataclass(frozen=True, slots=True)
class RulingRecord:
    """What a person said of a request. `time` is seconds since the epoch, `approval` is how it stands afterwards."""

    time: float
    approval: ApprovalRecord
    ruling: Ruling


class AuditSink(Protocol):
    """Where records go."""

    def write(self, record: Record) -> bool:
        """Take a record without waiting; False: it cannot be recorded. Never raises."""
        ...
