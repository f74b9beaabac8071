"""Requests as they stand, look after look -> each that has expired, once. Knows no store and no clock."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from authz.model import ApprovalRecord, ApprovalStatus

REMEMBERED = 10_000  # requests that have been told of; far more than a store keeps of a day


class Lapse(enum.StrEnum):
    """What has had its time."""

    REQUEST = "request"  # nobody decided it
    GRANT = "grant"  # somebody said yes, and no call came


class Lapses:
    """Tells `told` of what expires from now on; what had expired at the first look is history."""

    def __init__(self, told: Callable[[Lapse], None]) -> None:
        self._told = told
        self._known: dict[str, None] = {}  # the first to come first
        self._waiting: frozenset[str] | None = None

    def look(self, records: Sequence[ApprovalRecord]) -> frozenset[str]:
        """Tell of those among `records`; which requests waited at the last look and are not among them at all."""
        before, first = self._waiting or frozenset(), self._waiting is None
        listed = {record.id: record.status for record in records}
        for record in records:
            self.add(record, silently=first)
        self._waiting = frozenset(id_ for id_, status in listed.items() if status is ApprovalStatus.PENDING)
        return before - listed.keys()

    def add(self, record: ApprovalRecord, *, silently: bool = False) -> None:
        """Tell of one, if it has expired and is not known yet."""
        if record.status is not ApprovalStatus.EXPIRED or record.id in self._known:
            return
        self._known[record.id] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        if silently:
            return
        # Who decides ends the wait before it would have ended by itself.
        if record.ended_at >= record.expires_at:
            self._told(Lapse.REQUEST)
        elif not record.used:
            self._told(Lapse.GRANT)
