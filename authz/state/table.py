"""Charges -> the counters that judge them, in a table whose bound no caller can use to be counted anew.

A counter in use is never given up. Who comes when the table is full shares one counter of the limit with all others
who do, at the limit's own `max`; who multiplies counters by a value of one's own choice (session id, tool name,
argument) shares one with oneself. Knows no clock and no attempt.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from authz.model import Charge, Limit
from authz.state.window import Counter

Descriptor: TypeAlias = tuple[tuple[str, str], ...]
# What a counter is for, the limit's key and window, and whose it is. The window is in the key of every limit as it is
# (policies/README.md 6); here it is again, because a counter cannot change it.
Key: TypeAlias = tuple[int, tuple[str, ...], float, Descriptor]

_OWN, _SESSIONS, _CHOSEN, _OVERFLOW = range(4)
_SHARED = ""  # among the members of a family, the counter of all sessions that have none: no session has this id
_LONGEST_SESSION = 64  # characters; beyond that its digest stands for it, as in descriptors
_STEPS = 4  # entries looked at in one call: more than one call can add, so reclaiming keeps up


@dataclass(frozen=True, slots=True)
class Usage:
    """One counter as it stands. `resets_in` is in seconds; `session` is "" where it counts no single session.

    `shared` says that it counts callers or sessions that have no counter of their own.
    """

    limit: Limit
    descriptor: Descriptor
    session: str
    anonymous: bool
    shared: bool
    used: float
    max: float
    resets_in: float


class Family(Counter):
    """The counter that caps all sessions of one principal, with theirs. It lives at least as long as each of them."""

    __slots__ = ("free_at", "members")

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.members: dict[str, Counter] = {}
        self.free_at = -math.inf  # none of them is empty before

    def crowded(self, sessions: int) -> bool:
        """Whether `sessions` of them have a counter of their own."""
        return len(self.members) - (_SHARED in self.members) >= sessions

    def dismiss(self, now: float) -> int:
        """Take the place of sessions whose window is empty at `now`; how many."""
        if now < self.free_at:
            return 0
        gone = [name for name, member in self.members.items() if name and member.due <= now]
        for name in gone:
            del self.members[name]
        # Those that the attempt at hand made will be empty a window from now.
        dues = [member.due for name, member in self.members.items() if name]
        self.free_at = min([*dues, now + self.limit.window])
        return len(gone)


class Table:
    """Counters of at most `most` (principal or session, limit) pairs.

    `sessions` is how many session counters a principal has, `values` how many counters one caller has at one limit by
    choosing tool names and arguments; all of these together take half of the table at most, so that callers who choose
    cannot keep newcomers from a counter of their own. The counters that are shared come on top: one a limit, one a
    caller that has reached `values`, one a principal with sessions.

    `overflowed` counts charges that found the table full, `overflows` the same by the limit's name.
    """

    def __init__(self, most: int, sessions: int, values: int) -> None:
        self._most = most
        self._sessions = sessions
        self._values = values
        self._counters: dict[Key, Counter] = {}
        self._chosen: dict[Key, int] = {}
        self._all_chosen = 0
        # When each counter may be empty, at the earliest: its place is corrected when its time comes, not at each
        # charge. One entry a counter; sessions' counters are in their family and go with it.
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()  # keys are never compared
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
            counter = self._open(key, Counter(limit), now)
        counter.limit = limit
        counter.most = limit.max
        return (counter,)

    def settle(self, charged: Collection[Counter]) -> None:
        """End of an attempt: of the counters that `find` made, those in `charged` stay."""
        if not self._born:
            return
        for home, key in reversed(self._born):  # members before their family
            counter = home[key]
            if counter not in charged:
                self._forget(home, key)
            elif home is self._counters:
                heapq.heappush(self._heap, (counter.due, next(self._order), key))
        self._born.clear()

    def reclaim(self, now: float) -> None:
        """Give up a few counters that are empty at `now`; called at each attempt, so that none has much to do."""
        heap = self._heap
        for _ in range(_STEPS):
            if not heap or heap[0][0] > now:
                return
            _, order, key = heap[0]
            due = self._counters[key].due
            if due > now:
                heapq.heapreplace(heap, (due, order, key))
            else:
                heapq.heappop(heap)
                self._forget(self._counters, key)

    def clear(self) -> None:
        """Let go of everything."""
        self._counters.clear()
        self._chosen.clear()
        self._all_chosen = 0
        self._heap.clear()
        self._born.clear()
        self.size = 0

    def usage(self, now: float, anonymous: bool, most: int) -> Iterator[Usage]:
        """Those of `most` counters that are in use at `now`. The table must not change while it is read."""
        for (kind, _, _, descriptor), counter in itertools.islice(self._counters.items(), most):
            shared = kind in (_CHOSEN, _OVERFLOW)
            counters = [("", shared, counter)]
            if isinstance(counter, Family):
                counters += [(name, name == _SHARED, member) for name, member in counter.members.items()]
            for session, common, one in counters:
                if used := one.used(now):
                    yield Usage(one.limit, descriptor, session, anonymous, common, used, one.most, one.reset(now))

    def _find_session(self, charge: Charge, now: float) -> tuple[Counter, ...]:
        limit = charge.limit
        key = (_SESSIONS, limit.key, limit.window, charge.descriptor)
        family = self._counters.get(key)
        if family is None:
            family = self._open(key, Family(limit), now)
        family.limit = limit
        if not isinstance(family, Family):
            family.most = limit.max  # shared with others: there is no place for this principal
            return (family,)
        family.most = limit.max * self._sessions
        member = self._member(family, charge.session, now)
        member.limit = limit
        member.most = limit.max
        return (member, family)

    def _member(self, family: Family, session: str, now: float) -> Counter:
        """The counter of `session`, or the one of all sessions that have none."""
        name = session if len(session) <= _LONGEST_SESSION else _digest(session)
        member = family.members.get(name)
        if member is not None and member.due > now:
            return member
        shared = family.members.get(_SHARED)
        if member is None:
            if family.crowded(self._sessions):
                self.size -= family.dismiss(now)
            if family.crowded(self._sessions) or self.size >= self._most:
                return shared or self._bear(family.members, _SHARED, Counter(family.limit))
            member = self._bear(family.members, name, Counter(family.limit))
            if shared is not None:
                member.inherit(shared, now)
        else:
            # Its window is empty, so its place might have gone to another meanwhile: as if it were new.
            member.due = math.inf
            self._born.append((family.members, name))
            if shared is not None:
                member.inherit(shared, now)
        return member

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
        for shared in (self._counters.get(overflow), chosen and self._counters.get(chosen)):
            if shared and shared.used(now):
                counter.inherit(shared, now)
                if isinstance(counter, Family):
                    counter.members.setdefault(_SHARED, Counter(counter.limit)).inherit(shared, now)
        if chosen:
            self._chosen[chosen] = self._chosen.get(chosen, 0) + 1
            self._all_chosen += 1
        self._bear(self._counters, key, counter)
        if isinstance(counter, Family):
            self.size += len(counter.members)
        return counter

    def _share(self, key: Key, limit: Limit) -> Counter:
        shared = self._counters.get(key)
        return shared or self._bear(self._counters, key, Counter(limit))

    def _bear(self, home: dict[Any, Counter], key: Any, counter: Counter) -> Counter:
        home[key] = counter
        self._born.append((home, key))
        self.size += 1
        return counter

    def _forget(self, home: dict[Any, Counter], key: Any) -> None:
        counter = home.pop(key)
        self.size -= 1
        if isinstance(counter, Family):
            self.size -= len(counter.members)
        if home is self._counters and (chosen := _chosen_by(key)):
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


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
