"""A tool's input schema -> whether arguments fit it and have no member that it does not name (`strict_arguments`).

The schema counts as its server wrote it, but it is closed: what it does not name is refused, also in objects inside.
Those of which it names no member stay free-form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from authz.policy.arguments.doubt import doubt
from authz.policy.arguments.patterns import OPTIONS, program_size, refusal
from authz.policy.arguments.schema import PatternError, Schema, children, compile_pattern
from authz.policy.arguments.shape import Shape, shape_of
from authz.policy.arguments.words import Explainer, Violation, violation
from authz.policy.catalog.written import WrittenError, plain

_UNKNOWN = "no member that the tool's input schema does not name"
_UNUSABLE = Violation("args", "nothing: the catalogue's input schema of this tool cannot be checked")
_NOT_JSON = Violation("args", "only JSON that can be read without doubt")
_SAME_VALUE = ("allOf", "anyOf", "oneOf")
_ANY_NAME = compile_pattern("")
_BRANCHES = ("if", "then", "else")


@dataclass(slots=True)
class _Place:
    """The members that a schema names at one place, in whichever branch; `free`: any others may stand beside them."""

    names: dict[str, _Place] = field(default_factory=dict)
    patterns: list[Any] = field(default_factory=list)
    others: _Place | None = None
    items: _Place | None = None
    free: bool = False


@dataclass(frozen=True, slots=True)
class _Judge:
    shape: Shape | None
    place: _Place
    validator: jsonschema_rs.Draft202012Validator
    explainer: Explainer


class StrictSchema:
    """An input schema that is closed. What judges is made when it is first asked: most tools are never called."""

    __slots__ = ("_judge", "_problem", "_schema", "_written")

    def __init__(self, written: Mapping[str, Any]) -> None:
        self._written = written
        self._schema: Schema = {}
        self._problem: str | None = None
        self._judge: _Judge | None = None

    @property
    def problem(self) -> str:
        """Why nothing can be checked against it, "" where it can."""
        if self._problem is None:
            try:
                self._schema = _proved(self._written)
            except WrittenError as error:
                self._problem = str(error)
            else:
                self._problem = ""
        return self._problem

    def check(self, arguments: Mapping[str, Any]) -> Violation | None:
        """None if `arguments` fit, else why not. Takes JSON as Python values. Never raises."""
        if self.problem:
            return _UNUSABLE
        if self._judge is None:
            self._judge = _judge_of(self._schema)
        judge = self._judge
        if type(arguments) is not dict:
            arguments = dict(arguments)
        if judge.shape is not None:
            fault = judge.shape.fault(arguments)
            if fault is not None:
                return violation(*fault)
        try:
            unknown = _unknown(arguments, judge.place)
            if unknown is not None:
                return violation((*unknown, "*"), _UNKNOWN)
            if judge.validator.is_valid(arguments):
                return None
            return judge.explainer.explain(self._schema, arguments)
        except ValueError:
            return _NOT_JSON

    def doubt(self, arguments: Mapping[str, Any]) -> Violation | None:
        """The refusal of an argument with `!` of which the schema says more than its type: see `arguments.doubt`."""
        return doubt(self._schema, arguments, types_constrain=False)


def named_arguments(written: Mapping[str, Any]) -> frozenset[str] | None:
    """The names of the arguments that an input schema knows, None where it may take others or cannot be read."""
    place = _Place()
    try:
        schema = plain(written)
        _collect(schema, place)
    except (WrittenError, PatternError):
        return None
    if place.patterns or ("properties" not in schema and place.free):
        return None
    return frozenset(place.names)


def _proved(written: Mapping[str, Any]) -> Schema:
    """The plain schema, with all that could make judging fail ruled out; raises WrittenError."""
    schema: Schema = {**plain(written), "type": "object"}
    _prove_patterns(schema)
    return schema


def _prove_patterns(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    for pattern in (*schema.get("patternProperties", ()), *([schema["pattern"]] if "pattern" in schema else ())):
        try:
            program_size(pattern)
        except PatternError as error:
            raise WrittenError(f"RE2 refuses its pattern {pattern!r}: {error}") from error
        refused = refusal(pattern)
        if refused:
            raise WrittenError(refused)
    for _, child in children(schema):
        _prove_patterns(child)


def _judge_of(schema: Schema) -> _Judge:
    place = _Place()
    _collect(schema, place)
    place.free = False  # a tool without parameters takes none
    return _Judge(shape_of(schema, {}), place, _validator(schema), Explainer({}, _validator))


def _validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, offline=True, pattern_options=OPTIONS)


def _collect(schema: Any, place: _Place) -> None:
    """Add to `place` what `schema` names; a place is free while nothing names a member of it."""
    _gather(schema, place)
    place.free = not (place.names or place.patterns)


def _gather(schema: Any, place: _Place) -> None:
    if not isinstance(schema, dict):
        return
    for name, child in schema.get("properties", {}).items():
        _collect(child, place.names.setdefault(name, _Place()))
    for name in schema.get("required", ()):
        place.names.setdefault(name, _Place(free=True))
    for pattern, child in schema.get("patternProperties", {}).items():
        place.patterns.append(compile_pattern(pattern))
        place.others = place.others or _Place()
        _collect(child, place.others)
    others = schema.get("additionalProperties")
    if isinstance(others, dict) and others:  # `true` and `{}` name nothing
        place.others = place.others or _Place()
        place.patterns.append(_ANY_NAME)
        _collect(others, place.others)
    for child in (*schema.get("prefixItems", ()), schema.get("items"), schema.get("contains")):
        if isinstance(child, dict):
            place.items = place.items or _Place()
            _collect(child, place.items)
    beside = [child for keyword in _SAME_VALUE for child in schema.get(keyword, ())]
    beside += [schema[keyword] for keyword in _BRANCHES if keyword in schema]
    for child in (*beside, *schema.get("dependentSchemas", {}).values()):
        _gather(child, place)


def _unknown(value: Any, place: _Place) -> tuple[str, ...] | None:
    """Where in `value` a member is that nothing names: the path of its object; None if there is none."""
    kind = type(value)
    if kind is list and place.items is not None:
        for item in value:
            found = _unknown(item, place.items)
            if found is not None:
                return ("[]", *found)
    elif kind is dict and not place.free:
        for name, member in value.items():
            inner = place.names.get(name)
            if inner is None:
                if not any(pattern.search(name) for pattern in place.patterns):
                    return ()
                inner, name = place.others or _Place(free=True), "*"
            found = _unknown(member, inner)
            if found is not None:
                return (name, *found)
    return None
