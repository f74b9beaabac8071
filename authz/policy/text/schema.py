"""`Document` -> every place where it is not shaped as its schema (schema.json and its neighbours) says, in sentences.

The validator judges; only a document that it refuses is walked to say why. What the values mean is not known here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import islice
from typing import Any, TypeAlias

import jsonschema_rs
import re2  # type: ignore[import-untyped]  # ships no types

from authz.errors import Problem
from authz.policy.text.document import Document, Path
from authz.policy.text.reader import MAX_PROBLEMS
from authz.policy.text.scalar import shown
from authz.policy.text.suggestion import did_you_mean

Node: TypeAlias = Mapping[str, Any]

POLICY = "schema.json"
SINCE, COMPILED, EXPECTED = "x-since", "x-compiled", "x-expected"

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_NAMES = {"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false", "number": "a number"}


def check(document: Document, file: str = POLICY) -> list[Problem]:
    """All that is wrong with the shape of `document`, in the order of the file; empty where nothing is.

    `file` is the schema, a file beside schema.json that uses the same few keywords. Says nothing of what could not be
    read, which the document has a problem for.
    """
    judge = _judge(file)
    if judge.is_valid(document.value):
        return []
    found = _Walk(document).node(_schema(file), (), document.value)
    problems = sorted(islice(found, MAX_PROBLEMS))
    if next(found, None) is not None:
        problems.append(Problem(document.file, 0, 0, "", f"and more than these {MAX_PROBLEMS} problems"))
    if not problems and not document.problems:  # the walk knows less than the validator: better its words than none
        errors = islice(judge.iter_errors(document.value), MAX_PROBLEMS)
        problems = [document.problem(tuple(error.instance_path), error.message, at_value=True) for error in errors]
    return problems


def _text(file: str) -> bytes:
    return resources.files("authz.policy").joinpath(file).read_bytes()


@functools.cache
def _schema(file: str) -> Node:
    """The schema; its references say which file they are in."""
    schema: Node = json.loads(_text(file), object_hook=functools.partial(_referring, file))
    return schema


def _referring(file: str, node: dict[str, Any]) -> dict[str, Any]:
    return {**node, "$ref": f"{file}{node['$ref']}"} if isinstance(node.get("$ref"), str) else node


@functools.cache
def _judge(file: str = POLICY) -> jsonschema_rs.Draft202012Validator:
    """The schema without what this version does not have, and with no opinion on what is checked when compiling."""
    return jsonschema_rs.Draft202012Validator(
        _enforced(json.loads(_text(file))), offline=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def _enforced(node: Any) -> Any:
    if isinstance(node, list):
        return [_enforced(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    if SINCE in node:
        return False
    if COMPILED in node:
        return {"type": node["type"]}
    return {key: _enforced(value) for key, value in node.items()}


class _Walk:
    """Explains one document. `node` methods yield nothing for what fits."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def node(self, schema: Node, path: Path, value: Any) -> Iterator[Problem]:
        schema = _resolved(schema)
        if value is None:
            return
        if SINCE in schema:
            name = value if "const" in schema else path[-1]
            yield self.document.problem(path, f"{_shown(name)} is not implemented in this version")
        elif "anyOf" in schema:
            yield from self._any_of(schema, path, value)
        elif not _fits_itself(schema, value):
            yield self._unexpected(path, value, _expected(schema), _options(schema))
        elif COMPILED in schema:
            return
        elif isinstance(value, dict):
            yield from self._mapping(schema, path, value)
        elif isinstance(value, list):
            yield from self._list(schema, path, value)

    def _any_of(self, schema: Node, path: Path, value: Any) -> Iterator[Problem]:
        """The alternatives differ in type, or are constants, or are mappings that differ in the key they need."""
        alternatives = _alternatives(schema)
        fitting = [one for one in alternatives if _fits_itself(one, value)]
        if any(COMPILED in one for one in fitting):
            return
        if fitting and isinstance(value, dict):
            whole = (one for one in fitting if value.keys() >= {*one["required"]})
            chosen = next(whole, None) or max(fitting, key=lambda one: _likeness(value, one))
            yield from self._mapping(chosen, path, value, fitting)
        elif fitting:
            yield from self.node(fitting[0], path, value)
        else:
            yield self._unexpected(path, value, _expected(schema), _options(schema))

    def _mapping(self, schema: Node, path: Path, value: Any, siblings: Sequence[Node] = ()) -> Iterator[Problem]:
        known: Node = schema.get("properties", {})
        others: Any = schema.get("additionalProperties", False)
        names: Node = schema.get("propertyNames", {})
        for key in schema.get("required", ()):
            if key not in value:
                yield self.document.problem(path, f"missing key {key!r}, expected {_expected(_resolved(known[key]))}")
        for key, member in value.items():
            place = (*path, key)
            if not _fits_itself(names, key):
                yield self.document.problem(place, f"expected {names[EXPECTED]}, got {shown(key)}")
            elif key in known or others is not False:
                yield from self.node(known.get(key, others), place, member)
            else:
                yield self.document.problem(place, _unknown_key(key, schema, siblings))

    def _list(self, schema: Node, path: Path, value: Sequence[Any]) -> Iterator[Problem]:
        seen: set[str] = set()
        for at, entry in enumerate(value):
            if schema.get("uniqueItems") and isinstance(entry, str) and entry in seen:
                yield self.document.problem((*path, at), f"{_shown(entry)} is listed twice", at_value=True)
            else:
                yield from self.node(schema["items"], (*path, at), entry)
            if isinstance(entry, str):
                seen.add(entry)

    def _unexpected(self, path: Path, value: Any, expected: str, options: Sequence[str]) -> Problem:
        hint = did_you_mean(value, options) if isinstance(value, str) else ""
        return self.document.problem(path, f"expected {expected}, got {_shown(value)}{hint}", at_value=True)


