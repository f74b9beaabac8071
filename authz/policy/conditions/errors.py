"""The CEL library's compile errors, of several lines each -> one short sentence each, with a suggestion."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from authz.policy.arguments.declares import Declares
from authz.policy.conditions.types import ENVIRONMENT, FUNCTIONS, ROOTS, VARIABLES

_ERROR = re.compile(r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")
_MAX_PROBLEMS = 5  # one mistake often makes the library complain several times


class CelError(ValueError):
    """An expression that does not compile; `problems` says why."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def compile_expression(text: str, types: Sequence[Declares]) -> Any:
    """The library's compiled expression; raises CelError."""
    try:
        return ENVIRONMENT.compile(text)
    except (RuntimeError, ValueError, TypeError) as error:  # pybind11's translations of what C++ throws
        raise CelError(_problems(str(error), types)) from error


def _problems(message: str, types: Sequence[Declares]) -> list[str]:
    if "recursion" in message:
        return ["nested too deeply: CEL takes at most 32 levels, and a chain of + is as deep as it is long"]
    found: dict[str, None] = {}
    for line, column, text in _ERROR.findall(message):
        place = f"line {line}, column {column}" if int(line) > 1 else f"column {column}"
        found[f"{place}: {_sentence(text, types)}"] = None
    return list(found)[:_MAX_PROBLEMS] or [" ".join(message.split())]


def _sentence(text: str, types: Sequence[Declares]) -> str:
    undeclared = _UNDECLARED.match(text)
    if undeclared:
        return f"unknown name {undeclared[1]!r}{_suggest(undeclared[1], types)}"
    overload = _OVERLOAD.match(text)
    if overload:
        operator = overload[1].replace("_[_]", "[]").replace("_?_:_", "?:").strip("_@")
        return f"{operator} cannot be applied to {overload[2]}"
    text = text.partition(" expecting ")[0].partition(" (in container")[0]
    text = text.replace("mismatched input '<EOF>'", "unexpected end").replace("[INVALID_ARGUMENT]", "")
    return f"{text[:1].lower()}{text[1:]}".strip()


def _suggest(name: str, types: Sequence[Declares]) -> str:
    if "." not in name and any(schema.type_of((name,)) is not None for schema in types):
        return f"; did you mean args.{name}?"
    if name in ROOTS:
        members = sorted(known for known in VARIABLES if known.startswith(f"{name}."))
        return f"; name one of {', '.join(members)}"
    written = ".".join(name.split(".")[:2])
    near = difflib.get_close_matches(written, [*VARIABLES, *sorted(FUNCTIONS)], 1)
    return f"; did you mean {near[0]}?" if near else ""
