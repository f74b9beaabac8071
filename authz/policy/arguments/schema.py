"""The JSON Schema dialect of `arguments`: its keywords, its references, and what types a schema declares.

A subset of JSON Schema 2020-12 (sections 10 and 11 of the core, 6 of the validation vocabulary) in which references
go to the policy's own `$defs` and nowhere else. Knows no problem, no value that a caller sent, no validator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import re2  # type: ignore[import-untyped]  # ships no types

Schema: TypeAlias = dict[str, Any]
Definitions: TypeAlias = Mapping[str, Any]
Path: TypeAlias = tuple[str | int, ...]

ITEM = -1  # in a path: any item of a list
DEFINITION = "#/$defs/"

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

# Which type each bounding keyword bounds; a value of any other type passes it (JSON Schema core 2020-12, 7.6.1).
BOUNDS = (
    dict.fromkeys(("minLength", "maxLength", "pattern", "format"), "string")
    | dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number")
    | dict.fromkeys(
        (
            "items",
            "prefixItems",
            "contains",
            "minContains",
            "maxContains",
            "minItems",
            "maxItems",
            "uniqueItems",
        ),
        "array",
    )
    | dict.fromkeys(
        (
            "properties",
            "patternProperties",
            "additionalProperties",
            "propertyNames",
            "required",
            "minProperties",
            "maxProperties",
            "dependentRequired",
            "dependentSchemas",
        ),
        "object",
    )
)

_QUIET = re2.Options()
_QUIET.log_errors = False


class PatternError(ValueError):
    """A pattern that RE2 refuses; the text says why."""


def compile_pattern(pattern: str) -> Any:
    """The pattern in RE2, without a word on stderr; raises PatternError."""
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error as error:
        what = error.args[0]
        raise PatternError(what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)) from error


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """A mistake in a schema, or a likely one. `path` starts at `arguments`, or with `$defs` and a name."""

    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class DeclaredType:
    """What a schema says the value is: JSON Schema's type names, at least one of which holds (`integer` ⊂ `number`)."""

    names: frozenset[str]

    def __str__(self) -> str:
        return " or ".join(sorted(self.names)) or "nothing"


def target(schema: Schema, definitions: Definitions) -> Any:
    """What `$ref` of a checked schema points to."""
    return definitions[schema["$ref"].removeprefix(DEFINITION)]


_ONE, _LIST, _NAMED = range(3)
_CHILDREN = (
    dict.fromkeys(
        ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"),
        _ONE,
    )
    | dict.fromkeys(("prefixItems", "allOf", "anyOf", "oneOf"), _LIST)
    | dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), _NAMED)
)


def children(schema: Schema) -> list[tuple[Path, Any]]:
    """Every schema directly inside `schema`, with its path; references are not followed."""
    found: list[tuple[Path, Any]] = []
    for keyword, value in schema.items():
        kind = _CHILDREN.get(keyword)
        if kind is None:
            continue
        if kind == _NAMED:
            found += [((keyword, name), child) for name, child in value.items()]
        elif kind == _ONE:
            found.append(((keyword,), value))
        else:
            found += [((keyword, at), child) for at, child in enumerate(value)]
    return found


_ONLY = {name: frozenset([name]) for name in TYPES}
_DECLARING = frozenset(("const", "enum", "$ref", "allOf", "anyOf", "oneOf"))  # beside or in place of `type`


def declared(schema: Any, definitions: Definitions) -> frozenset[str] | None:
    """The types that a value which fits `schema` can have, None where it says nothing of them."""
    if isinstance(schema, bool):
        return None if schema else frozenset()
    if _DECLARING.isdisjoint(schema):
        type_ = schema.get("type")
        if type_ is None:
            return None
        if isinstance(type_, str):
            return _ONLY[type_]
    found: list[frozenset[str] | None] = []
    if "type" in schema:
        type_ = schema["type"]
        found.append(frozenset([type_] if isinstance(type_, str) else type_))
    if "const" in schema:
        found.append(frozenset([type_of_value(schema["const"])]))
    if "enum" in schema:
        found.append(frozenset(type_of_value(value) for value in schema["enum"]))
    return meet(found + _combined(schema, definitions, declared))


