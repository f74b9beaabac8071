"""A condition as it is written (`path`, `op`, `value`) -> `Condition`, or a problem; the same in every dialect.

Source of the rules: Intercept's config/validate.go and its POLICY.md, "Operators".
"""

from __future__ import annotations

from typing import Any

from authz.app.importing.notes import Notes
from authz.app.importing.source import Condition, Operator
from authz.policy.arguments.check import compile_arguments
from authz.policy.text.document import Path
from authz.policy.text.scalar import shown

KEYS = ("path", "op", "value")
_NUMBERS = (Operator.LT, Operator.LTE, Operator.GT, Operator.GTE)
_EXACT = 2**53  # what float64, in which Intercept compares, holds exactly
_LISTS = (Operator.IN, Operator.NOT_IN)


def read_condition(notes: Notes, raw: Any, path: Path) -> Condition | None:
    """The condition on an argument that `raw` is; None with a problem where it is none."""
    members = notes.mapping(raw, path, KEYS, "a condition")
    if missing := [key for key in KEYS if key not in members]:
        if isinstance(raw, dict):
            notes.problem(path, f"a condition needs {', '.join(missing)}")
        return None
    argument = notes.argument(members["path"], (*path, "path"))
    known = len(notes.problems)
    operator = Operator(notes.word(members, "op", path, list(Operator), Operator.EQ))
    if not argument or len(notes.problems) > known:
        return None
    value = members["value"]
    fault = _fault(operator, value)
    if fault:
        notes.problem((*path, "value"), f"{operator}: {fault}, got {shown(str(value))}", at_value=True)
        return None
    return Condition(path, argument, operator, value)


def _fault(operator: Operator, value: Any) -> str:
    """What `value` should have been; "" where it can be compared with."""
    if any(_is_number(one) and abs(one) > _EXACT for one in (value if isinstance(value, list) else [value])):
        return "beyond 2^53 numbers are rounded there, which cannot be carried over"
    if operator in _NUMBERS:
        return "" if _is_number(value) else "expected a number"
    if operator in _LISTS:
        return "" if isinstance(value, list) and value and all(map(_is_plain, value)) else "expected a list of values"
    if operator is Operator.EXISTS:
        return "" if isinstance(value, bool) else "expected true or false"
    if operator is Operator.REGEX:
        if not isinstance(value, str):
            return "expected a regular expression"
        _, problems, _ = compile_arguments({"properties": {"x": {"type": "string", "pattern": value}}}, {})
        return f"cannot be carried over: {problems[0].message}" if problems else ""
    return "" if _is_plain(value) else "expected text, a number, true or false"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float))
