"""Conditions on arguments -> the JSON Schema that calls must fit.

Never wider than what the conditions let through: where the other program compares texts, numbers and booleans by how
they are printed (`42` equals `"42"`), here the type that the file writes is the only one that fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from authz.app.importing.source import Condition, Operator

Schema = dict[str, Any]

_GO_EXPONENT = 6  # from here on Go prints floating point numbers with an exponent: 1e+06
_SOMETHING = ["string", "number", "boolean", "object", "array"]  # all types but null
_BOUNDS = {
    Operator.LT: "exclusiveMaximum",
    Operator.LTE: "maximum",
    Operator.GT: "exclusiveMinimum",
    Operator.GTE: "minimum",
}
_OPPOSITE = {
    Operator.LT: Operator.GTE,
    Operator.LTE: Operator.GT,
    Operator.GT: Operator.LTE,
    Operator.GTE: Operator.LT,
    Operator.EQ: Operator.NEQ,
    Operator.NEQ: Operator.EQ,
    Operator.IN: Operator.NOT_IN,
    Operator.NOT_IN: Operator.IN,
}


@dataclass(slots=True)
class _Node:
    """One argument: what it must be, whether it must be there, and what is below it."""

    schemas: list[Schema] = field(default_factory=list)
    needed: bool = False
    members: dict[str, _Node] = field(default_factory=dict)


class Constraints:
    """Collects what the arguments of one tool must be."""

    def __init__(self) -> None:
        self._root = _Node()
        self._choices: list[list[Schema]] = []

    def hold(self, condition: Condition) -> None:
        """`condition` must hold."""
        schema, needed = holds(condition)
        self.declare(condition.argument, schema, needed=needed)

    def forbid(self, conditions: Sequence[Condition]) -> None:
        """`conditions` must not all hold; an argument that is not there fulfils none but `exists: false`."""
        if len(conditions) == 1:
            schema, needed = fails(conditions[0])
            self.declare(conditions[0].argument, schema, needed=needed)
            return
        choices = []
        for condition in conditions:
            self.declare(condition.argument, _types(condition), needed=False)
            one = Constraints()
            schema, needed = fails(condition)
            one.declare(condition.argument, schema, needed=needed)
            choices.append({"type": "object", **(one.schema() or {})})
        self._choices.append(choices)

    def declare(self, argument: Sequence[str], schema: Schema, *, needed: bool) -> None:
        """The argument at this path must fit `schema`."""
        node = self._root
        for part in argument:
            node.needed |= needed
            node = node.members.setdefault(part, _Node())
        node.needed |= needed
        if schema:
            node.schemas.append(schema)

    def schema(self) -> Schema | None:
        """All of it, None where nothing is asked."""
        if not self._root.members and not self._choices:
            return None
        schema = _members(self._root)
        if len(self._choices) == 1:
            schema["anyOf"] = self._choices[0]
        elif self._choices:
            schema["allOf"] = [{"anyOf": choices} for choices in self._choices]
        return schema


def holds(condition: Condition) -> tuple[Schema, bool]:
    """What an argument must be for `condition` to hold, and whether it must be there."""
    operator, value = condition.operator, condition.value
    if operator is Operator.EXISTS:
        return ({"type": _SOMETHING}, True) if value else ({"type": "null"}, False)
    if operator in _BOUNDS:
        return {"type": "number", _BOUNDS[operator]: value}, True
    if operator is Operator.EQ:
        return {"const": value}, True
    if operator is Operator.IN:
        return {"enum": list(value)}, True
    if operator is Operator.REGEX:
        return {"type": "string", "pattern": value}, True
    if operator is Operator.CONTAINS:
        return _containing(value), True
    refused = _spellings(value if operator is Operator.NOT_IN else [value])
    return {**_types(condition), "not": {"const": refused[0]} if len(refused) == 1 else {"enum": refused}}, True


def fails(condition: Condition) -> tuple[Schema, bool]:
    """What an argument must be for `condition` not to hold, and whether it must be there."""
    operator, value = condition.operator, condition.value
    if operator is Operator.EXISTS:
        return ({"type": "null"}, False) if value else ({"type": _SOMETHING}, True)
    if operator is Operator.REGEX:
        return {"type": "string", "not": {"pattern": value}}, False
    if operator is Operator.CONTAINS:
        return _not_containing(value), False
    opposite = Condition(condition.place, condition.argument, _OPPOSITE[operator], value)
    return holds(opposite)[0], False


def _types(condition: Condition) -> Schema:
    """The types that the condition is about."""
    operator, value = condition.operator, condition.value
    if operator is Operator.EXISTS:
        return {}
    if operator in _BOUNDS:
        return {"type": "number"}
    if operator is Operator.REGEX:
        return {"type": "string"}
    if operator is Operator.CONTAINS:
        return {"type": ["string", "array"] if isinstance(value, str) else "array"}
    names = list(dict.fromkeys(_type_of(one) for one in (value if isinstance(value, list) else [value])))
    return {"type": names[0] if len(names) == 1 else names}


def _type_of(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def _spellings(values: Iterable[Any]) -> list[Any]:
    """`values`, and beside several types the texts by which Intercept would take them for equal."""
    values = list(values)
    if len({_type_of(value) for value in values}) == 1:
        return values
    texts = [text for value in values for text in _printed(value)]
    return [*values, *(text for text in dict.fromkeys(texts) if text not in values)]


def _printed(value: Any) -> list[str]:
    """How Go's `%v` prints a value, and how the file does."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, float):
        number = Decimal(repr(value)).normalize()
        digits, exponent = "".join(map(str, number.as_tuple().digits)), number.adjusted()
        plain = format(number, "f")
        if -5 < exponent < _GO_EXPONENT:
            return [plain]
        short = f"{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{exponent:+03d}"
        return [plain, f"{'-' * (value < 0)}{short}"]
    return [str(value)]


