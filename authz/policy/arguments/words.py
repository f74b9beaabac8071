"""Why arguments do not fit a schema, in words that come from the schema alone.

It asks the validator of each part whether a value fits and never repeats the value, nor a member name that the schema
does not spell: both would speak to the model in the policy's voice (policies/README.md 11). Only called for what
has failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from authz.policy.arguments.schema import Definitions, Schema, target

MAX_SENTENCE = 400  # characters
_MAX_CHOICES = 20

_NOUNS = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}
# What is asked first; keywords that need each other are asked together.
_GROUPS: tuple[tuple[str, ...], ...] = (
    ("type",),
    ("$ref",),
    ("const",),
    ("enum",),
    *(("minimum",), ("maximum",), ("exclusiveMinimum",), ("exclusiveMaximum",), ("multipleOf",)),
    *(("pattern",), ("format",), ("minLength",), ("maxLength",)),
    *(("minItems",), ("maxItems",), ("uniqueItems",), ("items", "prefixItems")),
    ("contains", "minContains", "maxContains"),
    ("required",),
    ("additionalProperties", "properties", "patternProperties"),
    *(("propertyNames",), ("minProperties",), ("maxProperties",), ("dependentRequired",), ("dependentSchemas",)),
    *(("allOf",), ("anyOf",), ("oneOf",), ("not",), ("if", "then", "else")),
)


class Validator(Protocol):
    """What says whether a value fits."""

    def is_valid(self, instance: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class Violation:
    """Why arguments were denied: `path` such as `args.options.force` or `args.tags[]` (`*`: a name that the policy
    does not know) and `accepted`, a sentence of what would be accepted. Both come from the policy alone."""

    path: str
    accepted: str


def violation(steps: Sequence[str], accepted: str) -> Violation:
    """The violation at the member that `steps` lead to from the arguments (`[]`: any item)."""
    path = "args"
    for step in steps:
        if step in ("[]", "*") or step.isidentifier():
            path += step if step == "[]" else f".{step}"
        else:
            path += f"[{json.dumps(step, ensure_ascii=False)}]"
    return Violation(path, clip(accepted))


@dataclass(frozen=True, slots=True)
class Explainer:
    """Finds the part of a schema that a value does not fit; validators of parts are compiled once, when needed."""

    definitions: Definitions
    compile: Callable[[Schema], Validator]
    _parts: dict[tuple[int, int], Validator] = field(default_factory=dict)

    def explain(self, schema: Schema, value: Any) -> Violation:
        """Why `value` does not fit `schema`, which must live as long as this explainer."""
        return self._explain(schema, value, ()) or Violation("args", "arguments that the policy's schema accepts")

    def _explain(self, schema: Any, value: Any, path: tuple[str, ...]) -> Violation | None:
        if not isinstance(schema, dict):
            return None if schema else violation(path, "is not accepted")
        for at, group in enumerate(_GROUPS):
            if any(keyword in schema for keyword in group) and not self._fits(schema, at, value):
                found = self._descend(schema, group, value, path)
                return found or violation(path, self._sentence(schema, group[0]))
        return None

    def _fits(self, schema: Schema, group: int, value: Any) -> bool:
        part = self._parts.get((id(schema), group))
        if part is None:
            part = self.compile({keyword: schema[keyword] for keyword in _GROUPS[group] if keyword in schema})
            self._parts[id(schema), group] = part
        return part.is_valid(value)

    def _is_valid(self, schema: Any, value: Any) -> bool:
        if not isinstance(schema, dict):
            return bool(schema)
        part = self._parts.get((id(schema), -1))
        if part is None:
            part = self._parts[id(schema), -1] = self.compile(schema)
        return part.is_valid(value)

    def _descend(self, schema: Schema, group: Sequence[str], value: Any, path: tuple[str, ...]) -> Violation | None:
        """The violation deeper inside, None where `schema` itself is what to speak of."""
        match group[0]:
            case "$ref":
                return self._explain(target(schema, self.definitions), value, path)
            case "required":
                missing = next(name for name in schema["required"] if name not in value)
                return violation((*path, missing), "is required")
            case "dependentRequired":
                for name, names in schema["dependentRequired"].items():
                    for missing in names if name in value else ():
                        if missing not in value:
                            return violation((*path, missing), f"is required beside {name}")
            case "additionalProperties":
                return self._members(schema, value, path)
            case "items":
                return self._items(schema, value, path)
            case "allOf" | "dependentSchemas":
                for child in schema["allOf"] if group[0] == "allOf" else schema["dependentSchemas"].values():
                    if not self._is_valid(child, value) and (found := self._explain(child, value, path)):
                        return found
            case "if":
                branch = schema.get("then" if self._is_valid(schema["if"], value) else "else", True)
                return self._explain(branch, value, path)
        return None

    def _members(self, schema: Schema, value: Mapping[str, Any], path: tuple[str, ...]) -> Violation | None:
        named = schema.get("properties", {})
        for name, child in named.items():
            if name in value and not self._is_valid(child, value[name]):
                return self._explain(child, value[name], (*path, name))
        others = schema.get("additionalProperties", True)
        if others is not False or "patternProperties" in schema:
            words = [describe(child, self.definitions) for child in schema.get("patternProperties", {}).values()]
            words += [describe(others, self.definitions)] if isinstance(others, dict) else []
            return violation((*path, "*"), f"must be {' or '.join(words)}")
        return violation(path, f"no other members than {', '.join(named)}" if named else "no members")

    def _items(self, schema: Schema, value: list[Any], path: tuple[str, ...]) -> Violation | None:
        first = schema.get("prefixItems", [])
        for child, item in zip(first, value, strict=False):
            if not self._is_valid(child, item):
                return self._explain(child, item, (*path, "[]"))
        child = schema.get("items", True)
        if child is False:
            return violation(path, f"must have at most {len(first)} items")
        failing = value[len(first) :]
        while len(failing) > 1:  # halve it: the validator is quick, a loop over 100,000 items here is not
            half = failing[: len(failing) // 2]
            whole = {"items": child}
            failing = half if not self._part_of(child, whole).is_valid(half) else failing[len(half) :]
        return self._explain(child, failing[0], (*path, "[]"))

    def _part_of(self, child: Schema, whole: Schema) -> Validator:
        part = self._parts.get((id(child), -2))
        if part is None:
            part = self._parts[id(child), -2] = self.compile(whole)
        return part

    def _sentence(self, schema: Schema, keyword: str) -> str:
        match keyword:
            case "pattern":
                return f"must match {schema['pattern']}"
            case "anyOf" | "oneOf":
                words = [describe(child, self.definitions) for child in schema[keyword]]
                return f"must be {'exactly one of these: ' if keyword == 'oneOf' else ''}{' or '.join(words)}"
            case "not":
                return f"must not be {describe(schema['not'], self.definitions)}"
            case "contains":
                return f"must contain {_count(schema, 'Contains')}{describe(schema['contains'], self.definitions)}"
            case "propertyNames":
                return f"names of members must be {describe(schema['propertyNames'], self.definitions)}"
            case "uniqueItems":
                return "must not repeat items"
            case "format":
                return f"must be in the format {schema['format']}"
            case "minLength" | "maxLength":
                return f"must have {_count(schema, 'Length')}characters"
            case "minItems" | "maxItems":
                return f"must have {_count(schema, 'Items')}items"
            case "minProperties" | "maxProperties":
                return f"must have {_count(schema, 'Properties')}members"
            case _:
                return f"must be {describe(schema, self.definitions)}"


def describe(schema: Any, definitions: Definitions) -> str:
    """What fits `schema`, as a noun: `a string that matches ^app:`, `one of SET, DEL`."""
    if not isinstance(schema, dict):
        return "anything" if schema else "nothing"
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        words = [_literal(value) for value in schema["enum"]]
        rest = len(words) - _MAX_CHOICES
        return f"one of {', '.join(words[:_MAX_CHOICES])}{f' and {rest} more' if rest > 0 else ''}"
    if "type" not in schema:
        return _describe_untyped(schema, definitions)
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    words = [_NOUNS[names[0]], *(_NOUNS[name] for name in names[1:])]
    return clip(" or ".join(words) + _qualities(schema))


def _describe_untyped(schema: Schema, definitions: Definitions) -> str:
    if "$ref" in schema:
        return describe(target(schema, definitions), definitions)
    for keyword, joint in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if keyword in schema:
            return clip(joint.join(describe(child, definitions) for child in schema[keyword]))
    if "not" in schema:
        return f"anything but {describe(schema['not'], definitions)}"
    qualities = _qualities(schema).strip()
    return f"a value {qualities}" if qualities else "what the policy's schema accepts"


def _qualities(schema: Schema) -> str:
    """What bounds say, each with a space before it."""
    words = ""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        words += f" between {_literal(low)} and {_literal(high)}"
    elif low is not None or high is not None:
        words += f" of at least {_literal(low)}" if low is not None else f" of at most {_literal(high)}"
    words += f" above {_literal(schema['exclusiveMinimum'])}" if "exclusiveMinimum" in schema else ""
    words += f" below {_literal(schema['exclusiveMaximum'])}" if "exclusiveMaximum" in schema else ""
    words += f" that is a multiple of {_literal(schema['multipleOf'])}" if "multipleOf" in schema else ""
    words += f" that matches {schema['pattern']}" if "pattern" in schema else ""
    words += f" in the format {schema['format']}" if "format" in schema else ""
    for keyword, noun in (("Length", "characters"), ("Items", "items"), ("Properties", "members")):
        count = _count(schema, keyword)
        words += f" of {count}{noun}" if count else ""
    words += f" with {', '.join(schema['required'])}" if schema.get("required") else ""
    return words


def _count(schema: Schema, of: str) -> str:
    """`at least 1 `, `at most 3 `, `1 to 3 ` or ""."""
    low, high = schema.get(f"min{of}"), schema.get(f"max{of}")
    if low is not None and high is not None:
        return f"{low} to {high} " if low != high else f"{low} "
    return f"at least {low} " if low is not None else f"at most {high} " if high is not None else ""


def _literal(value: Any) -> str:
    if isinstance(value, str) and value and value.isprintable() and not set(value) & set(' ,"'):
        return value
    return json.dumps(value, ensure_ascii=False)


def clip(text: str) -> str:
    """At most MAX_SENTENCE characters of `text`."""
    return text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 1]}…"
