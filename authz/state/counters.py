"""All counters of a store: charges -> the counters that judge them, whether they fit, and how the limits stand.

Knows no attempt, no approval and no clock. After `owed` or `places` comes `charge` or `leave` before the next attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from authz.model import Charge, Limit, Quota
from authz.state.counter import Counter
from authz.state.repeats import Identity, Paid, identify
from authz.state.store import Usage
from authz.state.table import Table


class Counters:
    """One table each for `verified` and `anonymous` callers, so that the flood of the latter touches nobody else."""

    def __init__(self, verified: Table, anonymous: Table) -> None:
        self.tables = (verified, anonymous)  # indexed by `Charge.anonymous`

    def owed(self, charges: Iterable[Charge], known: Paid | None, now: float) -> dict[Counter, float]:
        """What each counter is owed; uses up what is `known` to be paid, and 0 where all is."""
        owed: dict[Counter, float] = {}
        for charge in charges:
            cost = known.cover(charge) if known else charge.cost
            for counter in self.tables[charge.anonymous].find(charge, now):
                owed[counter] = owed.get(counter, 0.0) + cost
        return owed

    def places(self, charges: Iterable[Charge], now: float) -> dict[Identity, tuple[Counter, ...]]:
        """The counters of each charge, the narrowest first."""
        return {identify(charge): self.tables[charge.anonymous].find(charge, now) for charge in charges}

    def charge(self, owed: Mapping[Counter, float], now: float) -> bool:
        """Count what is owed, all of it; whether there was anything."""
        charged = [counter for counter, cost in owed.items() if cost]
        for counter in charged:
            counter.add(now, owed[counter])
        for table in self.tables:
            table.settle(charged)
        return bool(charged)

    def leave(self) -> None:
        """Nothing is charged."""
        for table in self.tables:
            table.settle(())

    def quotas(self, charges: Iterable[Charge], now: float) -> tuple[Quota, ...]:
        """How the limits of `charges` stand; nothing is charged."""
        owed = self.owed(charges, None, now)
        for counter in owed:
            counter.used(now)
        self.leave()
        return quotas(owed, now)

    def reclaim(self, now: float) -> None:
        """Give up a few counters whose time is over."""
        for table in self.tables:
            table.reclaim(now)

    def reset(self, server: str, limit: str) -> int:
        """Forget the counters of the limit named `limit` of `server` ("": of all its limits); how many there were."""
        return sum(table.reset(server, limit) for table in self.tables)

    def usage(self, now: float, server: str, limit: str) -> Iterator[Usage]:
        """Those that are in use at `now`, verified callers' first, of the server and limit so named, "": of all."""
        return chain.from_iterable(table.usage(now, bool(i), server, limit) for i, table in enumerate(self.tables))

    def clear(self) -> None:
        """Forget everything."""
        for table in self.tables:
            table.clear()


def refusals(owed: Mapping[Counter, float], now: float) -> tuple[tuple[Limit, ...], float]:
    """The limits that refuse, each once, and the seconds until none of them would; nothing is counted."""
    exhausted: dict[tuple[str, ...], Limit] = {}
    retry_after = 0.0
    for counter, cost in owed.items():
        # A repeat that was paid passes, even if `max` has become less.
        if counter.used(now) + cost > counter.most and cost:
            exhausted[counter.limit.key] = counter.limit
            retry_after = max(retry_after, counter.wait(now, cost))
    return tuple(exhausted.values()), retry_after


def quotas(counters: Iterable[Counter], now: float) -> tuple[Quota, ...]:
    """What is left of each limit by the tightest of its counters, after `used(now)` of each."""
    kept: dict[tuple[str, ...], Quota] = {}
    for counter in counters:
        limit = counter.limit
        left, reset = counter.left(now), counter.reset(now)
        before = kept.get(limit.key)
        if before is None or (left, -reset) < (before.remaining, -before.reset):
            kept[limit.key] = Quota(limit, left, reset)
    return tuple(kept.values())
