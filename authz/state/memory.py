"""The embedded store: obligations -> a discharge, from counters in this process's memory.

Knows no event loop: `discharge` never suspends, so in one thread each attempt is atomic. What is owed is looked at as a
whole first and only then charged, so a refusal has nothing to take back. It makes no reference cycles.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import chain, islice

from authz.errors import StoreError
from authz.model import Charge, Discharge, Limit, Quota
from authz.state.repeats import Repeats, identify
from authz.state.store import Attempt, Store
from authz.state.table import Table, Usage
from authz.state.window import Counter

_NOTHING_OWED = Discharge(paid=True)


class MemoryStore(Store):
    """Limits that hold in this process alone and are empty when it starts.

    `clock` gives monotonic seconds; where it goes back time stands still for that step and then runs on.
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
        sessions: int = 10,
        max_counters: int = 100_000,
        max_anonymous: int = 50_000,
        max_values: int = 1_000,
        repeat_window: float = 10.0,
        max_repeats: int = 50_000,
    ) -> None:
        self._clock = clock
        self._read = clock()
        self._back = 0.0
        # One each for verified and anonymous callers, indexed by `Charge.anonymous`.
        self._tables = (Table(max_counters, sessions, max_values), Table(max_anonymous, sessions, max_values))
        self._repeats = (Repeats(repeat_window, max_repeats), Repeats(repeat_window, max_repeats))
        self._closed = False

    async def discharge(self, attempt: Attempt) -> Discharge:
        """Pay all of `attempt` or nothing; raises StoreError once closed, and for a cost that is no positive number."""
        if self._closed:
            raise StoreError("memory store: expected it open, got a call after close")
        charges, missing = _read(attempt)
        if not charges:
            return Discharge(paid=False, approval_missing=True) if missing else _NOTHING_OWED

        now = self._now()
        repeats = self._repeats[charges[0].anonymous]
        known = repeats.recall(attempt.repeat_key, now) if attempt.repeat_key else None
        owed: dict[Counter, float] = {}
        for charge in charges:
            cost = charge.cost
            if known:
                identity = identify(charge)
                covered = min(cost, known.get(identity, 0.0))
                known[identity] = known.get(identity, 0.0) - covered
                cost -= covered
            for counter in self._tables[charge.anonymous].find(charge, now):
                owed[counter] = owed.get(counter, 0.0) + cost

        exhausted: dict[tuple[str, ...], Limit] = {}
        retry_after = 0.0
        for counter, cost in owed.items():
            # A repeat that was paid passes, even if `max` has become less.
            if counter.used(now) + cost > counter.most and cost:
                exhausted[counter.limit.key] = counter.limit
                retry_after = max(retry_after, counter.wait(now, cost))
        paid = not exhausted and not missing
        charged = [counter for counter, cost in owed.items() if cost] if paid and not attempt.peek else []
        for counter in charged:
            counter.add(now, owed[counter])
        for table in self._tables:
            table.settle(charged)
        if charged and attempt.repeat_key:
            repeats.remember(attempt.repeat_key, charges, now)
        return Discharge(paid, tuple(exhausted.values()), retry_after, missing, _quotas(owed, now))

    async def close(self) -> None:
        """Forget everything; whatever is asked afterwards raises StoreError."""
        self._closed = True
        for kept in (*self._tables, *self._repeats):
            kept.clear()

    @property
    def size(self) -> int:
        """Counters kept for verified callers."""
        return self._tables[False].size

    @property
    def anonymous_size(self) -> int:
        """Counters kept for anonymous callers."""
        return self._tables[True].size

    @property
    def repeats_size(self) -> int:
        """Requests known to have been paid."""
        return sum(len(repeats) for repeats in self._repeats)

    @property
    def overflowed(self) -> int:
        """Charges so far that found their table full and were judged by the counter that newcomers share."""
        return sum(table.overflowed for table in self._tables)

    @property
    def overflows(self) -> Mapping[str, int]:
        """`overflowed` by the name of the limit."""
        verified, anonymous = (table.overflows for table in self._tables)
        return {name: verified.get(name, 0) + anonymous.get(name, 0) for name in verified | anonymous}

    def snapshot(self, most: int = 1_000) -> tuple[Usage, ...]:
        """Up to `most` counters in use now, verified callers' first; no more than ten times as many are looked at."""
        now = self._now()
        usages = (table.usage(now, bool(i), 10 * most) for i, table in enumerate(self._tables))
        return tuple(islice(chain.from_iterable(usages), most))

    def _now(self) -> float:
        """The clock's seconds, which never go back; what has had its time is given up, a little at each call."""
        read = self._clock()
        if read < self._read:
            self._back += self._read - read
        self._read = read
        now = read + self._back
        for table in self._tables:
            table.reclaim(now)
        for repeats in self._repeats:
            repeats.reclaim(now)
        return now


def _read(attempt: Attempt) -> tuple[list[Charge], bool]:
    """The charges of all parts, and whether an approval is asked for: there are no grants yet, so it is missing."""
    charges: list[Charge] = []
    missing = False
    for obligation in chain.from_iterable(attempt.parts):
        if isinstance(obligation, Charge):
            if not 0.0 < obligation.cost < math.inf:
                raise StoreError(f"{obligation.limit.name}: expected a finite cost above 0, got {obligation.cost!r}")
            charges.append(obligation)
        else:
            missing = True
    return charges, missing


def _quotas(counters: Mapping[Counter, float], now: float) -> tuple[Quota, ...]:
    """What is left of each limit by the tightest of its counters."""
    quotas: dict[tuple[str, ...], Quota] = {}
    for counter in counters:
        limit = counter.limit
        left, reset = counter.left(), counter.reset(now)
        kept = quotas.get(limit.key)
        if kept is None or (left, -reset) < (kept.remaining, -kept.reset):
            quotas[limit.key] = Quota(limit, left, reset)
    return tuple(quotas.values())
