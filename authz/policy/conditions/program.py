"""The text of a CEL expression -> `Program`: checked once at load, run on a call with only what it names.

What a run could cost is bounded before it starts (policies/README.md 4). Knows no rule, and not what the result is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authz.model import Call, Target
from authz.policy.arguments.declares import Declares
from authz.policy.conditions.errors import CelError, compile_expression
from authz.policy.conditions.plan import Plan
from authz.policy.conditions.reading import Reading
from authz.policy.conditions.syntax import Node, SyntaxUnreadableError, parse
from authz.policy.conditions.types import parse_claim_type
from authz.policy.conditions.work import BUDGET, cost

MAX_EXPRESSION = 4096  # characters; the longest of the examples has 120


class RunError(ValueError):
    """A run that gave nothing."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression; `text` is what somebody wrote, `tree` how it was read."""

    text: str
    tree: Node
    plan: Plan
    _expression: Any

    @property
    def is_constant(self) -> bool:
        """Whether it reads nothing of a call."""
        return not self.plan.slots

    def run(self, call: Call, target: Target) -> tuple[Any, Any]:
        """The result with its CEL type; raises ValueError where it may not run or nothing comes of it.

        The library gives errors as values that are truthy, so the type is to be asked first (measured).
        """
        data = self.plan.gather(call, target)
        try:
            found = self._expression.eval(data=data)
            return found.value(), found.type()
        except Exception as error:
            # What the library raises is not documented: integers beyond 64 bits, lone surrogates and loops of more than
            # 10,000 steps are known. Nothing was decided.
            raise RunError("the library raised an error") from error


def compile_program(
    text: Any,
    types: Sequence[Declares],
    result: str,
    *,
    claims: Mapping[str, str],
    headers: frozenset[str],
) -> tuple[Program | None, list[str]]:
    """The compiled expression, or None and every problem found.

    `types` are the schemas that have accepted the arguments before it runs, `result` is the type that it has to have
    (`boolean` or `number`), `claims` are the types of the claims that it may read (`list(string)`), `headers` the
    lower-case names of the headers. Raises ValueError for a type of a claim that is none: the settings check these.
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
    seen = reading.read(tree, result)
    if not reading.problems and cost(seen.work, [(0, 0)] * len(reading.slots)) > BUDGET:
        reading.problems.append("the expression is too much work for one call, whatever the arguments are")
    if reading.problems:
        return None, reading.problems
    return Program(text, tree, Plan.of(reading.slots, reading.claims, seen.work), expression), []