def _likeness(value: Mapping[str, Any], schema: Node) -> int:
    """How many keys of `value` belong to `schema`, those with a slip counted too."""
    known = [*schema["properties"]]
    return sum(key in known or bool(did_you_mean(key, known)) for key in islice(value, 2 * len(known)))


def _unknown_key(key: str, schema: Node, siblings: Sequence[Node]) -> str:
    known = [name for name, node in schema["properties"].items() if SINCE not in _resolved(node)]
    if any(key in sibling["properties"] for sibling in siblings):
        beside = schema["required"][0]
        return f"not allowed beside {beside!r}, where only {', '.join(one for one in known if one != beside)} are"
    return f"unknown key {shown(key)}{did_you_mean(key, known) or ', expected one of ' + ', '.join(known)}"


def _resolved(schema: Node) -> Node:
    """`schema` with its reference written out; what stands beside the reference wins."""
    while "$ref" in schema:
        file, _, pointer = schema["$ref"].partition("#")
        target = _schema(file or POLICY)["$defs"][pointer.rpartition("/")[2]]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _alternatives(schema: Node) -> list[Node]:
    """The alternatives of `anyOf`, with those of nested ones."""
    found: list[Node] = []
    for one in map(_resolved, schema["anyOf"]):
        found += _alternatives(one) if "anyOf" in one else [one]
    return found


def _options(schema: Node) -> list[str]:
    """The texts that `schema` spells and this version has."""
    if "anyOf" in schema:
        return [option for one in _alternatives(schema) for option in _options(one)]
    return [one for one in [schema.get("const")] if isinstance(one, str) and SINCE not in schema]


def _expected(schema: Node) -> str:
    """What `schema` takes, in words."""
    if EXPECTED in schema:
        return str(schema[EXPECTED])
    if "anyOf" in schema:
        options = _options(schema)
        return f"one of {', '.join(options)}" if len(options) > 1 else options[0]
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] == "integer":
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    if schema["type"] == "array" and schema.get("minItems"):
        return "a list of at least one entry"
    return _NAMES[schema["type"]] + (" that is not empty" if schema.get("minLength") else "")


def _fits_itself(schema: Node, value: Any) -> bool:
    """Whether `value` fits without a look at its members or entries."""
    if "const" in schema:
        return bool(value == schema["const"] and isinstance(value, bool) == isinstance(schema["const"], bool))
    type_ = schema.get("type")
    if type_ and (not isinstance(value, _TYPES[type_]) or (isinstance(value, bool) and type_ != "boolean")):
        return bool(type_ == "integer" and isinstance(value, float) and value.is_integer() and _in_range(schema, value))
    if isinstance(value, str):
        short = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        # RE2 reads these patterns as the validator does, `re` lets `$` match before a line feed
        return short and ("pattern" not in schema or re2.search(schema["pattern"], value) is not None)
    if isinstance(value, list):
        return bool(len(value) >= schema.get("minItems", 0))
    return not isinstance(value, int | float) or _in_range(schema, value)


def _in_range(schema: Node, value: float) -> bool:
    above = "exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"]
    return bool(above and schema.get("minimum", value) <= value <= schema.get("maximum", value))


def _shown(value: Any) -> str:
    """What a person wrote, as YAML says it."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return f"{'an empty' if not value else 'a'} {'mapping' if isinstance(value, dict) else 'list'}"
    return str(value)
