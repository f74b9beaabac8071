"""The text of a condition (CEL) -> `Condition`, which is true, false or FAILED for a call; FAILED is never false.

Compiled and checked once at load. An evaluation gets only what the expression names, and what it could cost is
bounded before it runs (policies/README.md 4). Knows no rule: what follows from a Match is for `evaluate`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authz.model import Call, Target
from authz.policy.arguments.check import ArgumentsSchema
from authz.policy.conditions.errors import CelError, compile_expression
from authz.policy.conditions.plan import Plan, UnfitError
from authz.policy.conditions.reading import Reading
from authz.policy.conditions.syntax import SyntaxUnreadableError, parse
from authz.policy.conditions.types import BOOL, parse_claim_type
from authz.policy.conditions.work import BUDGET, cost

MAX_EXPRESSION = 4096  # characters; the longest of the examples has 120

__all__ = ["Condition", "Match", "Subject", "compile_condition"]


class Match(enum.Enum):
    """Whether something holds. FAILED: nobody can say, and the call is denied."""

    YES = "yes"
    NO = "no"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a condition is asked about: a call, and which of its targets."""

    call: Call
    target: Target


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; `text` is what somebody wrote."""

    text: str
    _expression: Any
    _plan: Plan

    @property
    def reads_arguments(self) -> bool:
        """Whether it looks at what a call carries, and not only at who calls and what."""
        return bool(self._plan.arguments)

    def evaluate(self, subject: Subject) -> Match:
        """YES or NO where the expression gives true or false, FAILED for everything else. Never raises.

        The library gives errors as values that are truthy, so the type is asked first (measured).
        """
        try:
            data = self._plan.gather(subject.call, subject.target)
        except UnfitError:
            return Match.FAILED
        try:
            value = self._expression.eval(data=data)
            if value.type() != BOOL:
                return Match.FAILED
            result = value.value()
        except Exception:
            # What the library raises is not documented: integers beyond 64 bits, lone surrogates and loops of more than
            # 10,000 steps are known. Nothing was decided.
            return Match.FAILED
        return Match.YES if result is True else Match.NO if result is False else Match.FAILED


def compile_condition(
    text: Any,
    types: Sequence[ArgumentsSchema] = (),
    *,
    claims: Mapping[str, str],
    headers: frozenset[str],
) -> tuple[Condition | None, list[str]]:
    """The compiled condition, or None and every problem found.

    `types` are the schemas that have accepted the arguments before the condition is asked, `claims` the types of the
    claims that it may read (`list(string)`), `headers` the lower-case names of the headers that it may read.
    Raises ValueError for a type of a claim that is none: the settings check these.
    """
    if not isinstance(text, str) or not text.strip():
        return None, [f"expected a CEL expression, got {text!r}"]
    if len(text) > MAX_EXPRESSION:
        return None, [f"an expression has at most {MAX_EXPRESSION} characters, got {len(text)}"]
    try:
        expression = compile_expression(text, types)
        tree = parse(expression.serialize())
    except CelError as error:
        return None, list(error.problems)
    except SyntaxUnreadableError as error:
        return None, [str(error)]
    reading = Reading(types, {name: parse_claim_type(type_) for name, type_ in claims.items()}, headers)
    seen = reading.read(tree)
    if not reading.problems and cost(seen.work, [(0, 0)] * len(reading.slots)) > BUDGET:
        reading.problems.append("the expression is too much work for one call, whatever the arguments are")
    if reading.problems:
        return None, reading.problems
    return Condition(text, expression, Plan.of(reading.slots, reading.claims, seen.work)), []
