"""A well-formed JSON Schema -> bounds that bound nothing (problems) and bounds that are probably too loose (warnings).

JSON Schema lets a value of another type pass every bound: `minimum: 1` takes "0". The caller chooses the types, so a
bound without a type beside it is refused here (policies/README.md 3).
"""

from __future__ import annotations

import functools
from typing import Any

from authz.policy.arguments.form import ANNOTATIONS
from authz.policy.arguments.schema import (
    BOUNDS,
    Definitions,
    Path,
    Schema,
    SchemaProblem,
    children,
    declared,
    meet,
    target,
)

_OBJECT = frozenset(["object"])
_SAME_VALUE = frozenset(("not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"))
_BOUNDING = BOUNDS.keys() | {"not", "if"}


class Bounds:
    """What a schema does not bound though it seems to: `problems` and `warnings`."""

    def __init__(self, definitions: Definitions) -> None:
        self.problems: list[SchemaProblem] = []
        self.warnings: list[SchemaProblem] = []
        self._definitions = definitions

    def inspect_arguments(self, schema: Schema) -> None:
        """Look at the schema of arguments, which are an object whether it says so or not."""
        if "type" in schema and schema["type"] not in ("object", ["object"]):
            self.problems.append(SchemaProblem(("type",), f"arguments are always an object, got {schema['type']!r}"))
            return
        self._inspect(schema, (), _OBJECT)

    def inspect_definition(self, name: str) -> None:
        """Look at one of `$defs`, which has to say its types itself."""
        self._inspect(self._definitions[name], ("$defs", name), None)

    def _inspect(self, schema: Any, path: Path, beside: frozenset[str] | None, *, negated: bool = False) -> None:
        """`beside` are the types that other schemas for the same value have declared; None: none has."""
        if not isinstance(schema, dict):
            return
        own = declared(schema, self._definitions)
        types = own if beside is None else meet([beside, own])
        if types == frozenset() and not negated:
            self.problems.append(SchemaProblem(path, "nothing can fit: its types exclude each other"))
            return
        for keyword in schema:
            if keyword in _BOUNDING:
                self._check_bound(keyword, types, path)
        if not negated:
            self._check_types(schema, types, path)
            self._check_looseness(schema, path)
        for place, child in children(schema):
            inherited = types if place[0] in _SAME_VALUE else None
            if place[0] == "propertyNames":
                inherited = frozenset(["string"])
            self._inspect(child, (*path, *place), inherited, negated=negated or place[0] in ("not", "if"))

    def _check_bound(self, keyword: str, types: frozenset[str] | None, path: Path) -> None:
        place = (*path, keyword)
        bounded = BOUNDS.get(keyword)
        if types is None:
            if bounded is not None:
                message = f"bounds nothing without a type beside it; add type: {bounded}"
                self.problems.append(SchemaProblem(place, message))
            elif keyword in ("not", "if"):
                message = "needs type, const or enum beside it: values of other types would pass"
                self.problems.append(SchemaProblem(place, message))
        elif bounded is not None and types and not _covers(bounded, types):
            message = f"bounds only {bounded}s, but the type here is {' or '.join(sorted(types))}"
            self.problems.append(SchemaProblem(place, message))

    def _check_types(self, schema: Schema, types: frozenset[str] | None, path: Path) -> None:
        """Of several types each should be bounded, if any is; null and booleans have nothing to bound."""
        if types is None or len(types) < 2 or "const" in schema or "enum" in schema:
            return  # a bound that does not bound the only type is a problem already
        bounded = {BOUNDS[keyword] for keyword in schema if keyword in BOUNDS}
        if not bounded:
            return
        free = sorted(one for one in types - {"null", "boolean"} if not any(_covers(kind, {one}) for kind in bounded))
        if free:
            self._warn(path, f"a value of type {' or '.join(free)} passes without any bound")

    def _check_looseness(self, schema: Schema, path: Path) -> None:
        if "pattern" in schema and not is_anchored(schema["pattern"]):
            self._warn((*path, "pattern"), f"{schema['pattern']!r} is not anchored as ^…$: it may match a part only")
        properties = schema.get("properties")
        if not properties:
            return
        beside = [one for one in (schema, *schema.get("allOf", ())) if isinstance(one, dict)]
        required = {name for one in beside for name in one.get("required", ())}
        for name, child in properties.items():
            if name not in required and self._constrains(child):
                self._warn((*path, "properties", name), "is constrained but not required: a call without it passes")

    def _constrains(self, schema: Any) -> bool:
        """Whether a schema says more of a value than its type and the types of its members."""
        if not isinstance(schema, dict):
            return False
        if schema.keys() - ANNOTATIONS - {"type", "$ref", "properties"}:
            return True
        return "$ref" in schema and self._constrains(target(schema, self._definitions))

    def _warn(self, path: Path, message: str) -> None:
        self.warnings.append(SchemaProblem(path, message))


def _covers(bounded: str, types: frozenset[str] | set[str]) -> bool:
    return bounded in types or (bounded == "number" and "integer" in types)


@functools.lru_cache(4096)
def is_anchored(pattern: str) -> bool:
    """Whether a match must be the whole text: `^…$` (or `\\A`, `\\z`), no alternative outside a group, no `(?m)`."""
    if not pattern.startswith(("^", "\\A")):
        return False
    depth, in_class, at, ends = 0, False, 0, False
    while at < len(pattern):
        char = pattern[at]
        ends = not in_class and (char == "$" or pattern.startswith("\\z", at))
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
            at += 2 if pattern.startswith("^]", at + 1) else 1 if pattern.startswith("]", at + 1) else 0
        elif char == "(":
            depth += 1
            flags = pattern[at + 2 :].partition(")")[0].partition(":")[0] if pattern.startswith("(?", at) else ""
            if "m" in flags and not flags.startswith(("P<", "<")):
                return False
        elif char == ")":
            depth -= 1
        elif char == "|" and depth == 0:
            return False
        at += 1
    return ends
