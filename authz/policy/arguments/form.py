"""A JSON Schema as somebody wrote it -> every problem of its form: keywords, their values, references, size.

The standard ignores what it does not know; here that is an error, so that a misspelt bound is not a missing one
(policies/README.md 3). References stay in the policy's `$defs`: no validator may fetch anything.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

from authz.policy.arguments.patterns import program_size, refusal
from authz.policy.arguments.schema import (
    DEFINITION,
    TYPES,
    Definitions,
    Path,
    PatternError,
    SchemaProblem,
    children,
)

MAX_SCHEMAS = 2_000  # with every reference written out; work is their number times the size of the arguments
MAX_NESTING = 32  # as policies/README.md 10 bounds the YAML

# What the validator checks in linear time. `regex` is left out: it would compile what the caller sent.
FORMATS = (
    *("date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri"),
    *("iri-reference", "json-pointer", "relative-json-pointer", "time", "uri", "uri-reference", "uri-template"),
    "uuid",
)
ANNOTATIONS = frozenset(
    ("title", "description", "$comment", "examples", "default", "deprecated", "readOnly", "writeOnly")
)
_REFUSED = {
    "$id": "schemas of a policy have no address of their own",
    "$schema": "arguments are always JSON Schema 2020-12",
    "$anchor": "references go to $defs by name",
    "$dynamicAnchor": "references go to $defs by name",
    "$dynamicRef": "references go to $defs by name",
    "$defs": "definitions stand at the top of the policy file",
    "definitions": "definitions stand in $defs at the top of the policy file",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
    "dependencies": "use dependentRequired or dependentSchemas",
    "additionalItems": "use items beside prefixItems",
}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value)


def _is_types(value: Any) -> bool:
    return value in TYPES if isinstance(value, str) else _is_names(value) and bool(value) and set(value) <= {*TYPES}


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_filled_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


_COUNT = (_is_count, "a whole number of 0 or more")
_NUMBER = (_is_number, "a finite number")
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_is_types, f"one of {', '.join(TYPES)}, or a list of these"),
    "const": (lambda _: True, "a value"),
    "enum": (_is_filled_list, "a list of values"),
    "pattern": (lambda value: isinstance(value, str), "a regular expression"),
    "format": (lambda value: value in FORMATS, f"one of {', '.join(FORMATS)}"),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    "required": (_is_names, "a list of different names"),
    "dependentRequired": (
        lambda value: _is_map(value) and all(_is_names(names) for names in value.values()),
        "names with a list of names each",
    ),
    "$ref": (lambda value: isinstance(value, str), f'"{DEFINITION}NAME"'),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"), _COUNT),
    **dict.fromkeys(("minProperties", "maxProperties"), _COUNT),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    **dict.fromkeys(("items", "contains", "additionalProperties", "propertyNames"), (_is_schema, "a schema")),
    **dict.fromkeys(("not", "if", "then", "else"), (_is_schema, "a schema")),
    **dict.fromkeys(("prefixItems", "allOf", "anyOf", "oneOf"), (_is_filled_list, "a list of schemas")),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), (_is_map, "names with a schema each")),
}
_CHOICES = {"type": TYPES, "format": FORMATS}
_NEEDS = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
_ORDERED = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minContains", "maxContains"),
)
_LOW = frozenset(low for low, _ in _ORDERED)
_LOOKED_INTO = frozenset(("$ref", "pattern", "patternProperties"))  # whose values are more than well-formed or not


class Form:
    """What is wrong with the form of a schema: `problems`; `used` are the definitions that it reaches, each once."""

    def __init__(self, definitions: Definitions) -> None:
        self.problems: list[SchemaProblem] = []
        self.used: list[str] = []
        self._definitions = definitions
        self._schemas = 0  # seen so far

    def inspect(self, schema: Any, path: Path = ()) -> None:
        """Look at `schema` and at every definition that it reaches; `path` is where it stands."""
        if not path and not isinstance(schema, dict):
            self._problem(path, f"expected a schema, got {schema!r}")
            return
        if path[:1] == ("$defs",):
            self.used.append(str(path[1]))
        else:
            self._schema(schema, path, 0)
        for name in self.used:  # grows while definitions refer to others
            self._schema(self._definitions[name], ("$defs", name), 0)
        # Where nothing refers to anything, all were counted as they were seen.
        if not self.problems and (self.used or self._schemas > MAX_SCHEMAS):
            self._size(schema, path)

    def _schema(self, schema: Any, path: Path, depth: int) -> None:
        self._schemas += 1
        if depth > MAX_NESTING:
            self._problem(path, f"schemas may be nested {MAX_NESTING} levels deep")
        elif not isinstance(schema, dict):
            if not isinstance(schema, bool):
                self._problem(path, f"expected a schema, got {schema!r}")
        else:
            before = len(self.problems)
            for keyword, value in schema.items():
                if keyword in _LOOKED_INTO or keyword not in _VALUES or not _VALUES[keyword][0](value):
                    self._keyword(keyword, value, (*path, keyword))
            if not _NEEDS.keys().isdisjoint(schema):
                for keyword, other in _NEEDS.items():
                    if keyword in schema and other not in schema:
                        self._problem((*path, keyword), f"means nothing without {other}")
            if len(self.problems) == before:
                if not _LOW.isdisjoint(schema):
                    for low, high in _ORDERED:
                        if low in schema and high in schema and schema[low] > schema[high]:
                            self._problem((*path, low), f"is above {high}: nothing can fit")
                for place, child in children(schema):
                    self._schema(child, (*path, *place), depth + 1)

    def _keyword(self, keyword: str, value: Any, path: Path) -> None:
        if keyword in ANNOTATIONS:
            return
        if keyword in _REFUSED:
            self._problem(path, f"is not supported: {_REFUSED[keyword]}")
        elif keyword not in _VALUES:
            self._problem(path, f"unknown keyword{_suggest(keyword, [*_VALUES, *ANNOTATIONS])}")
        elif not _VALUES[keyword][0](value):
            expected = _VALUES[keyword][1]
            self._problem(path, f"expected {expected}, got {value!r}{_suggest(str(value), _CHOICES.get(keyword, ()))}")
        elif keyword == "$ref":
            self._reference(value, path)
        elif keyword == "pattern":
            self._pattern(value, path)
        elif keyword == "patternProperties":
            for pattern in value:
                self._pattern(pattern, (*path, pattern))

    def _reference(self, reference: str, path: Path) -> None:
        name = reference.removeprefix(DEFINITION)
        if name == reference:
            self._problem(path, f'references go to the policy\'s own $defs, "{DEFINITION}NAME", got {reference!r}')
        elif name not in self._definitions or not {"/", "~", "%"}.isdisjoint(name):
            self._problem(path, f"$defs has no {name!r}{_suggest(name, self._definitions)}")
        elif name not in self.used:
            self.used.append(name)

    def _pattern(self, pattern: str, path: Path) -> None:
        try:
            program_size(pattern)
        except PatternError as error:
            self._problem(path, f"RE2 refuses the pattern {pattern!r}: {error}")
            return
        refused = refusal(pattern)
        if refused:
            self._problem(path, refused)

    def _size(self, schema: Any, path: Path) -> None:
        """Refuse what is endless or huge with every reference written out."""
        sizes: dict[str, int | None] = {}  # None while it is being counted: a second visit is a recursion

        def size(part: Any) -> int:
            if not isinstance(part, dict):
                return 1
            total = 1 + sum(size(child) for _, child in children(part))
            if "$ref" in part:
                total += size_of_definition(part["$ref"].removeprefix(DEFINITION))
            return total

        def size_of_definition(name: str) -> int:
            if name not in sizes:
                sizes[name] = None
                sizes[name] = size(self._definitions[name])
            known = sizes[name]
            if known is None:
                self._problem(("$defs", name), "refers to itself; recursive schemas are not supported")
            return known or 0

        total = size_of_definition(str(path[1])) if path[:1] == ("$defs",) else size(schema)
        if total > MAX_SCHEMAS:
            self._problem(
                path, f"has {total} schemas with its references written out, at most {MAX_SCHEMAS} are allowed"
            )

    def _problem(self, path: Path, message: str) -> None:
        self.problems.append(SchemaProblem(path, message))


def _suggest(written: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(written, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
