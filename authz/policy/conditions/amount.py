"""The `cost` of a limit (a number or CEL) -> `Amount`, which is a finite number above 0 for a call, or nothing.

Whatever else comes of it is nothing, and the call is denied (policies/README.md 6): never a free call, never a refund.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authz.model import Call, Message, MessageKind, Principal, Target, TargetKind
from authz.policy.arguments.declares import Declares
from authz.policy.conditions.program import Program, compile_program
from authz.policy.conditions.syntax import Const, Name, Node, Operation, Select
from authz.policy.conditions.types import NUMERIC

# From here on doubles skip integers: what is counted would not be what the server is told.
MOST = 2**53
NO_AMOUNT = "expected a finite number above 0 and below 2^53"

_NOBODY = Call("", Message(MessageKind.REQUEST, ""), Principal())
_NO_TARGET = Target(TargetKind.METHOD, "")


@dataclass(frozen=True, slots=True)
class Amount:
    """A compiled cost. `path` is the argument that it is, () where more has to be computed."""

    program: Program
    path: tuple[str, ...]

    @property
    def reads_arguments(self) -> bool:
        """Whether what the agent sends decides."""
        return bool(self.program.plan.arguments)

    @property
    def wanted(self) -> tuple[tuple[str, ...], ...]:
        """Paths of arguments that it cannot do without, as far as can be said: none where it asks `has`."""
        if self.path:
            return (self.path,)
        if "has(" in self.program.text:
            return ()
        return tuple(slot[1:] for slot in self.program.plan.slots if slot[0] == "args")

    def of(self, call: Call, target: Target) -> float | None:
        """What `call` costs, None where that is no finite number above 0. Never raises."""
        if self.path:
            return number(_at(call.message.arguments, self.path))  # which need not cost 18 µs
        try:
            value, type_ = self.program.run(call, target)
        except ValueError:
            return None
        return number(value) if type_ in NUMERIC else None


def number(value: Any) -> float | None:
    """`value` if it can be a cost: a finite number above 0 that is exact as a double. A boolean is no number."""
    if type(value) not in (int, float) or not 0 < value < MOST:  # NaN is neither
        return None
    return float(value)


def compile_amount(
    text: str,
    types: Sequence[Declares],
    *,
    claims: Mapping[str, str],
    headers: frozenset[str],
) -> tuple[Amount | float | None, list[str]]:
    """The compiled cost (the number itself where it is the same for all calls), or None and every problem found.

    The parameters are those of `compile_program`.
    """
    program, problems = compile_program(text, types, "number", claims=claims, headers=headers)
    if program is None:
        return None, problems
    amount = Amount(program, _path(program.tree))
    if not program.is_constant:
        return amount, []
    fixed = amount.of(_NOBODY, _NO_TARGET)
    return fixed, [] if fixed is not None else [f"{NO_AMOUNT}, got {text!r}"]


def _path(tree: Node) -> tuple[str, ...]:
    """The path of `args.a.b` or `args.a['b']`, () of anything else."""
    steps: list[str] = []
    while True:
        if isinstance(tree, Select) and not tree.test:
            steps.append(tree.field)
            tree = tree.of
        elif isinstance(tree, Operation) and tree.function == "_[_]":
            of, index = tree.parts
            if not isinstance(index, Const) or not isinstance(index.value, str):
                return ()
            steps.append(index.value)
            tree = of
        else:
            break
    is_root = isinstance(tree, Name) and tree.name.removeprefix(".") == "args"
    return tuple(reversed(steps)) if is_root else ()


def _at(arguments: Mapping[str, Any], path: Sequence[str]) -> Any:
    value = arguments.get(path[0])
    for name in path[1:]:
        value = value.get(name) if type(value) is dict else None
    return value
