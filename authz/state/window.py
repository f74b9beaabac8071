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
        self._costs = array("d")
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
            elif self._whole:
                self._total -= sum(costs[:gone])
            else:
                self._total = math.fsum(costs[gone:])
            del dues[:gone], costs[:gone]
        return self._total

    def wait(self, now: float, cost: float) -> float:
        if cost > self.most:
            return math.inf
        costs = self._costs
        if self._whole and self._total - costs[0] + cost <= self.most:
            return until(self._dues[0], now)  # as it is where every call costs 1
        last = bisect_left(range(len(costs)), True, key=lambda gone: math.fsum(costs[gone + 1 :]) + cost <= self.most)
        return until(self._dues[last], now)

    def reset(self, now: float) -> float:
        return until(self._dues[-1], now) if self._dues else 0.0

    def left(self, now: float) -> int:
        return max(0, int(self.most - self._total))

    def add(self, now: float, cost: float) -> None:
        window = self.limit.window
        due = now + window
        dues, costs = self._dues, self._costs
        whole = self._whole and cost % 1.0 == 0.0
        # Many small costs fill 128 entries even where `most` is low.
        grain = window / EXACT if self.most > EXACT or len(dues) >= EXACT else 0.0
        # Fractions of one instant stay apart while there is room: added up in place they would be rounded each time.
        if dues and due - self._opened <= grain and (whole or grain):
            dues[-1] = due
            costs[-1] += cost
        else:
            dues.append(due)
            costs.append(cost)
            self._opened = due
        self.due = due
        if whole:
            self._total += cost
        else:
            self._whole = False
            self._total = math.fsum(costs)

    def inherit(self, other: SlidingWindow, now: float) -> None:
        other.used(now)
        self.used(now)
        if not other._dues:
            return
        entries = sorted(zip(self._dues + other._dues, self._costs + other._costs, strict=True))
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
        while left > 0.0 and at < len(self._dues) and self._dues[at] == leaves:
            if left < self._costs[at]:
                self._costs[at] -= left
                break
            left -= self._costs[at]
            del self._dues[at], self._costs[at]
            self._opened = -math.inf  # what comes next joins no entry from before
        self._whole = self._whole and cost % 1.0 == 0.0
        self._total = math.fsum(self._costs)

    def saved(self) -> tuple[Any, ...]:
        return (self._dues[:], self._costs[:], self._opened, self._total, self._whole)

    def restore(self, state: tuple[Any, ...]) -> None:
        self._dues, self._costs, self._opened, self._total, self._whole = state
