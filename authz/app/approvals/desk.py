"""An approver and what they want -> requests they may see, and their decision taken or refused. The page, the API and
the command line all come here. Knows no HTTP.
"""

from __future__ import annotations

import enum
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from authz.app.approvals.metrics import ApprovalMetrics
from authz.audit import RulingRecord
from authz.model import ApprovalRecord, ApprovalStatus, Approver, Ruling
from authz.state.approvals import Judge, Refusal
from authz.state.store import Approvals

_log = logging.getLogger("mcp_authz.approvals")

WAITING = 1_000  # requests that wait: a store keeps no more (authz/state/ledger.py)
LISTED = 500  # requests that have ended which a page and its news know of, the newest
MAX_COMMENT = 1000  # characters
_SAME = 0.01  # seconds: a store may round the time of a ruling


class View(enum.StrEnum):
    """Which requests a list has: a status, those that wait, those that do not, or all."""

    PENDING = "pending"
    GRANTED = "granted"
    DENIED = "denied"
    USED = "used"
    EXPIRED = "expired"
    ENDED = "ended"
    ALL = "all"

    def has(self, status: ApprovalStatus) -> bool:
        """Whether a request of this status is in the list."""
        if self is View.ENDED:
            return status is not ApprovalStatus.PENDING
        return self is View.ALL or status.value == self.value


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list is narrowed to; "" is no matter. `principal` is a part of the name, the others are whole."""

    view: View = View.PENDING
    server: str = ""
    tool: str = ""
    principal: str = ""

    def takes(self, record: ApprovalRecord) -> bool:
        """Whether a request is in the list."""
        request = record.request
        return (
            self.view.has(record.status)
            and self.server in ("", request.server)
            and self.tool in ("", request.tool)
            and self.principal.casefold() in request.principal.casefold()
        )


class Desk:
    """Where approvers are served. `on_ruling` hears of each decision that was taken, with the request after it."""

    def __init__(
        self,
        approvals: Approvals,
        judge: Judge,
        metrics: ApprovalMetrics,
        *,
        audit: Callable[[RulingRecord], None],
        decided: Callable[[ApprovalRecord], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.judge = judge
        self.clock = clock
        self._approvals = approvals
        self._metrics = metrics
        self._audit = audit
        self._decided = decided

    async def requests(self, approver: Approver) -> list[ApprovalRecord]:
        """What `approver` may see of all that wait and the newest that have ended; raises StoreError."""
        return self.visible(approver, await present(self._approvals))

    async def search(self, approver: Approver, narrowed: Filter, most: int) -> list[ApprovalRecord]:
        """Up to `most` of all that the store has, that `approver` may see and that are in the list; the newest first.

        Raises StoreError.
        """
        pending = {View.PENDING: True, View.ALL: None}.get(narrowed.view, False)

        def wanted(record: ApprovalRecord) -> bool:
            return narrowed.takes(record) and self.judge.sees(approver, record)

        return list(await self._approvals.records(most=most, pending=pending, wanted=wanted))

    def visible(self, approver: Approver, records: Iterable[ApprovalRecord]) -> list[ApprovalRecord]:
        """Those of `records` that are this approver's business."""
        return [record for record in records if self.judge.sees(approver, record)]

    async def request(self, approver: Approver, id_: str) -> ApprovalRecord | None:
        """One request; None where there is none, and where it is not theirs: nobody learns which. Raises StoreError."""
        record = await self._approvals.record(id_)
        return record if record is not None and self.judge.sees(approver, record) else None

    async def rule(
        self, approver: Approver, id_: str, granted: bool, *, comment: str, origin: str
    ) -> ApprovalRecord | Refusal:
        """Take a decision; the request after it, or why it was not taken. Raises StoreError."""
        comment = comment.replace("\r\n", "\n").strip()
        record = await self._approvals.record(id_)
        ruling = self.judge.judge(approver, record, granted, comment=comment, at=self.clock(), origin=origin)
        if isinstance(ruling, Ruling):
            after = await self._approvals.submit(id_, ruling)
            if after is None:
                ruling = Refusal.UNKNOWN
            elif not _has(after, ruling):
                ruling = Refusal.ENDED  # somebody was faster
            else:
                self._took(after, ruling)
                return after
        self._metrics.refused(ruling)
        _log.info("approvals: a ruling of %s on %s was refused: %s", approver.id, id_, ruling.value)
        return ruling

    def _took(self, record: ApprovalRecord, ruling: Ruling) -> None:
        self._metrics.ruled(record)
        self._audit(RulingRecord(ruling.at, record, ruling))
        if record.status is not ApprovalStatus.PENDING:
            self._decided(record)


async def present(approvals: Approvals) -> list[ApprovalRecord]:
    """All requests that wait, then the newest that have ended, each the newest first; raises StoreError."""
    ended = await approvals.records(most=LISTED, pending=False)
    # In this order none is in both: what is decided between the two is missing, and its news is on the way.
    return [*await approvals.records(most=WAITING, pending=True), *ended]


def state_of(records: Sequence[ApprovalRecord]) -> str:
    """A short digest of how requests stand, by which a page knows whether it shows the present."""
    text = "\n".join(f"{record.id} {record.status.value} {len(record.rulings)} {record.used}" for record in records)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _has(record: ApprovalRecord, ruling: Ruling) -> bool:
    return any(
        one.approver == ruling.approver and one.granted == ruling.granted and abs(one.at - ruling.at) < _SAME
        for one in record.rulings
    )
