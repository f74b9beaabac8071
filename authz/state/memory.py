"""The embedded store: obligations -> a discharge, from counters and requests for approval in this process's memory.

Knows no event loop: `discharge` never suspends, so in one thread each attempt is atomic. What is owed is looked at as a
whole first and only then charged, so a refusal has nothing to take back. It makes no reference cycles.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from authz.errors import StoreError
from authz.model import ApprovalRecord, ApprovalRequest, Charge, Discharge, Ruling, Standing
from authz.state.approvals import FILING_LIMIT, PENDING_LIMIT
from authz.state.counters import Counters, quotas, refusals
from authz.state.filing import charged_by, put_back, take_back
from authz.state.ledger import Ledger
from authz.state.repeats import Repeats
from authz.state.standings import Standings, look_up
from authz.state.store import Approvals, Attempt, Store, Usage, any_record, is_wanted
from authz.state.table import Table

_NO_STANDING: tuple[Standing | None, ...] = (None,)


class MemoryStore(Store, Approvals):
    """Limits and approvals that hold in this process alone and are empty when it starts.

    `clock` gives monotonic seconds; where it goes back time stands still for that step and then runs on. `wall` gives
    seconds since the epoch: read once for the windows that are aligned to UTC, else only for people. `new_id` names a
    request.
    `sessions` is the setting of that name (policies/README.md 6). `max_counters` bounds the table of verified callers,
    `max_anonymous` the one of all others, `max_values` the counters that one caller gets at one limit by its choice of
    tool names and arguments (the bound that keeps one caller from filling the table for all).
    `max_repeats` requests of each kind of caller are known for `repeat_window` seconds (policies/README.md 5).

    Not for several threads at once. A limit of cost above its `max` never passes: `retry_after` is `math.inf`, which
    means that there is no time to retry. Of a peek, `paid` says whether the attempt would be.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        wall: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
        sessions: int = 10,
        max_counters: int = 65_536,
        max_anonymous: int = 32_768,
        max_values: int = 1_000,
        repeat_window: float = 10.0,
        max_repeats: int = 50_000,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._new_id = new_id
        self._read = clock()
        self._back = 0.0
        epoch = wall() - self._read
        self._counters = Counters(
            Table(max_counters, sessions, max_values, epoch), Table(max_anonymous, sessions, max_values, epoch)
        )
        # One each for verified and anonymous callers.
        self._repeats = (Repeats(repeat_window, max_repeats), Repeats(repeat_window, max_repeats))
        self._ledger = Ledger()
        self._closed = False

    async def discharge(self, attempt: Attempt) -> Discharge:
        """Pay all of `attempt` or nothing; raises StoreError once closed, and for a cost that is no positive number."""
        now = self._now()
        charges, requests = _read(attempt)
        if not charges and not requests:
            return Discharge(paid=True, standings=_NO_STANDING * len(attempt.parts))
        repeats = self._repeats[(charges or requests)[0].anonymous]
        known = repeats.recall(attempt.repeat_key, now) if attempt.repeat_key else None
        found = look_up(self._ledger, attempt.parts, known, now) if requests else None
        if found is not None and not found.granted:
            return self._ask(attempt, charges, found, now)

        owed = self._counters.owed(charges, known, now)
        filings = take_back(found.claims, self._counters.places(charges, now), now) if found is not None else []
        exhausted, retry_after = refusals(owed, now)
        paid = not exhausted
        if attempt.peek or not paid:
            put_back(filings)
            self._counters.leave()
        else:
            charged = self._counters.charge(owed, now)
            if found is not None:
                for filed in found.claims:
                    self._ledger.claim(filed, now)
            if attempt.repeat_key and (charged or (found is not None and found.claims)):
                repeats.remember(attempt.repeat_key, charges, found.claimed if found is not None else (), now)
        standings = tuple(found.parts) if found is not None else _NO_STANDING * len(attempt.parts)
        return Discharge(paid, exhausted, retry_after, quotas(owed, now), standings)

    def note(self, attempt: Attempt) -> None:
        """Count the charges of `attempt`, which another store has paid, whether or not they fit here.

        So a replica goes on from what it knew when the shared store is away. The requests of `attempt` are not looked
        at: grants are claimed in the shared store alone. Raises StoreError as `discharge` does.
        """
        now = self._now()
        charges, _ = _read(attempt)
        if not charges:
            return
        repeats = self._repeats[charges[0].anonymous]
        known = repeats.recall(attempt.repeat_key, now) if attempt.repeat_key else None
        if self._counters.charge(self._counters.owed(charges, known, now), now) and attempt.repeat_key:
            repeats.remember(attempt.repeat_key, charges, (), now)

    async def usage(self, most: int = 1_000, *, server: str = "", limit: str = "") -> tuple[Usage, ...]:
        """Up to `most` counters in use now, verified callers' first, of the server and limit so named, "": of all."""
        return tuple(islice(self._counters.usage(self._now(), server, limit), most))

    async def reset(self, server: str, limit: str = "") -> int:
        """Forget the counters of the limit named `limit` of `server` ("": of all its limits); how many there were."""
        self._now()
        return self._counters.reset(server, limit)

    async def records(
        self, *, most: int = 200, pending: bool | None = None, wanted: Callable[[ApprovalRecord], bool] = any_record
    ) -> tuple[ApprovalRecord, ...]:
        """Up to `most` requests that wait, serve or have ended in the last day, the newest first."""
        newest = (filed.record for filed in self._ledger.newest(self._now()))
        return tuple(islice((one for one in newest if is_wanted(one, pending, wanted)), most))

    async def record(self, id_: str) -> ApprovalRecord | None:
        """The request `id_`, None if there is none."""
        filed = self._ledger.get(id_, self._now())
        return filed.record if filed is not None else None

    async def submit(self, id_: str, ruling: Ruling) -> ApprovalRecord | None:
        """Add `ruling` if the request still waits; the request afterwards, None if there is none."""
        now = self._now()
        filed = self._ledger.get(id_, now)
        if filed is None:
            return None
        self._ledger.rule(filed, ruling, now, self._wall())
        return filed.record

    async def changes(self) -> int:
        """A number that grows whenever any request is filed, decided, claimed or expires."""
        self._now()
        return self._ledger.changes

    async def close(self) -> None:
        """Forget everything; whatever is asked afterwards raises StoreError."""
        self._closed = True
        for kept in (self._counters, self._ledger, *self._repeats):
            kept.clear()

    @property
    def size(self) -> int:
        """Counters kept for verified callers."""
        return self._counters.tables[False].size

    @property
    def anonymous_size(self) -> int:
        """Counters kept for anonymous callers."""
        return self._counters.tables[True].size

    @property
    def repeats_size(self) -> int:
        """Requests known to have been paid."""
        return sum(len(repeats) for repeats in self._repeats)

    @property
    def overflowed(self) -> int:
        """Charges so far that found their table full and were judged by the counter that newcomers share."""
        return sum(table.overflowed for table in self._counters.tables)

    @property
    def overflows(self) -> Mapping[str, int]:
        """`overflowed` by the name of the limit."""
        verified, anonymous = (table.overflows for table in self._counters.tables)
        return {name: verified.get(name, 0) + anonymous.get(name, 0) for name in verified | anonymous}

    @property
    def requests_size(self) -> int:
        """Requests for approval that are kept, whether or not they have ended."""
        return len(self._ledger)

    def _ask(self, attempt: Attempt, charges: Sequence[Charge], found: Standings, now: float) -> Discharge:
        """Somebody must say yes first: file what is not filed yet if what its own parts owe fits, else nothing."""
        filing = [] if found.denied else [attempt.parts[parts[0]] for parts in found.missing.values()]
        requests = [part.request for part in filing if part.request is not None]
        owed = self._counters.owed([charge for part in filing for charge in part.charges], None, now)
        asking = [Charge(FILING_LIMIT, (("owner", one.owner),), 1.0, "", one.anonymous) for one in requests]
        owed |= self._counters.owed(asking, None, now)
        exhausted, retry_after = refusals(owed, now)
        blocked = self._ledger.blocked(requests, now) if requests else None
        if blocked is not None:
            exhausted, retry_after = (*exhausted, PENDING_LIMIT), max(retry_after, blocked)
        if exhausted:
            found.unfiled()
            self._counters.leave()
        elif requests and not attempt.peek:
            at = self._wall()
            for part, request in zip(filing, requests, strict=True):
                paid = charged_by(part.charges, self._counters.places(part.charges, now))
                found.filed(self._ledger.file(self._new_id(), request, paid, now, at), now)
            self._counters.charge(owed, now)
        return Discharge(False, exhausted, retry_after, self._counters.quotas(charges, now), tuple(found.parts))

    def _now(self) -> float:
        """The clock's seconds, which never go back; what has had its time is given up, a little at each call."""
        if self._closed:
            raise StoreError("memory store: expected it open, got a call after close")
        read = self._clock()
        if read < self._read:
            self._back += self._read - read
        self._read = read
        now = read + self._back
        self._counters.reclaim(now)
        for repeats in self._repeats:
            repeats.reclaim(now)
        if self._ledger.wakes <= now:
            self._ledger.advance(now)
        return now


def _read(attempt: Attempt) -> tuple[list[Charge], list[ApprovalRequest]]:
    """The charges and requests of all parts; raises StoreError for a cost that no counter can count."""
    charges: list[Charge] = []
    requests: list[ApprovalRequest] = []
    for part in attempt.parts:
        for charge in part.charges:
            if not 0.0 < charge.cost < math.inf:
                raise StoreError(f"{charge.limit.name}: expected a finite cost above 0, got {charge.cost!r}")
            charges.append(charge)
        if part.request is not None:
            requests.append(part.request)
    return charges, requests
