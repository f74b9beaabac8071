"""One heavy check at a time: who is next, who waits, and who is told that there is no place.

Reading a large or intricate body stops the event loop for as long as it takes. Here such readings queue up, fair by
source, with pauses in which other calls are served. Knows no protocol and no policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from authz.errors import AuthzError
from authz.model import Reason

LARGE = 64 * 1024  # bytes; the strict reader takes some 100 µs for one long string of as much
LIGHT = 4 * 1024  # bytes; whatever is in them takes less than a millisecond
INTRICATE = 1000  # values; 64 KB of nested arrays take 5 ms, and twenty of them at once would hold up everybody
MAX_REST = 0.05  # seconds; a turn that took longer did so waiting for a store, and kept nobody from the loop


class Busy(AuthzError):  # noqa: N818 - the reason is called so
    """There is no place to wait for a turn; the caller should try again later."""

    reason = Reason.BUSY


def is_heavy(data: bytes) -> bool:
    """Whether reading `data` may take so long that it has to take turns: large, or of very many values.

    Counts what separates and opens values, also within strings: 50 µs for 64 KiB, and wrong on the careful side.
    """
    if len(data) <= LIGHT:
        return False
    return len(data) > LARGE or data.count(b",") + data.count(b"[") + data.count(b"{") > INTRICATE


class Lane:
    """Turns for heavy checks, one at a time, round robin over the sources that wait.

    `max_waiting` checks wait at most, `per_source` of them from one source. When all places are taken, a newcomer
    gets that of the newest waiter of the source that has the most, if that source keeps more than the newcomer had:
    so a flood loses places to others, and whoever has only one never loses it. After each turn the lane rests for as
    long as the turn took, so that heavy checks have at most half of the time, whatever they contain. `clock` is in
    seconds.
    """

    def __init__(
        self,
        max_waiting: int = 16,
        per_source: int = 4,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_waiting = max_waiting
        self._per_source = per_source
        self._clock = clock
        self._taken = False
        # by source, the one that is next first; only sources that wait are in it
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many checks wait now."""
        return sum(map(len, self._waiting.values()))

    @contextlib.asynccontextmanager
    async def turn(self, source: str) -> AsyncIterator[None]:
        """Wait for a turn, then have it until the block ends. Raises Busy at once, or when the place is lost."""
        if self._taken:
            await self._wait(source)
        self._taken = True
        started = self._clock()
        try:
            yield
        finally:
            rest = min(self._clock() - started, MAX_REST)
            asyncio.get_running_loop().call_later(rest, self._next)

    async def _wait(self, source: str) -> None:
        place = self._place(source)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._leave(source, place)
            elif place.exception() is None:  # the turn came in the moment of the cancellation: it goes on to the next
                self._next()
            raise

    def _place(self, source: str) -> asyncio.Future[None]:
        own = len(self._waiting.get(source, ()))
        if own >= self._per_source:
            raise Busy(f"lane: expected at most {self._per_source} heavy checks waiting from one source, got one more")
        if self.waiting >= self._max_waiting:
            most = max(self._waiting.values(), key=len)
            if len(most) <= own + 1:
                raise Busy(f"lane: expected at most {self._max_waiting} heavy checks waiting, got one more")
            lost = most.pop()
            if not lost.done():
                lost.set_exception(Busy("lane: expected to wait for a turn, lost the place to a source with fewer"))
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(source, deque()).append(place)
        return place

    def _leave(self, source: str, place: asyncio.Future[None]) -> None:
        places = self._waiting.get(source)
        if places and place in places:
            places.remove(place)
            if not places:
                del self._waiting[source]

    def _next(self) -> None:
        while self._waiting:
            source = next(iter(self._waiting))
            places = self._waiting.pop(source)
            place = places.popleft()
            if places:
                self._waiting[source] = places  # to the end: the others first
            if not place.done():
                place.set_result(None)
                return
        self._taken = False
