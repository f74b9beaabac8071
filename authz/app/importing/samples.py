"""What a tool's arguments must be -> calls that fit and calls that just do not, for the tests of an imported policy.

Every sample is checked against the schema; where none is found, there is none.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rstr

from authz.app.importing.constraints import Constraints, Schema
from authz.app.importing.source import Condition, Operator, Rule
from authz.policy.arguments.check import ArgumentsSchema, compile_arguments

Arguments = dict[str, Any]

_ANYTHING: tuple[Any, ...] = ("text", 1, True, ["text"], {"member": 1}, "", 0, -1, False, [], {})
_TRIES = 8
_TOO_LONG = 120  # characters; a sample is for people to read


@dataclass(frozen=True, slots=True)
class Sample:
    """Arguments, and in a few words what is special about them."""

    name: str
    arguments: Arguments


class Samples:
    """Calls of one tool whose arguments must fit `schema`, which `rules` were made into."""

    def __init__(self, schema: Schema, rules: Sequence[Rule]) -> None:
        self._whole = _compiled(schema)
        self._conditions = [condition for rule in rules for condition in rule.conditions]
        self._single: dict[tuple[str, ...], Constraints] = {}
        self._choices: list[Condition] = []
        self._amounts: dict[tuple[str, ...], int] = {}  # small enough for the limit to let several pass
        for rule in rules:
            for quota in rule.quotas:
                if isinstance(quota.cost, tuple):
                    self._amounts[quota.cost] = max(1, quota.max // 4)
                    self._of(quota.cost).declare(quota.cost, {"type": "number", "exclusiveMinimum": 0}, needed=True)
            for condition in rule.conditions:
                if not rule.forbids:
                    self._of(condition.argument).hold(condition)
                elif len(rule.conditions) == 1:
                    self._of(condition.argument).forbid(rule.conditions)
                else:
                    self._of(condition.argument)
                    self._choices.append(condition)

    def fitting(self) -> Arguments | None:
        """Arguments that fit, None where none are found."""
        arguments: Arguments = {}
        for path in sorted(self._single, key=len):
            schema = self._single[path].schema()
            judge = _compiled(schema or {})
            values = (*([self._amounts[path]] if path in self._amounts else ()), *self._near(path), *_ANYTHING)
            chosen = next((value for value in values if judge.check(_with({}, path, value)) is None), None)
            if chosen is not None:
                arguments = _with(arguments, path, chosen)
        if self._fits(arguments):
            return arguments
        for condition in self._choices:  # of which one at least must not hold
            values = (*_near(condition), *_ANYTHING)
            changed = [_with(arguments, condition.argument, value) for value in values]
            for one in (*changed, _without(arguments, condition.argument)):
                if self._fits(one):
                    return one
        return None

    def refused(self, fitting: Arguments) -> Iterator[Sample]:
        """For each condition, `fitting` changed so that it is denied: another value, another type, left out."""
        seen: list[Arguments] = []
        for condition in self._conditions:
            valued = next(self._only_refused(_against(condition, fitting), seen), None)
            for sample in (valued, *self._only_refused(_hazards(condition, fitting), seen)):
                if sample is not None and sample.arguments not in seen:
                    seen.append(sample.arguments)
                    yield sample
        for path in self._amounts:
            nothing = Sample(f"{'.'.join(path)} is 0", _with(fitting, path, 0))
            yield from self._only_refused(iter((nothing,)), seen)

    def fits_with(self, fitting: Arguments, path: Sequence[str], value: Any) -> Arguments | None:
        """`fitting` with this value at `path`, None where it does not fit then."""
        changed = _with(fitting, path, value)
        return changed if self._fits(changed) else None

    def around_a_match(self, fitting: Arguments) -> Iterator[Sample]:
        """For each pattern that matches a part of a text: a text around such a part, which passes."""
        for condition in self._conditions:
            found = value_at(fitting, condition.argument)
            if condition.operator is Operator.REGEX and isinstance(found, str):
                changed = _with(fitting, condition.argument, f"before {found} after")
                if self._fits(changed):
                    yield Sample(f"{_name(condition)} with more around the match", changed)

    def _of(self, path: tuple[str, ...]) -> Constraints:
        return self._single.setdefault(path, Constraints())

    def _near(self, path: tuple[str, ...]) -> list[Any]:
        return [value for one in self._conditions if one.argument == path for value in _near(one)]

    def _fits(self, arguments: Arguments) -> bool:
        return self._whole.check(arguments) is None

    def _only_refused(self, samples: Iterator[Sample], seen: Sequence[Arguments]) -> Iterator[Sample]:
        return (one for one in samples if one.arguments not in seen and not self._fits(one.arguments))


def value_at(arguments: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What is at `path`, None where there is nothing."""
    found: Any = arguments
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _compiled(schema: Schema) -> ArgumentsSchema:
    compiled, problems, _ = compile_arguments(schema, {})
    if compiled is None:  # what is made of one condition alone fits what is made of all
        raise AssertionError(f"an imported schema does not compile: {problems[0].message}")
    return compiled


