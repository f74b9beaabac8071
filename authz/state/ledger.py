"""Requests for approval -> how they stand, by id and by digest, in bounded memory.

Knows no clock, no counter and nobody who may decide: every method is told the time, which must not go backwards, and
where people will read it the wall clock's.
"""

from __future__ import annotations

import heapq
import itertools
import math
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from authz.model import ApprovalRequest, ApprovalStatus, Ruling
from authz.state.approvals import HISTORY, PENDING_LIMIT
from authz.state.filed import Filed

Owner: TypeAlias = tuple[bool, str]

MOST = 1_000  # requests that wait, and as many that have ended
MOST_ANONYMOUS = MOST // 5
MOST_BYTES = 64 * 2**20  # of either: a request keeps its parameters whole, which may be as long as a body
_SWEEP = 60.0  # seconds between two looks for what has been shown long enough
_BASE = 2_000  # bytes that a request takes beside its parameters, about


class _Shelf:
    """Some of the requests, the first to come first, of verified and of anonymous callers, with their size in bytes."""

    def __init__(self) -> None:
        self.kinds: tuple[OrderedDict[str, Filed], OrderedDict[str, Filed]] = (OrderedDict(), OrderedDict())
        self.sizes = [0, 0]

    def put(self, filed: Filed) -> None:
        kind = filed.request.anonymous
        self.kinds[kind][filed.id] = filed
        self.sizes[kind] += _size(filed.request)

    def take(self, filed: Filed) -> None:
        kind = filed.request.anonymous
        if self.kinds[kind].pop(filed.id, None):
            self.sizes[kind] -= _size(filed.request)

    def over(self, requests: Sequence[ApprovalRequest] = ()) -> Mapping[str, Filed] | None:
        """Those of which one must leave before `requests` fit as well, None if they fit.

        All share the shelf, of which anonymous callers get a fifth.
        """
        counts, sizes = [len(kind) for kind in self.kinds], list(self.sizes)
        for request in requests:
            counts[request.anonymous] += 1
            sizes[request.anonymous] += _size(request)
        if counts[True] > MOST_ANONYMOUS or sizes[True] > MOST_BYTES // 5:
            return self.kinds[True]
        if sum(counts) > MOST or sum(sizes) > MOST_BYTES:
            return self.kinds[False]
        return None


