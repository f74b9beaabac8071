"""One request for approval and how it stands, told in the terms of people and of whoever asks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from authz.model import ApprovalRecord, ApprovalRequest, ApprovalStatus, Ruling, Standing


@dataclass(slots=True, eq=False)
class Filed:
    """A request and how it stands. `until` and `kept` are the clock's seconds, the others the wall clock's.

    `until` is when it stops waiting, serving or being a denial; `kept` when it is forgotten, after it has ended.
    `charged` is what filing it has charged, which only the store understands; `filed` is when.
    """

    id: str
    request: ApprovalRequest
    filed: float
    requested_at: float
    until: float
    expires_at: float
    charged: tuple[Any, ...] = ()
    status: ApprovalStatus = ApprovalStatus.PENDING
    rulings: tuple[Ruling, ...] = ()
    used: int = 0
    ended_at: float = 0.0
    kept: float = math.inf

    @property
    def record(self) -> ApprovalRecord:
        """The same for people."""
        return ApprovalRecord(
            self.id,
            self.request,
            self.status,
            self.requested_at,
            self.expires_at,
            self.rulings,
            self.used,
            self.ended_at,
        )

    def standing(self, now: float, status: ApprovalStatus | None = None, *, filed: bool = False) -> Standing:
        """The same for who asks; `status` if it is another to this caller."""
        status = status or self.status
        decided = status is not ApprovalStatus.PENDING and bool(self.rulings)
        by, comment = (self.rulings[-1].approver, self.rulings[-1].comment) if decided else ("", "")
        return Standing(self.id, status, max(0.0, self.until - now), filed, by, comment)

    def serves(self, calls: int) -> bool:
        """Whether its grant is good for `calls` more."""
        granted = self.status is ApprovalStatus.GRANTED
        return granted and (not self.request.uses or self.used + calls <= self.request.uses)
