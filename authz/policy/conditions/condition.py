"""The text of a condition (CEL) -> `Condition`, which is true, false or FAILED for a call; FAILED is never false.

Knows no rule: what follows from a Match is for `evaluate` (policies/README.md 4).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from authz.model import Call, Target
from authz.policy.arguments.declares import Declares
from authz.policy.conditions.program import Program, compile_program
from authz.policy.conditions.types import BOOL

__all__ = ["Condition", "Match", "Subject", "compile_condition"]


class Match(enum.Enum):
    """Whether something holds. FAILED: nobody can say, and the call is denied."""

    YES = "yes"
    NO = "no"
    FAILED = "failed"


class Subject(Struct, frozen=True, gc=False):
    """What a condition is asked about: a call, and which of its targets."""

    call: Call
    target: Target


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition."""

    program: Program

    @property
    def reads_arguments(self) -> bool:
        """Whether it looks at what a call carries, and not only at who calls and what."""
        return bool(self.program.plan.arguments)

    def evaluate(self, subject: Subject) -> Match:
        """YES or NO where the expression gives true or false, FAILED for everything else. Never raises."""
        try:
            value, type_ = self.program.run(subject.call, subject.target)
        except ValueError:
            return Match.FAILED
        if type_ != BOOL:
            return Match.FAILED
        return Match.YES if value is True else Match.NO if value is False else Match.FAILED


def compile_condition(
    text: Any,
    types: Sequence[Declares] = (),
    *,
    claims: Mapping[str, str],
    headers: frozenset[str],
) -> tuple[Condition | None, list[str]]:
    """The compiled condition, or None and every problem found; the parameters are those of `compile_program`."""
    program, problems = compile_program(text, types, "boolean", claims=claims, headers=headers)
    return None if program is None else Condition(program), problems
