"""The contract every store keeps: obligations are discharged in one atomic step, or nothing is.

Also what people see and change of a store: counters in use, requests for approval and what was said of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from authz.model import ApprovalRecord, ApprovalRequest, ApprovalStatus, Charge, Discharge, Limit, Ruling


class Owed(Struct, frozen=True, gc=False):
    """What one message owes: charges, and at most one request that stands for all approvals it needs."""

    charges: tuple[Charge, ...] = ()
    request: ApprovalRequest | None = None


class Attempt(Struct, frozen=True, gc=False):
    """All that one HTTP request owes.

    `parts` has what each message owes (a batch has several); they are paid together or not at all.
    `repeat_key` identifies the HTTP request, b"" where it cannot be identified: the same key within 10 s was already
    paid and is not charged again (the proxy retries a check whose answer it did not get, policies/README.md 5).
    `peek` asks what would happen, pays nothing and files nothing.
    """

    parts: Sequence[Owed]
    repeat_key: bytes = b""
    peek: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """One counter as it stands. `resets_in` is in seconds; `session` is "" where it counts no single session.

    `shared` says that it counts callers or sessions that have no counter of their own.
    """

    limit: Limit
    descriptor: tuple[tuple[str, str], ...]
    session: str
    anonymous: bool
    shared: bool
    used: float
    max: float
    resets_in: float


class Store(Protocol):
    """What outlives one call: counters, grants and requests already paid."""

    async def discharge(self, attempt: Attempt) -> Discharge:
        """Pay all of `attempt` or nothing; raises StoreError when the store cannot tell.

        Requests are looked up by their digest. Where one is denied, nothing is paid. Where one is not granted yet, the
        parts without a request of their own file theirs, which charges their limits (an exhausted one: nothing is
        filed); a request that is pending is joined and nothing is charged. Where all are granted, a use of each grant
        is claimed and everything is charged in the same step; what filing has charged is taken back first, so that a
        call counts once, at the time it runs. An exhausted limit then leaves the grants as they are.
        """
        ...

    async def usage(self, most: int = 1_000, *, server: str = "", limit: str = "") -> Sequence[Usage]:
        """Up to `most` counters in use now, only of the server and limit so named where that is not ""; all of them
        where there are fewer. Raises StoreError.
        """
        ...

    async def reset(self, server: str, limit: str = "") -> int:
        """Forget the counters of the limit named `limit` of `server` ("": of all its limits); how many there were."""
        ...

    async def close(self) -> None:
        """Let go of what the store holds; a closed store raises StoreError."""
        ...


def any_record(_: ApprovalRecord) -> bool:
    """Every request is wanted."""
    return True


def is_wanted(record: ApprovalRecord, pending: bool | None, wanted: Callable[[ApprovalRecord], bool]) -> bool:
    """Whether a list that is asked for as `Approvals.records` says has this request."""
    return pending in (None, record.status is ApprovalStatus.PENDING) and wanted(record)


class Approvals(Protocol):
    """The requests for approval in a store, for people. Each method raises StoreError when the store cannot tell."""

    async def records(
        self, *, most: int = 200, pending: bool | None = None, wanted: Callable[[ApprovalRecord], bool] = any_record
    ) -> Sequence[ApprovalRecord]:
        """Pending requests and those that ended in the last day, the newest first.

        `pending` takes only those that wait, or only those that do not; `wanted` must not change anything. Up to
        `most` of those that are left. A store may leave out what will run (`params` is "" then): `record` has it.
        """
        ...

    async def record(self, id_: str) -> ApprovalRecord | None:
        """The request `id_`, None if there is none."""
        ...

    async def submit(self, id_: str, ruling: Ruling) -> ApprovalRecord | None:
        """Add `ruling` if the request is still pending, in one atomic step; the request afterwards, None if unknown.

        A no ends it. A yes counts for the entries of `by` that it satisfies; when every entry is satisfied the request
        is granted. Whether this approver may say so is `judge`'s business, not the store's.
        """
        ...

    async def changes(self) -> int:
        """A number that grows whenever any request is filed, decided, claimed or expires."""
        ...