def declared_at(schema: Any, path: Path, definitions: Definitions) -> frozenset[str] | None:
    """The types of the value at `path` inside a value that fits `schema`, None where they are not declared."""
    if not path:
        return declared(schema, definitions)
    if isinstance(schema, bool):
        return None
    step, rest = path[0], path[1:]
    found = [declared_at(child, rest, definitions) for child in _members(schema, step)]
    if isinstance(step, int):
        found.append(_items(schema, step, rest, definitions))
    holder = "array" if isinstance(step, int) else "object"
    return meet(found + _combined(schema, definitions, lambda other, _: declared_at(other, path, definitions), holder))


def _combined(schema: Schema, definitions: Definitions, of: Any, holder: str = "") -> list[frozenset[str] | None]:
    """What the schemas that apply to the same value say: references, all of `allOf`, the union of alternatives.

    Alternatives that say it is no `holder` say nothing of what is inside one.
    """
    found: list[frozenset[str] | None] = []
    if "$ref" in schema:
        found.append(of(target(schema, definitions), definitions))
    found += [of(child, definitions) for child in schema.get("allOf", ())]
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            several = [child for child in schema[keyword] if not holder or _may_be(child, holder, definitions)]
            found.append(join([of(child, definitions) for child in several]) if several else None)
    return found


def _may_be(schema: Any, type_: str, definitions: Definitions) -> bool:
    types = declared(schema, definitions)
    return types is None or type_ in types


def _members(schema: Schema, step: str | int) -> list[Any]:
    if not isinstance(step, str):
        return []
    found = [schema["properties"][step]] if step in schema.get("properties", {}) else []
    for pattern, child in schema.get("patternProperties", {}).items():
        if compile_pattern(pattern).search(step):
            found.append(child)
    return found or [schema.get("additionalProperties", True)]


def _items(schema: Schema, step: int, rest: Path, definitions: Definitions) -> frozenset[str] | None:
    first: Sequence[Any] = schema.get("prefixItems", ())
    others = schema.get("items", True)
    if step >= 0:
        return declared_at(first[step] if step < len(first) else others, rest, definitions)
    return join([declared_at(child, rest, definitions) for child in (*first, others) if child is not False])


def required_at(schema: Any, path: Path, definitions: Definitions) -> bool:
    """Whether every value that fits `schema` has something at `path`: names of members, at least one."""
    beside = _beside(schema, definitions)
    if not any(path[0] in one.get("required", ()) for one in beside):
        return False
    members = [one["properties"][path[0]] for one in beside if path[0] in one.get("properties", {})]
    return len(path) == 1 or any(required_at(one, path[1:], definitions) for one in members)


def _beside(schema: Any, definitions: Definitions) -> list[Schema]:
    """The schemas that hold for every value for which `schema` holds: itself, its reference, all of `allOf`."""
    if not isinstance(schema, dict):
        return []
    found = [schema]
    if "$ref" in schema:
        found += _beside(target(schema, definitions), definitions)
    for child in schema.get("allOf", ()):
        found += _beside(child, definitions)
    return found


def meet(found: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """The types that satisfy every known one of `found`."""
    known: frozenset[str] | None = None
    for one in found:
        if one is None:
            continue
        if known is None:
            known = one
            continue
        widened = [types | ({"integer"} if "number" in types else set()) for types in (known, one)]
        both = widened[0] & widened[1]
        known = both - {"integer"} if "number" in both else both
    return known


def join(found: Sequence[frozenset[str] | None]) -> frozenset[str] | None:
    """The types that satisfy one of `found`, None if one of them is unknown."""
    known = [one for one in found if one is not None]
    return frozenset().union(*known) if len(known) == len(found) else None


def type_of_value(value: Any) -> str:
    """JSON Schema's word for the type of a JSON value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "null" if value is None else "object"