def _near(condition: Condition) -> list[Any]:
    """Values of which some fulfil the condition and some just do not."""
    operator, value = condition.operator, condition.value
    if operator in (Operator.EQ, Operator.NEQ, Operator.IN, Operator.NOT_IN):
        values = value if isinstance(value, list) else [value]
        return [*values, *(other for one in values for other in _beside(one))]
    if operator in (Operator.LT, Operator.LTE, Operator.GT, Operator.GTE):
        return [value, value - 1, value + 1]
    if operator is Operator.REGEX:
        return [text for text in (_matching(value), "!", "text", "0") if text is not None]
    if operator is Operator.CONTAINS:
        texts = [value, f"before {value} after"] if isinstance(value, str) else []
        return ["other", ["other"], *texts, [value]]
    return ["text"]


def _beside(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    return [f"{value}-other"] if isinstance(value, str) else [value + 1]


def _matching(pattern: str) -> str | None:
    """A text that Python's reading of the pattern makes; RE2 may want another, which is checked later."""
    made = rstr.Rstr(random.Random(1))  # noqa: S311 - the same sample each time
    for _ in range(_TRIES):
        try:
            text = made.xeger(pattern)
        except (re.error, KeyError, OverflowError):
            return None
        if text.isprintable() and len(text) <= _TOO_LONG and text == text.strip():
            return text
    return None


def _against(condition: Condition, fitting: Arguments) -> Iterator[Sample]:
    for value in (*_near(condition), *_ANYTHING):
        shown = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
        yield Sample(f"{_name(condition)} is {shown}", _with(fitting, condition.argument, value))


def _hazards(condition: Condition, fitting: Arguments) -> Iterator[Sample]:
    """What gets round such a condition where nobody looks at types."""
    name, found = _name(condition), value_at(fitting, condition.argument)
    if found is None:
        return
    for length in range(1, len(condition.argument) + 1):
        yield Sample(f"no {'.'.join(condition.argument[:length])}", _without(fitting, condition.argument[:length]))
    if condition.operator is Operator.CONTAINS:
        yield Sample(f"{name} is a list of others", _with(fitting, condition.argument, ["other", 0]))
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        yield Sample(f"{name} as text", _with(fitting, condition.argument, str(found)))
    if isinstance(found, str):
        yield Sample(f"{name} in a list", _with(fitting, condition.argument, [found]))


def _name(condition: Condition) -> str:
    return ".".join(condition.argument)


def _with(arguments: Arguments, path: Sequence[str], value: Any) -> Arguments:
    changed = copy.deepcopy(arguments)
    at = changed
    for part in path[:-1]:
        if not isinstance(at.get(part), dict):
            at[part] = {}
        at = at[part]
    at[path[-1]] = value
    return changed


def _without(arguments: Arguments, path: Sequence[str]) -> Arguments:
    changed = copy.deepcopy(arguments)
    at: Any = changed
    for part in path[:-1]:
        at = at.get(part, {})
    at.pop(path[-1], None)
    return changed
