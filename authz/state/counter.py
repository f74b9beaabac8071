"""What every counter of a limit answers, whatever its algorithm, and the arithmetic they share.

Knows no clock, no caller and no table: every method is told the time, which must not go backwards.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Self

from authz.model import Limit


class Counter(ABC):
    """How much of a limit is in use.

    `limit` and `most` are what it is judged by: a cost fits if `used(now) + cost <= most`. `most` is `times` what the
    limit says where the counter caps an agent's sessions together. `due` is when it will be empty, in the clock's
    seconds; a new counter counts as live until it is first charged.
    """

    __slots__ = ("due", "limit", "most", "times")

    def __init__(self, limit: Limit, times: int = 1) -> None:
        self.limit = limit
        self.times = times
        self.most = float(limit.max * times)
        self.due = math.inf

    def adopt(self, limit: Limit, now: float) -> None:
        """Judge by `limit` from `now` on: the same limit, perhaps with another `max`; what is counted stays."""
        self.limit = limit
        self.most = float(limit.max * self.times)

    @abstractmethod
    def used(self, now: float) -> float:
        """What counts at `now`; what has left is let go."""

    @abstractmethod
    def wait(self, now: float, cost: float) -> float:
        """Seconds from `now` until `cost` fits, `math.inf` if it is more than the whole limit.

        For a cost that does not fit now, after `used(now)`.
        """

    @abstractmethod
    def reset(self, now: float) -> float:
        """Seconds from `now` until nothing is counted any more, after `used(now)`."""

    def left(self, now: float) -> int:
        """What may still be paid, rounded down, after `used(now)`."""
        return max(0, int(self.most - self.used(now)))

    @abstractmethod
    def add(self, now: float, cost: float) -> None:
        """Count `cost` from `now` on, after `used(now)`."""

    @abstractmethod
    def inherit(self, other: Self, now: float) -> None:
        """Count what `other` counts too: who shared a counter may not begin anew with one of its own."""

    @abstractmethod
    def take_back(self, then: float, cost: float, now: float) -> None:
        """Count `cost` no longer, which was added at `then`, as far as it counts at `now`; after `used(now)`."""

    @abstractmethod
    def saved(self) -> tuple[Any, ...]:
        """What it counts now, for `restore`."""

    @abstractmethod
    def restore(self, state: tuple[Any, ...]) -> None:
        """Count what it did when `state` was saved."""


def until(due: float, now: float) -> float:
    """Seconds from `now` to `due`, never so few that `now` plus them falls short by a rounding."""
    wait = due - now
    return wait if now + wait >= due else math.nextafter(wait, math.inf)


def plus(total: float, rest: float, amount: float) -> tuple[float, float]:
    """`total + rest + amount` as the nearest float and what that leaves out, so that ten times 0.1 is 1.

    Knuth's two-sum (The Art of Computer Programming 2, 4.2.2): a running sum as exact as `math.fsum`, in two floats.
    """
    total, error = _two_sum(total, amount)
    return _two_sum(total, rest + error)


def _two_sum(a: float, b: float) -> tuple[float, float]:
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)
