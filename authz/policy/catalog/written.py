"""A tool's input schema as its server wrote it -> the same in the one dialect that is understood here.

JSON Schema 2020-12 without references and annotations. Servers write draft-07 and 2020-12; what they say is taken as it
is, except that nothing is fetched, and what is endless or huge is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from authz.policy.arguments.form import MAX_NESTING, MAX_SCHEMAS
from authz.policy.arguments.schema import TYPES, Schema

_ONE = ("contains", "additionalProperties", "propertyNames", "not", "if", "then", "else")
_SEVERAL = ("prefixItems", "allOf", "anyOf", "oneOf")
_NAMED = ("properties", "patternProperties", "dependentSchemas")
# What is taken as it stands; whether it is well-formed is for whoever compiles the schema.
_PLAIN = (
    *("const", "enum", "required", "dependentRequired", "pattern", "uniqueItems", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("minContains", "maxContains", "minProperties", "maxProperties"),
)
# What closes a place where it is false. As a schema it would judge what no other schema has seen.
_CLOSING = ("unevaluatedProperties", "unevaluatedItems")
_DYNAMIC = ("$dynamicRef", "$recursiveRef")  # what they refer to depends on who refers to them


class WrittenError(ValueError):
    """An input schema that cannot be used; the text says why."""


def plain(schema: Mapping[str, Any]) -> Schema:
    """`schema` with its references written out; raises WrittenError."""
    found = _Reader(schema).read(schema, 0, ())
    if not isinstance(found, dict):
        raise WrittenError("expected a JSON Schema, which is a mapping")
    try:
        jsonschema_rs.meta.validate(found)
    except jsonschema_rs.ValidationError as error:
        raise WrittenError(error.message.splitlines()[0]) from error
    return found


class _Reader:
    """Reads one schema; counts what it reads, as references can make a small text endless."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._count = 0

    def read(self, schema: Any, depth: int, within: tuple[str, ...]) -> Schema | bool:
        """`schema`, which stands `depth` levels deep, inside of the references `within`."""
        self._count += 1
        if self._count > MAX_SCHEMAS:
            raise WrittenError(f"it has more than {MAX_SCHEMAS} schemas with its references written out")
        if depth > MAX_NESTING:
            raise WrittenError(f"its schemas are nested deeper than {MAX_NESTING} levels")
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise WrittenError("a schema in it is neither a mapping nor true or false")
        found: Schema = {keyword: schema[keyword] for keyword in _PLAIN if keyword in schema}
        if "type" in schema:
            found["type"] = _types(schema["type"])
        for keyword in _ONE:
            if keyword in schema:
                found[keyword] = self.read(schema[keyword], depth + 1, within)
        for keyword in _SEVERAL:
            if keyword in schema:
                found[keyword] = [self.read(one, depth + 1, within) for one in _entries(keyword, schema[keyword])]
        for keyword in _NAMED:
            if keyword in schema:
                members = _members(keyword, schema[keyword])
                found[keyword] = {name: self.read(one, depth + 1, within) for name, one in members.items()}
        _closing(schema, found)
        self._items(schema, found, depth, within)
        self._dependencies(schema, found, depth, within)
        _old_bounds(found)
        if "$ref" in schema:
            found["allOf"] = [*found.get("allOf", ()), self._referred(schema["$ref"], depth, within)]
        return found

    def _items(self, schema: Mapping[str, Any], found: Schema, depth: int, within: tuple[str, ...]) -> None:
        """`items`, which up to draft 2019-09 could be a list, with `additionalItems` for what follows."""
        items = schema.get("items")
        if isinstance(items, list):
            found["prefixItems"] = [self.read(one, depth + 1, within) for one in items]
            items = schema.get("additionalItems")
        if items is not None:
            found["items"] = self.read(items, depth + 1, within)

    def _dependencies(self, schema: Mapping[str, Any], found: Schema, depth: int, within: tuple[str, ...]) -> None:
        """`dependencies` of draft-07: of names where it has a list, else of schemas."""
        for name, needed in _members("dependencies", schema.get("dependencies", {})).items():
            if isinstance(needed, list):
                before = _members("dependentRequired", found.get("dependentRequired", {}))
                found["dependentRequired"] = {**before, name: needed}
            else:
                part = self.read(needed, depth + 1, within)
                found["dependentSchemas"] = {**found.get("dependentSchemas", {}), name: part}

    def _referred(self, reference: Any, depth: int, within: tuple[str, ...]) -> Schema | bool:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise WrittenError(f"it refers to {reference!r}, which is not in it")
        if reference in within or reference == "#":
            raise WrittenError(f"it refers to itself at {reference!r}; recursive schemas are not supported")
        target: Any = self._root
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and name in target:
                target = target[name]
            elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
            else:
                raise WrittenError(f"it refers to {reference!r}, which is not in it")
        return self.read(target, depth + 1, (*within, reference))


def _closing(schema: Mapping[str, Any], found: Schema) -> None:
    """Keep `false` of what closes a place; refuse whatever else would bound a value and is not understood."""
    for keyword in _CLOSING:
        if schema.get(keyword) is False:
            found[keyword] = False
        elif keyword in schema and schema[keyword] not in (True, {}):
            raise WrittenError(f"its {keyword} is neither true nor false, which is not supported")
    for keyword in _DYNAMIC:
        if keyword in schema:
            raise WrittenError(f"it has {keyword}, which is not supported")


def _types(given: Any) -> Any:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name in TYPES for name in names):
        raise WrittenError(f"its type {given!r} is none of JSON Schema")
    return given


def _entries(keyword: str, given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise WrittenError(f"its {keyword} is no list")
    return given


def _members(keyword: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise WrittenError(f"its {keyword} is no mapping")
    return given


def _old_bounds(found: Schema) -> None:
    """`exclusiveMinimum: true` beside `minimum`, as draft-04 had it."""
    for keyword, beside in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(found.get(keyword), bool):
            excludes = found.pop(keyword)
            if excludes and beside in found:
                found[keyword] = found.pop(beside)
