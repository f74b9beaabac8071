"""Costs and when they were paid -> how many tokens are missing from a bucket that fills again by itself."""

from __future__ import annotations

import math
from typing import Any

from authz.model import Limit
from authz.state.counter import Counter, plus


class TokenBucket(Counter):
    """Holds `burst` tokens and is full at first; `max` per `window` come back, continuously, until it is full again.

    What it counts are the tokens that are missing. So another `burst` makes the bucket larger or smaller and leaves
    what was taken, and another `max` is the pace from then on.
    """

    __slots__ = ("_level", "_rest", "_then")

    def __init__(self, limit: Limit, times: int = 1) -> None:
        super().__init__(limit, times)
        self.most = float(limit.burst * times)
        self._level = 0.0  # missing at `_then`
        self._rest = 0.0
        self._then = 0.0

    def adopt(self, limit: Limit, now: float) -> None:
        if limit.max != self.limit.max:
            self._refill(now)
        self.limit = limit
        self.most = float(limit.burst * self.times)
        if self._level:
            self.due = self._then + self._seconds(self._level)

    def used(self, now: float) -> float:
        if not self._level:
            return 0.0
        level = self._level - self._refilled(self._then, now) + self._rest
        return level if level > 0.0 else 0.0

    def wait(self, now: float, cost: float) -> float:
        if cost > self.most:
            return math.inf
        wait = self._seconds(self.used(now) + cost - self.most)
        while self.used(now + wait) + cost > self.most:  # short by a rounding
            wait += math.ulp(now + wait)
        return wait

    def reset(self, now: float) -> float:
        return self._seconds(self.used(now))

    def add(self, now: float, cost: float) -> None:
        self._refill(now)
        self._level, self._rest = plus(self._level, self._rest, cost)
        self.due = now + self._seconds(self._level)

    def inherit(self, other: TokenBucket, now: float) -> None:
        if cost := other.used(now):
            self.add(now, cost)

    def take_back(self, then: float, cost: float, now: float) -> None:
        """What has come back since `then` may be what `cost` took, so it is not given a second time."""
        cost -= self._refilled(then, now)
        if cost > 0.0:
            self._refill(now)
            self._level, self._rest = plus(self._level, self._rest, -cost) if cost < self._level else (0.0, 0.0)

    def saved(self) -> tuple[Any, ...]:
        return (self._level, self._rest, self._then)

    def restore(self, state: tuple[Any, ...]) -> None:
        self._level, self._rest, self._then = state

    def _refill(self, now: float) -> None:
        if self.used(now):
            self._level, self._rest = plus(self._level, self._rest, -self._refilled(self._then, now))
        else:
            self._level = self._rest = 0.0
        self._then = now

    def _refilled(self, then: float, now: float) -> float:
        """Tokens that come back from `then` to `now`."""
        return (now - then) * self.limit.max * self.times / self.limit.window

    def _seconds(self, tokens: float) -> float:
        """How long `tokens` take to come back."""
        return tokens * self.limit.window / (self.limit.max * self.times)