class Ledger:
    """Requests for approval: of each digest one at most that waits, serves or is a denial that still counts.

    At most `MOST` requests wait and `MOST` have ended, those of anonymous callers at most a fifth of either. When too
    many have ended those without effect are forgotten first, then denials and grants: their calls must ask again.
    `changes` grows whenever a request is filed, decided, claimed or expires. `wakes` is when `advance` has work to do.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Filed] = {}  # in the order of filing
        self._by_digest: dict[bytes, Filed] = {}
        self._owners: dict[Owner, dict[str, Filed]] = {}  # those that wait
        self._pending = _Shelf()
        self._ended = _Shelf()
        self._heap: list[tuple[float, int, str]] = []  # when what each has of effect may end
        self._order = itertools.count()
        self._sweep_at = math.inf
        self.wakes = math.inf
        self.changes = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def advance(self, now: float) -> None:
        """Let expire what has had its time at `now`, and forget what has been shown for a day."""
        while self._heap and self._heap[0][0] <= now:
            filed = self._by_id.get(heapq.heappop(self._heap)[2])
            if filed and filed.until <= now and self._by_digest.get(filed.request.digest) is filed:
                self._lapse(filed)
        self._trim()
        if self._sweep_at <= now:
            for filed in [filed for filed in self._by_id.values() if filed.kept <= now]:
                self._forget(filed)
            self._sweep_at = now + _SWEEP if self._by_id else math.inf
        self.wakes = min(self._sweep_at, self._heap[0][0] if self._heap else math.inf)

    def find(self, digest: bytes) -> Filed | None:
        """The request for the call of `digest` that waits, serves or is a denial that still counts."""
        return self._by_digest.get(digest)

    def get(self, id_: str, now: float) -> Filed | None:
        """The request `id_`, however it stands."""
        filed = self._by_id.get(id_)
        return filed if filed and filed.kept > now else None

    def newest(self, now: float) -> Iterator[Filed]:
        """All requests, the newest first. They must not change while they are read."""
        return (filed for filed in reversed(self._by_id.values()) if filed.kept > now)

    def blocked(self, requests: Sequence[ApprovalRequest], now: float) -> float | None:
        """None if `requests` may wait too, else the seconds until the first of those in their way expires."""
        asking: dict[Owner, int] = {}
        for request in requests:
            owner = (request.anonymous, request.owner)
            asking[owner] = asking.get(owner, 0) + 1
        for owner, count in asking.items():
            waiting = self._owners.get(owner, {})
            if len(waiting) + count > PENDING_LIMIT.max:
                return _first(waiting.values(), requests, now)
        over = self._pending.over(requests)
        return None if over is None else _first(over.values(), requests, now)

    def file(self, id_: str, request: ApprovalRequest, charged: tuple[Any, ...], now: float, at: float) -> Filed:
        """A new request; `blocked` has said that there is room. None of its digest may be known to `find`."""
        filed = Filed(id_, request, now, at, now + request.timeout, at + request.timeout, charged)
        self._by_id[id_] = self._by_digest[request.digest] = filed
        self._owners.setdefault((request.anonymous, request.owner), {})[id_] = filed
        self._pending.put(filed)
        self._sweep_at = min(self._sweep_at, now + _SWEEP)
        self._wake(filed)
        self.changes += 1
        return filed

    def rule(self, filed: Filed, ruling: Ruling, now: float, at: float) -> None:
        """Add `ruling` if the request still waits."""
        if filed.status is not ApprovalStatus.PENDING:
            return
        request = filed.request
        filed.rulings += (ruling,)
        self.changes += 1
        if not ruling.granted:
            filed.kept, filed.charged = max(now + HISTORY, filed.until), ()
            self._end(filed, ApprovalStatus.DENIED, at)
        satisfied = {entry for said in filed.rulings for entry in said.satisfies}
        if ruling.granted and satisfied.issuperset(range(len(request.by))):
            if request.remember > 0.0:
                filed.until, filed.expires_at = now + request.remember, at + request.remember
                self._wake(filed)
            self._end(filed, ApprovalStatus.GRANTED, at)
        self._trim()

    def clear(self) -> None:
        """Forget everything."""
        for kept in (self._by_id, self._by_digest, self._owners, self._heap):
            kept.clear()
        self._pending, self._ended = _Shelf(), _Shelf()
        self.wakes = self._sweep_at = math.inf

    def claim(self, filed: Filed, now: float) -> None:
        """One call is served by a grant that `serves` it; from now on it counts itself, and not what filing charged."""
        filed.used += 1
        filed.charged = ()
        self.changes += 1
        if filed.used == filed.request.uses:
            filed.status = ApprovalStatus.USED
            self._retire(filed, now + HISTORY)

    def _lapse(self, filed: Filed) -> None:
        """Its time is over, at `until`: nothing of it counts for its digest any more."""
        if filed.status is ApprovalStatus.DENIED:
            self._retire(filed, filed.kept)
            return
        self.changes += 1
        if filed.status is ApprovalStatus.PENDING:
            self._end(filed, ApprovalStatus.EXPIRED, filed.expires_at)
        filed.status = ApprovalStatus.EXPIRED
        self._retire(filed, filed.until + HISTORY)

    def _end(self, filed: Filed, status: ApprovalStatus, at: float) -> None:
        """It waits no longer."""
        filed.status, filed.ended_at = status, at
        owner = (filed.request.anonymous, filed.request.owner)
        del self._owners[owner][filed.id]
        if not self._owners[owner]:
            del self._owners[owner]
        self._pending.take(filed)
        self._ended.put(filed)

    def _trim(self) -> None:
        """Of too many that have ended forget the first, if possible of those without effect."""
        while (over := self._ended.over()) is not None:
            without = (one for one in over.values() if self._by_digest.get(one.request.digest) is not one)
            self._forget(next(without, None) or next(iter(over.values())))

    def _retire(self, filed: Filed, kept: float) -> None:
        """It has no effect any more and is shown until `kept`."""
        del self._by_digest[filed.request.digest]
        filed.charged = ()
        filed.kept = kept

    def _forget(self, filed: Filed) -> None:
        del self._by_id[filed.id]
        if self._by_digest.get(filed.request.digest) is filed:
            del self._by_digest[filed.request.digest]
        self._ended.take(filed)

    def _wake(self, filed: Filed) -> None:
        heapq.heappush(self._heap, (filed.until, next(self._order), filed.id))
        self.wakes = min(self._sweep_at, self._heap[0][0])


def _first(waiting: Iterable[Filed], requests: Sequence[ApprovalRequest], now: float) -> float:
    """Seconds until the first of `waiting` expires; where nothing waits, as long as `requests` would."""
    return min((filed.until - now for filed in waiting), default=min(request.timeout for request in requests))


def _size(request: ApprovalRequest) -> int:
    return sys.getsizeof(request.params) + _BASE
