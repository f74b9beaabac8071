"""Rules and limits of a document -> those that can never apply, each with why; probably not what their author meant.

Looks at the text alone, so it knows only what holds for every call.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from authz.model import Algorithm
from authz.policy.compile.duration import parse_rate, parse_window

_ANYONE = "*"


def unreachable_rules(name: str, rules: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    """Position and reason of each rule of the block `name` that one before it leaves no call."""
    for at, rule in enumerate(rules):
        for before, other in enumerate(rules[:at]):
            why = _taken_by(other, rule)
            if why:
                yield at, f"never applies: the rule before it ({name}.rules[{before}]) {why}"
                break


def _taken_by(earlier: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    """Why `earlier` decides whatever `rule` could, "" where it need not."""
    principals, others = earlier.get("principals"), rule.get("principals")
    if "when" in earlier:
        same = earlier["when"] == rule.get("when") and principals == others
        return "has the same principals and when" if same else ""
    if principals is None:
        return "holds for every call"
    if _ANYONE in principals:
        return "holds for everybody who is verified, and nobody else gets past it"
    if others is not None and set(others) <= set(principals):
        return "holds for all of its principals"
    return ""


def unreachable_limits(limits: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Pairs of limits that are charged together, of which the first is never exhausted because of the second."""
    known = [_Limit.of(raw) for raw in limits]
    for at, limit in enumerate(known):
        for other, bound in enumerate(known):
            if limit and bound and at != other and bound.keeps(limit) and not (other > at and limit.keeps(bound)):
                yield at, other
                break


class _Limit:
    """A limit as it is written, as far as it can be compared with others."""

    def __init__(self, raw: Mapping[str, Any], seconds: float) -> None:
        per = raw.get("per", "session")
        self.counts = (tuple(sorted([per] if isinstance(per, str) else per)), raw.get("cost", 1))
        self.max = float(raw["max"])
        self.seconds = seconds
        self.algorithm = Algorithm(raw.get("algorithm", Algorithm.SLIDING_WINDOW))
        self.burst = float(raw.get("burst", self.max)) if self.algorithm is Algorithm.TOKEN_BUCKET else 0.0

    @classmethod
    def of(cls, raw: Any) -> _Limit | None:
        """None where it has a problem of its own."""
        try:
            if isinstance(raw, str):
                maximum, seconds = parse_rate(raw)
                return cls({"max": maximum}, seconds)
            return cls(raw, parse_window(raw["window"]))
        except (ValueError, KeyError, TypeError):
            return None

    def keeps(self, other: _Limit) -> bool:
        """Whether this one never lets through what would exhaust `other`, which counts the same calls."""
        return self.counts == other.counts and self._most_in(other.seconds) <= (other.burst or other.max)

    def _most_in(self, seconds: float) -> float:
        """The most that passes in any window of that length."""
        if self.algorithm is Algorithm.TOKEN_BUCKET:
            return self.burst + self.max * seconds / self.seconds
        windows = math.ceil(seconds / self.seconds)
        return self.max * (windows + (self.algorithm is Algorithm.FIXED_WINDOW))
