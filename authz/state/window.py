"""Costs and when they were paid -> how much of a limit is in use in the last `window` seconds, in bounded memory.

The default algorithm of a limit.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from typing import Any

from authz.model import Limit
from authz.state.counter import Counter, until

EXACT = 128  # entries kept one by one; beyond that a window has this many buckets (policies/README.md 6)


class SlidingWindow(Counter):
    """A sliding window log: a cost paid at t counts until `t + window`, that instant excluded.

    Exact while `most` is at most 128 and costs are at least 1. Otherwise what is paid within window/128 of the first
    entry of a bucket joins it and leaves with its last one: never more than `most` in any window, and a refusal lasts
    up to window/128 longer. However `most` changes, no entry leaves early and there are never more than 257 (128 exact
    ones and the 129 buckets that can touch one window); what a counter inherits is on top until it has left.

    Sums of whole costs are exact; fractions are summed by `math.fsum`, not decimally.
    """

    __slots__ = ("_costs", "_dues", "_opened", "_total", "_whole")

    def __init__(self, limit: Limit, times: int = 1) -> None:
        super().__init__(limit, times)
        # Arrays hold plain doubles: a quarter of a list's memory, and nothing for the garbage collector to walk.
        self._dues = array("d")
        self._costs: array[float] | None = None  # None while each is 1, as most are: it is a quarter of a counter
        self._opened = 0.0
        self._total = 0.0
        self._whole = True

    def entries(self) -> int:
        """How many entries it keeps: what its memory is proportional to."""
        return len(self._dues)

    def used(self, now: float) -> float:
        dues = self._dues
        if dues and dues[0] <= now:
            gone = bisect_right(dues, now)
            costs = self._costs
            if gone == len(dues):
                self._total = 0.0
                self._whole = True
                self._costs = None
            elif costs is None:
                self._total -= gone
            else:
                self._total = self._total - sum(costs[:gone]) if self._whole else math.fsum(costs[gone:])
                del costs[:gone]
            del dues[:gone]
        return self._total

    def wait(self, now: float, cost: float) -> float:
        if cost > self.most:
            return math.inf
        costs = self._costs
        if costs is None:
            return until(self._dues[math.ceil(self._total + cost - self.most) - 1], now)
        last = bisect_left(range(len(costs)), True, key=lambda gone: math.fsum(costs[gone + 1 :]) + cost <= self.most)
        return until(self._dues[last], now)

    def reset(self, now: float) -> float:
        return until(self._dues[-1], now) if self._dues else 0.0

    def left(self, now: float) -> int:
        return max(0, int(self.most - self._total))

    def add(self, now: float, cost: float) -> None:
        window = self.limit.window
        due = now + window
        dues = self._dues
        whole = self._whole and cost % 1.0 == 0.0
        # Many small costs fill 128 entries even where `most` is low.
        grain = window / EXACT if self.most > EXACT or len(dues) >= EXACT else 0.0
        # Fractions of one instant stay apart while there is room: added up in place they would be rounded each time.
        if dues and due - self._opened <= grain and (whole or grain):
            dues[-1] = due
            self._each()[-1] += cost
        else:
            if self._costs is not None or cost != 1.0:
                self._each().append(cost)
            dues.append(due)
            self._opened = due
        self.due = due
        if whole:
            self._total += cost
        else:
            self._whole = False
            self._total = math.fsum(self._each())

    def inherit(self, other: SlidingWindow, now: float) -> None:
        other.used(now)
        self.used(now)
        if not other._dues:
            return
        entries = sorted(zip(self._dues + other._dues, self._each() + other._each(), strict=True))
        self._dues = array("d", [due for due, _ in entries])
        self._costs = array("d", [cost for _, cost in entries])
        self._opened = self.due = self._dues[-1]
        self._whole = self._whole and other._whole
        self._total = math.fsum(self._costs)

    def take_back(self, then: float, cost: float, now: float) -> None:
        due = then + self.limit.window
        if due <= now:
            return
        at = bisect_left(
            self._dues, due
        )  # the entry, the bucket that it joined, or the first of several of one instant
        left, leaves = cost, self._dues[at] if at < len(self._dues) else math.inf
        costs = self._each()
        while left > 0.0 and at < len(self._dues) and self._dues[at] == leaves:
            if left < costs[at]:
                costs[at] -= left
                break
            left -= costs[at]
            del self._dues[at], costs[at]
            self._opened = -math.inf  # what comes next joins no entry from before
        self._whole = self._whole and cost % 1.0 == 0.0
        self._total = math.fsum(costs)

    def saved(self) -> tuple[Any, ...]:
        return (self._dues[:], self._each()[:], self._opened, self._total, self._whole)

    def _each(self) -> array[float]:
        """The cost of each entry."""
        if self._costs is None:
            self._costs = array("d", [1.0]) * len(self._dues)
        return self._costs

    def restore(self, state: tuple[Any, ...]) -> None:
        self._dues, self._costs, self._opened, self._total, self._whole = state
