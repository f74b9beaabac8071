"""Charges -> the counters that judge them, in a table whose bound no caller can use to be counted anew.

A counter in use is never given up. Who comes when the table is full shares one counter of the limit with all others
who do, at the limit's own `max`; who multiplies counters by a value of one's own choice (session id, tool name,
argument) shares one with oneself. Knows no clock and no attempt.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterator
from typing import Any, TypeAlias

from authz.model import Algorithm, Charge, Limit
from authz.state.bucket import TokenBucket
from authz.state.counter import Counter
from authz.state.family import SHARED, Family, member_name
from authz.state.fixed import FixedWindow
from authz.state.store import Usage
from authz.state.window import SlidingWindow

Descriptor: TypeAlias = tuple[tuple[str, str], ...]
# What a counter is for, the limit's key and window, and whose it is. The window is in the key of every limit as it is
# (policies/README.md 6); here it is again, because a counter cannot change it.
Key: TypeAlias = tuple[int, tuple[str, ...], float, Descriptor]

_OWN, _SESSIONS, _CHOSEN, _OVERFLOW = range(4)
_STEPS = 4  # entries looked at in one call: more than one call can add, so reclaiming keeps up


class Table:
    """Counters of at most `most` (principal or session, limit) pairs.

    `sessions` is how many session counters a principal has, `values` how many counters one caller has at one limit by
    choosing tool names and arguments; all of these together take half of the table at most, so that callers who choose
    cannot keep newcomers from a counter of their own. The counters that are shared come on top: one a limit, one a
    caller that has reached `values`, one a principal with sessions.

    `epoch` is what the wall clock said when the clock said 0, for the windows that are aligned to it.
    `overflowed` counts charges that found the table full, `overflows` the same by the limit's name.
    """

    def __init__(self, most: int, sessions: int, values: int, epoch: float) -> None:
        self._most = most
        self._sessions = sessions
        self._values = values
        self._epoch = epoch
        self._counters: dict[Key, Counter] = {}
        self._families: dict[Key, Family] = {}  # those of the counters that cap sessions
        self._chosen: dict[Key, int] = {}
        self._all_chosen = 0
        # When each counter may be empty, at the earliest: its place is corrected when its time comes, not at each
        # charge. One entry a counter; sessions' counters are in their family and go with it.
        self._heap: list[tuple[float, Key]] = []
        self._born: list[tuple[dict[Any, Counter], Any]] = []
        self.size = 0
        self.overflowed = 0
        self.overflows: dict[str, int] = {}

    def find(self, charge: Charge, now: float) -> tuple[Counter, ...]:
        """The counters that `charge` must fit; new ones stay only if `settle` hears that they were charged."""
        limit = charge.limit
        if charge.session:
            return self._find_session(charge, now)
        key = (_OWN, limit.key, limit.window, charge.descriptor)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._open(key, self._new(limit), now)
        if counter.limit is not limit:
            counter.adopt(limit, now)
        return (counter,)

    def settle(self, charged: Collection[Counter]) -> None:
        """End of an attempt: of the counters that `find` made, those in `charged` stay."""
        if not self._born:
            return
        for home, key in self._born[::-1]:  # members before their family; mypyc 2.4 fails at reversed() here
            counter = home[key]
            if counter not in charged:
                self._forget(home, key)
            elif home is self._counters:
                heapq.heappush(self._heap, (counter.due, key))
        self._born.clear()

    def reclaim(self, now: float) -> None:
        """Give up a few counters that are empty at `now`; called at each attempt, so that none has much to do."""
        heap = self._heap
        for _ in range(_STEPS):
            if not heap or heap[0][0] > now:
                return
            key = heap[0][1]
            due = self._counters[key].due
            if due > now:
                heapq.heapreplace(heap, (due, key))
            else:
                heapq.heappop(heap)
                self._forget(self._counters, key)

    def reset(self, server: str, name: str) -> int:
        """Forget the counters of the limit `name` of `server` ("": of all its limits); how many there were."""
        gone = {
            key
            for key, counter in self._counters.items()
            if counter.limit.server == server and name in ("", counter.limit.name)
        }
        before = self.size
        for key in gone:
            members = self._families[key].members.values() if key in self._families else ()
            for counter in (self._counters[key], *members):
                counter.due = -math.inf  # whoever still holds it has nothing to take back from it
            self._forget(self._counters, key)
        self._heap = [entry for entry in self._heap if entry[1] not in gone]
        heapq.heapify(self._heap)
        return before - self.size

    def clear(self) -> None:
        """Let go of everything."""
        self._counters.clear()
        self._families.clear()
        self._chosen.clear()
        self._all_chosen = 0
        self._heap.clear()
        self._born.clear()
        self.size = 0

    def usage(self, now: float, anonymous: bool, server: str, name: str) -> Iterator[Usage]:
        """Those of the limit `name` of `server` ("": of all) that are in use at `now`; the table must not change.

        A full table of which none is wanted takes some 10 ms to pass over (measured).
        """
        for key, counter in self._counters.items():
            limit = counter.limit
            if counter.due <= now or server not in ("", limit.server) or name not in ("", limit.name):
                continue
            kind, _, _, descriptor = key
            shared = kind in (_CHOSEN, _OVERFLOW)
            counters = [("", shared, counter)]
            if family := self._families.get(key):
                counters += [(name, name == SHARED, member) for name, member in family.members.items()]
            for session, common, one in counters:
                if used := one.used(now):
                    yield Usage(one.limit, descriptor, session, anonymous, common, used, one.most, one.reset(now))

    def _find_session(self, charge: Charge, now: float) -> tuple[Counter, ...]:
        limit = charge.limit
        key = (_SESSIONS, limit.key, limit.window, charge.descriptor)
        family = self._families.get(key)
        if family is None:
            cap = self._open(key, self._new(limit, self._sessions), now)
            family = self._families.get(key)
            if family is None:  # shared with others: there is no place for this principal
                cap.adopt(limit, now)
                return (cap,)
        member = self._member(family, charge.session, now)
        for counter in (member, family.cap):
            if counter.limit is not limit:
                counter.adopt(limit, now)
        return (member, family.cap)

    def _member(self, family: Family, session: str, now: float) -> Counter:
        """The counter of `session`, or the one of all sessions that have none."""
        name = member_name(session)
        member = family.members.get(name)
        if member is not None and member.due > now:
            return member
        shared = family.members.get(SHARED)
        if member is None:
            if family.crowded(self._sessions):
                self.size -= family.dismiss(now)
            if family.crowded(self._sessions) or self.size >= self._most:
                return shared or self._bear(family.members, SHARED, self._new(family.cap.limit))
            member = self._bear(family.members, name, self._new(family.cap.limit))
        else:
            # It is empty, so its place might have gone to another meanwhile: as if it were new.
            member.due = math.inf
            self._born.append((family.members, name))
        if shared is not None:
            member.inherit(shared, now)
        return member

    def _new(self, limit: Limit, times: int = 1) -> Counter:
        if limit.algorithm is Algorithm.SLIDING_WINDOW:
            return SlidingWindow(limit, times)
        if limit.algorithm is Algorithm.FIXED_WINDOW:
            return FixedWindow(limit, self._epoch, times)
        return TokenBucket(limit, times)

    def _open(self, key: Key, counter: Counter, now: float) -> Counter:
        """`counter` under `key` if there is a place for it, else the counter that those without one share."""
        _, limit, window, _ = key
        overflow = (_OVERFLOW, limit, window, ())
        chosen = _chosen_by(key)
        if chosen and self._chosen.get(chosen, 0) >= self._values:
            return self._share(chosen, counter.limit)
        if chosen and self._all_chosen >= self._most // 2 and (chosen in self._counters or self.size < self._most):
            return self._share(chosen, counter.limit)
        if self.size >= self._most:
            self.overflowed += 1
            self.overflows[counter.limit.name] = self.overflows.get(counter.limit.name, 0) + 1
            return self._share(overflow, counter.limit)
        family = Family(counter) if key[0] == _SESSIONS else None
        for shared in (self._counters.get(overflow), chosen and self._counters.get(chosen)):
            if shared and shared.used(now):
                counter.inherit(shared, now)
                if family:
                    family.members.setdefault(SHARED, self._new(counter.limit)).inherit(shared, now)
        if chosen:
            self._chosen[chosen] = self._chosen.get(chosen, 0) + 1
            self._all_chosen += 1
        self._bear(self._counters, key, counter)
        if family:
            self._families[key] = family
            self.size += len(family.members)
        return counter

    def _share(self, key: Key, limit: Limit) -> Counter:
        shared = self._counters.get(key)
        return shared or self._bear(self._counters, key, self._new(limit))

    def _bear(self, home: dict[Any, Counter], key: Any, counter: Counter) -> Counter:
        home[key] = counter
        self._born.append((home, key))
        self.size += 1
        return counter

    def _forget(self, home: dict[Any, Counter], key: Any) -> None:
        del home[key]
        self.size -= 1
        if home is not self._counters:
            return
        if family := self._families.pop(key, None):
            self.size -= len(family.members)
        if chosen := _chosen_by(key):
            self._all_chosen -= 1
            if self._chosen[chosen] == 1:
                del self._chosen[chosen]
            else:
                self._chosen[chosen] -= 1


def _chosen_by(key: Key) -> Key | None:
    """Where a caller's counters are counted that differ only in what the caller chooses; none where nothing is."""
    kind, limit, window, descriptor = key
    if kind in (_CHOSEN, _OVERFLOW):
        return None
    owner = tuple(part for part in descriptor if part[0] != "tool" and not part[0].startswith("args."))
    return None if len(owner) == len(descriptor) else (_CHOSEN, limit, window, owner)
