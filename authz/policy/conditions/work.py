"""What evaluating a CEL expression would cost, from the sizes of what it reads, before it runs.

The library bounds nothing but the steps of its loops (10,000): `in`, `contains`, `matches` and the growing lists of
`map` and `filter` cost as much as the caller likes, with the GIL held. Here every operation is charged for the
bytes that pass through it, as often as it can run. Knows no CEL and no call: values only.

Measured with cel-expr-python 0.1.3: `contains` 700 ms on 500 kB and 250 kB (memcmp at every position), `filter` of
10,000 elements 4.5 s (each step copies the list so far), `matches` up to 4 ns for a byte and an instruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

BUDGET = 8 << 20  # units of about 2.4 ns: some 20 ms
MAX_TEXT = 1 << 20  # bytes of text passed to one evaluation (policies/README.md 4)

STEP = 48  # one operation, wherever it stands
SCALAR = 8  # a number, or what a string has beside its bytes
ELEMENT = 8  # one element of a list, beside its own size
MEMBER = 40  # one member of a map
_COPY = 24  # one element of a list that grows by one: each step copies what is there
_SEARCHED = 4  # one byte that `contains` looks for the first byte in
_COMPARED = 128  # bytes that memcmp compares in one unit
_MATCHED = 4  # one byte for one instruction of a pattern

# Measuring a value and converting it for the library, once: an element of a list, a member of a map, either itself.
CONVERTED_ELEMENT, CONVERTED_MEMBER, CONVERTED = 64, 160, 112


class Extent(NamedTuple):
    """How large a value can be: bytes and elements, over all executions of its operation and in one of them."""

    total: float
    most: float
    elements: float = 0
    most_elements: float = 0


class Budget:
    """What one evaluation would spend; `sizes` has the bytes and elements of each read."""

    __slots__ = ("loops", "sizes", "spent")

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        self.sizes = sizes
        self.loops: list[Extent] = []
        self.spent = 0.0


@dataclass(frozen=True, slots=True)
class Fixed:
    """A literal, or an accumulator that does not grow."""

    size: int = STEP

    def spend(self, budget: Budget, times: float) -> Extent:
        budget.spent += times * (STEP + self.size)
        return Extent(times * self.size, self.size)


@dataclass(frozen=True, slots=True)
class Read:
    """A variable, claim, header or argument: number `slot` of the reads."""

    slot: int

    def spend(self, budget: Budget, times: float) -> Extent:
        size, count = budget.sizes[self.slot]
        budget.spent += times * (STEP + size)
        return Extent(times * size, size, times * count, count)


@dataclass(frozen=True, slots=True)
class Element:
    """The variable of the loop at `depth` (0: the outermost): all its values together are what is looped over."""

    depth: int

    def spend(self, budget: Budget, times: float) -> Extent:
        over = budget.loops[self.depth]
        between = 1.0
        for loop in budget.loops[self.depth + 1 :]:
            between *= loop.most_elements
        budget.spent += times * STEP + over.total * between
        return Extent(over.total * between, over.most, over.elements * between, over.most_elements)


@dataclass(frozen=True, slots=True)
class Through:
    """An operation whose result is made of all its parts (`+`, `?:`, list and map literals), plus `extra` each."""

    parts: tuple[Work, ...]
    extra: int = 0

    def spend(self, budget: Budget, times: float) -> Extent:
        total, most, count, most_count = 0.0, 0.0, 0.0, 0.0
        for part in self.parts:
            one = part.spend(budget, times)
            total += one.total
            most += one.most
            count += one.elements
            most_count += one.most_elements
        new = len(self.parts) * self.extra
        budget.spent += times * (STEP + new) + total
        items = len(self.parts) if self.extra else 0
        return Extent(total + times * new, most + new, count + times * items, most_count + items)


@dataclass(frozen=True, slots=True)
class Scan:
    """An operation that goes through its parts and gives something small: a comparison, `size`, `in`."""

    parts: tuple[Work, ...]

    def spend(self, budget: Budget, times: float) -> Extent:
        through = sum(part.spend(budget, times).total for part in self.parts)
        budget.spent += times * STEP + through
        return Extent(times * STEP, STEP)


@dataclass(frozen=True, slots=True)
class Search:
    """`text.contains(part)`: at worst both lengths multiplied."""

    text: Work
    part: Work

    def spend(self, budget: Budget, times: float) -> Extent:
        text, part = self.text.spend(budget, times), self.part.spend(budget, times)
        product = min(text.total * part.most, text.most * part.total)
        budget.spent += times * STEP + _SEARCHED * text.total + part.total + product / _COMPARED
        return Extent(times * STEP, STEP)


@dataclass(frozen=True, slots=True)
class Matching:
    """`text.matches(pattern)`: the text times the size of the pattern's program."""

    text: Work
    size: int

    def spend(self, budget: Budget, times: float) -> Extent:
        text = self.text.spend(budget, times)
        budget.spent += times * STEP + text.total * self.size * _MATCHED
        return Extent(times * STEP, STEP)


@dataclass(frozen=True, slots=True)
class Looping:
    """A macro: `step` once for each element of `over`; with `collects` its result is a list of what steps give."""

    over: Work
    step: Work
    collects: bool

    def spend(self, budget: Budget, times: float) -> Extent:
        over = self.over.spend(budget, times)
        runs = over.elements
        budget.loops.append(over)
        step = self.step.spend(budget, runs)
        budget.loops.pop()
        budget.spent += times * STEP + runs * 4 * STEP
        if not self.collects:
            return Extent(times * STEP, STEP)
        budget.spent += over.most_elements * runs * _COPY
        grown = over.most_elements * (step.most + ELEMENT)
        return Extent(
            step.total + runs * ELEMENT, grown, step.elements + runs, over.most_elements * (1 + step.most_elements)
        )


Work: TypeAlias = Fixed | Read | Element | Through | Scan | Search | Matching | Looping


def cost(work: Work, sizes: Sequence[tuple[int, int]]) -> float:
    """Units that an evaluation can cost where read number i has `sizes[i]` = (bytes, elements), all converted."""
    budget = Budget(sizes)
    work.spend(budget, 1)
    return budget.spent
