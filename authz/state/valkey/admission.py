"""Anonymous callers -> which of them get a counter of their own: their addresses are cheap, the store's memory is not.

Of this replica alone; knows no store.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

_STEPS = 4  # entries looked at in one call: more than one call can add, so reclaiming keeps up


class Admission:
    """At most `most` counters, each until its window is over since it was last asked for. `timer` is monotonic."""

    def __init__(self, most: int, timer: Callable[[], float]) -> None:
        self._most = most
        self._timer = timer
        self._due: dict[bytes, float] = {}
        self._heap: list[tuple[float, bytes]] = []
        self.overflowed = 0

    def admits(self, key: bytes, window: float) -> bool:
        """Whether the counter `key` is one of them, be it from now on."""
        now = self._timer()
        self._reclaim(now)
        known = key in self._due
        if not known:
            if len(self._due) >= self._most:
                self.overflowed += 1
                return False
            heapq.heappush(self._heap, (now + window, key))
        self._due[key] = now + window
        return True

    def __len__(self) -> int:
        return len(self._due)

    def _reclaim(self, now: float) -> None:
        heap = self._heap
        for _ in range(_STEPS):
            if not heap or heap[0][0] > now:
                return
            key = heap[0][1]
            due = self._due[key]
            if due > now:
                heapq.heapreplace(heap, (due, key))
            else:
                heapq.heappop(heap)
                del self._due[key]