def _containing(value: Any) -> Schema:
    listed: Schema = {"type": "array", "contains": {"const": value}}
    if not isinstance(value, str):  # in a text only text can be
        return listed
    return {"anyOf": [{"type": "string", "pattern": _escaped(value)}, listed]}


def _not_containing(value: Any) -> Schema:
    listed: Schema = {"type": "array", "not": {"contains": {"const": value}}}
    if not isinstance(value, str):
        return listed
    return {"anyOf": [{"type": "string", "not": {"pattern": _escaped(value)}}, listed]}


def _escaped(text: str) -> str:
    """A pattern for exactly `text`, readable: only what means something in a pattern is escaped."""
    return re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", text)


def _members(node: _Node) -> Schema:
    schema: Schema = {"properties": {name: _schema(member) for name, member in node.members.items()}}
    if needed := [name for name, member in node.members.items() if member.needed]:
        schema["required"] = needed
    return schema


def _schema(node: _Node) -> Schema:
    schemas = list(node.schemas)
    if node.members:
        schemas.append({"type": "object", **_members(node)})
    merged: Schema = {}
    further = []
    for schema in schemas:
        types = _meet(merged.get("type"), schema.get("type"))
        if (merged.keys() & schema.keys()) - {"type"} or types == []:
            further.append(schema)
        else:
            merged |= schema
            if types is not None:
                merged["type"] = types[0] if len(types) == 1 else types
    if further:
        merged["allOf"] = further
    return {"type": merged.pop("type"), **merged} if "type" in merged else merged


def _meet(one: str | list[str] | None, other: str | list[str] | None) -> list[str] | None:
    """The types that both allow; None where neither says."""
    if one is None or other is None:
        given = other if one is None else one
        return [given] if isinstance(given, str) else given
    first, second = ([one] if isinstance(one, str) else one), ([other] if isinstance(other, str) else other)
    return [name for name in first if name in second]
