"""A JSON Schema of a policy -> the same schema with one bound less, for each bound in it. Knows no policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from authz.policy.text.document import Path

# What bounds a value by itself; `type` is left, for conditions read only what has one.
_BOUNDS = (
    *("pattern", "format", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems", "uniqueItems", "contains"),
    *("minProperties", "maxProperties", "propertyNames", "dependentRequired"),
    *("not", "anyOf", "oneOf", "if"),
)
_WITH = {"contains": ("minContains", "maxContains"), "if": ("then", "else")}  # what means nothing without it
_NAMED = ("properties", "patternProperties", "dependentSchemas")
_ONE = ("items", "additionalProperties", "propertyNames", "contains")
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def loosened(schema: Any) -> Iterator[tuple[Path, str, Any]]:
    """Each schema that accepts more: where the bound was, what was done, and the whole schema without it."""
    if not isinstance(schema, dict):
        return
    for keyword in _BOUNDS:
        if keyword in schema:
            yield (keyword,), "dropped", _less(schema, keyword)
    for keyword in ("const", "enum"):
        if keyword in schema:
            typed = {**_less(schema, keyword), "type": schema.get("type", _type_of(schema[keyword], keyword))}
            yield (keyword,), "dropped", typed
    if schema.get("additionalProperties") is False:
        yield ("additionalProperties",), "dropped", _less(schema, "additionalProperties")
    required = schema.get("required", [])
    for at, name in enumerate(required):
        fewer = [other for other in required if other != name]
        yield ("required", at), f"{name!r} no longer required", {**schema, "required": fewer}
    for keyword in _NAMED:
        for name, child in schema.get(keyword, {}).items():
            for path, what, fresh in loosened(child):
                yield (keyword, name, *path), what, {**schema, keyword: {**schema[keyword], name: fresh}}
    for keyword in _ONE:
        for path, what, fresh in loosened(schema.get(keyword)):
            yield (keyword, *path), what, {**schema, keyword: fresh}
    for keyword in _SEVERAL:
        for at, child in enumerate(schema.get(keyword, [])):
            for path, what, fresh in loosened(child):
                several = [fresh if place == at else other for place, other in enumerate(schema[keyword])]
                yield (keyword, at, *path), what, {**schema, keyword: several}


def _less(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    gone = (keyword, *_WITH.get(keyword, ()))
    return {name: value for name, value in schema.items() if name not in gone}


def _type_of(value: Any, keyword: str) -> Any:
    """The type, or types, of what `const` or `enum` spells: then only the choice among them is lost."""
    types = list(dict.fromkeys(_TYPES[type(one)] for one in (value if keyword == "enum" else [value])))
    return types[0] if len(types) == 1 else types
