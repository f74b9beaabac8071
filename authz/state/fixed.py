"""Costs and when they were paid -> how much of a limit is in use in the window at hand, which is aligned to UTC."""

from __future__ import annotations

import math
from typing import Any

from authz.model import Limit
from authz.state.counter import Counter, plus, until


class FixedWindow(Counter):
    """The costs since the last whole multiple of `window` since the epoch (a day begins at midnight UTC).

    `epoch` is what the wall clock said when the clock of `now` said 0. It is read once, so a wall clock that is set
    later moves no edge and frees nothing.
    """

    __slots__ = ("_phase", "_rest", "_total")

    def __init__(self, limit: Limit, epoch: float, times: int = 1) -> None:
        super().__init__(limit, times)
        self._phase = math.fmod(epoch, limit.window)
        self._total = 0.0
        self._rest = 0.0

    def used(self, now: float) -> float:
        if self.due <= now:
            self._total = self._rest = 0.0
        return self._total

    def wait(self, now: float, cost: float) -> float:
        return math.inf if cost > self.most else until(self._edge(now), now)

    def reset(self, now: float) -> float:
        return until(self.due, now) if self._total else 0.0

    def add(self, now: float, cost: float) -> None:
        self._total, self._rest = plus(self._total, self._rest, cost)
        self.due = self._edge(now)

    def inherit(self, other: FixedWindow, now: float) -> None:
        self.used(now)
        if cost := other.used(now):
            self.add(now, cost)

    def take_back(self, then: float, cost: float, now: float) -> None:
        if self._edge(then) > now:
            self._total, self._rest = plus(self._total, self._rest, -cost) if cost < self._total else (0.0, 0.0)

    def saved(self) -> tuple[Any, ...]:
        return (self._total, self._rest)

    def restore(self, state: tuple[Any, ...]) -> None:
        self._total, self._rest = state

    def _edge(self, now: float) -> float:
        """When the window that `now` is in ends."""
        window = self.limit.window
        edge = (math.floor((now + self._phase) / window) + 1) * window - self._phase
        return edge if edge > now else edge + window
