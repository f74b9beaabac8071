"""What was measured, as flat samples; and from them spreads and ratios, each within one round.

A machine is never twice as fast as it was: only what was measured in one round is compared, and of the ratios of all
rounds the smallest, the median and the largest are told. Knows nothing of how anything is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """One number. `figure` names it with its unit (`calls/s`, `p50 µs`), `at` is where on a scale it was taken."""

    suite: str
    variant: str
    figure: str
    value: float
    round: int = 0
    at: int = 0


class Spread(msgspec.Struct, frozen=True):
    """Smallest, median and largest of some values."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError where there are none."""
        if not values:
            raise ValueError("spread: expected values, got none")
        return cls(min(values), statistics.median(values), max(values))


class Samples:
    """All samples of one run."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self.all = list(samples)

    def add(self, sample: Sample) -> None:
        """One more."""
        self.all.append(sample)

    def values(self, suite: str, variant: str, figure: str, at: int = 0) -> dict[int, float]:
        """By round; the last one counts where a round has several."""
        return {
            one.round: one.value
            for one in self.all
            if (one.suite, one.variant, one.figure, one.at) == (suite, variant, figure, at)
        }

    def spread(self, suite: str, variant: str, figure: str, at: int = 0) -> Spread | None:
        """None where it was not measured."""
        values = self.values(suite, variant, figure, at)
        return Spread.of(list(values.values())) if values else None

    def ratio(
        self, suite: str, variant: str, base: str, figure: str, *, at: int = 0, base_at: int | None = None
    ) -> Spread | None:
        """`variant` over `base`, round by round; None where no round has both."""
        tops = self.values(suite, variant, figure, at)
        bases = self.values(suite, base, figure, at if base_at is None else base_at)
        return spread_of_quotients(tops, bases)

    def variants(self, suite: str, figure: str) -> list[str]:
        """Those that have this figure, in the order in which they were first measured."""
        return list(dict.fromkeys(one.variant for one in self.all if (one.suite, one.figure) == (suite, figure)))

    def scale(self, suite: str, variant: str, figure: str) -> list[int]:
        """Where on the scale this figure was taken, ascending."""
        found = (one.at for one in self.all if (one.suite, one.variant, one.figure) == (suite, variant, figure))
        return sorted(set(found))


def spread_of_quotients(tops: dict[int, float], bases: dict[int, float]) -> Spread | None:
    """Of values by round: top over base in each round that has both; None where there is no such round."""
    quotients = [top / bases[number] for number, top in tops.items() if bases.get(number)]
    return Spread.of(quotients) if quotients else None
