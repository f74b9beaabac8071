"""Input schemas as servers write them -> what strict_arguments lets through."""

# ruff: noqa: E501 - messages are tested whole and stand on one line
from __future__ import annotations

from typing import Any

import pytest

from authz.policy.catalog.strict import StrictSchema, named_arguments
from authz.policy.catalog.written import WrittenError, plain


def fault(schema: Any, arguments: Any) -> str:
    strict = StrictSchema(schema)
    assert strict.problem == ""
    violation = strict.check(arguments)
    return "" if violation is None else f"{violation.path}: {violation.accepted}"


UNKNOWN = "no member that the tool's input schema does not name"


@pytest.mark.parametrize(
    ("schema", "arguments", "expected"),
    [
        ({}, {}, ""),
        ({}, {"a": 1}, f"args.*: {UNKNOWN}"),
        ({"additionalProperties": True}, {"a": 1}, f"args.*: {UNKNOWN}"),
        ({"additionalProperties": {}}, {"a": 1}, f"args.*: {UNKNOWN}"),
        ({"additionalProperties": {"type": "string"}}, {"a": "x"}, ""),
        ({"additionalProperties": {"type": "string"}}, {"a": 1}, "args: args.*: must be a string"),
        ({"patternProperties": {"^x-": {"type": "string"}}}, {"x-a": "1"}, ""),
        ({"patternProperties": {"^x-": {"type": "string"}}}, {"y-a": "1"}, f"args.*: {UNKNOWN}"),
        ({"required": ["a"]}, {"a": 1}, ""),
        # composition: a member is known if any branch names it
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, {"a": 1, "b": 2}, ""),
        ({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, {"a": 1, "c": 2}, f"args.*: {UNKNOWN}"),
        ({"if": {"properties": {"a": {"const": 1}}}, "then": {"properties": {"b": {}}}}, {"a": 1, "b": 2}, ""),
        ({"dependentSchemas": {"a": {"properties": {"b": {}}}}, "properties": {"a": {}}}, {"a": 1, "b": 1}, ""),
        # inside of objects and lists
        ({"properties": {"o": {"properties": {"a": {}}}}}, {"o": {"b": 1}}, f"args.o.*: {UNKNOWN}"),
        ({"properties": {"l": {"items": {"properties": {"a": {}}}}}}, {"l": [{"a": 1}, {"b": 1}]}, f"args.l[].*: {UNKNOWN}"),
        ({"properties": {"l": {"prefixItems": [{"properties": {"a": {}}}]}}}, {"l": [{"b": 1}]}, f"args.l[].*: {UNKNOWN}"),
        ({"properties": {"o": {"type": "object"}}}, {"o": {"b": {"c": 1}}}, ""),
        ({"properties": {"o": {"additionalProperties": {"properties": {"a": {}}}}}}, {"o": {"x": {"b": 1}}}, f"args.o.*.*: {UNKNOWN}"),
        # references, old dialects
        ({"$defs": {"o": {"properties": {"a": {}}}}, "properties": {"o": {"$ref": "#/$defs/o"}}}, {"o": {"b": 1}}, f"args.o.*: {UNKNOWN}"),
        ({"definitions": {"a/b": {"type": "string"}}, "properties": {"o": {"$ref": "#/definitions/a~1b"}}}, {"o": 1}, "args.o: must be a string"),
        ({"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "b": {"$ref": "#/properties/a/anyOf/1"}}}, {"b": "x"}, "args.b: must be an integer"),
        ({"properties": {"l": {"items": [{"type": "string"}, {"type": "integer"}], "additionalItems": False}}}, {"l": ["a", 1, 2]}, "args.l: must be a list of"),
        ({"properties": {"a": {}, "b": {}}, "dependencies": {"a": ["b"]}}, {"a": 1}, "args.b: is required beside a"),
        ({"properties": {"a": {}, "b": {}}, "dependencies": {"a": {"required": ["b"]}}}, {"a": 1}, "args.b: is required"),
        ({"properties": {"n": {"type": "number", "minimum": 1, "exclusiveMinimum": True}}}, {"n": 1}, "args.n: must be a number above 1"),
        ({"properties": {"n": {"type": "number", "minimum": 1, "exclusiveMinimum": False}}}, {"n": 1}, ""),
        # what no other schema has seen
        ({"properties": {"o": {"type": "object", "unevaluatedProperties": False}}}, {"o": {"a": 1}}, "args: must be an object"),
        ({"properties": {"o": {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}}}, {"o": {"a": 1}}, ""),
        ({"properties": {"l": {"prefixItems": [{}], "unevaluatedItems": False}}}, {"l": [1, 2]}, "args: must be an object"),
        ({"properties": {"l": {"prefixItems": [{}], "unevaluatedItems": True}}}, {"l": [1, 2]}, ""),
        # what only describes binds nobody
        ({"properties": {"d": {"type": "string", "format": "no-such-format", "x-vendor": 1}}}, {"d": "x"}, ""),
        ({"$id": "https://example.com/s", "$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {}}}, {"a": 1}, ""),
        # twins
        ({"properties": {"path": {"type": "string"}}}, {"path": "a", "Path": "b"}, "args.path: only this exact spelling of the name"),
    ],
)  # fmt: skip
def test_what_the_schema_does_not_name_is_refused(schema: Any, arguments: Any, expected: str) -> None:
    found = fault(schema, arguments)
    if expected.startswith(("args: args.*", "args.l: must be a list of")):
        assert found  # whose words depend on the branch that refuses
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"$ref": "https://example.com/schema"}, "it refers to 'https://example.com/schema', which is not in it"),
        ({"$ref": "#/$defs/gone"}, "it refers to '#/$defs/gone', which is not in it"),
        ({"$ref": 1}, "it refers to 1, which is not in it"),
        ({"properties": {"a": {"$ref": "#"}}}, "it refers to itself at '#'; recursive schemas are not supported"),
        (
            {"$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/a"}}}}, "$ref": "#/$defs/a"},
            "it refers to itself at '#/$defs/a'; recursive schemas are not supported",
        ),
        ({"properties": []}, "its properties is no mapping"),
        ({"anyOf": {}}, "its anyOf is no list"),
        ({"properties": {"a": 1}}, "a schema in it is neither a mapping nor true or false"),
        ({"type": "any"}, "its type 'any' is none of JSON Schema"),
        ({"type": []}, "its type [] is none of JSON Schema"),
        ({"type": [{}]}, "its type [{}] is none of JSON Schema"),
        ({"required": 5}, '5 is not of type "array"'),
        ({"properties": {"a": {"enum": 5}}}, '5 is not of type "array"'),
        ({"dependentRequired": 0, "dependencies": {"a": ["b"]}}, "its dependentRequired is no mapping"),
        (
            {"unevaluatedProperties": {"type": "string"}},
            "its unevaluatedProperties is neither true nor false, which is not supported",
        ),
        ({"properties": {"a": {"$dynamicRef": "#node"}}}, "it has $dynamicRef, which is not supported"),
        ({"properties": {"a": {"minimum": "1"}}}, '"1" is not of type "number"'),
        (
            {"properties": {"a": {"pattern": "(?=x)"}}},
            "RE2 refuses its pattern '(?=x)': invalid perl operator: (?=",
        ),
        ({"patternProperties": {"(?=x)": {}}}, "RE2 refuses its pattern '(?=x)': invalid perl operator: (?="),
    ],
)
def test_a_schema_that_cannot_be_checked_denies_every_call(schema: Any, problem: str) -> None:
    strict = StrictSchema(schema)
    violation = strict.check({})
    assert strict.problem == problem
    assert violation is not None
    assert violation.accepted == "nothing: the catalogue's input schema of this tool cannot be checked"


def test_a_pattern_that_only_the_validator_refuses_cannot_be_checked_either() -> None:
    strict = StrictSchema({"properties": {"a": {"type": "string", "pattern": r"\C"}}})
    assert strict.problem == 'the validator\'s linear-time engine refuses the pattern "\\\\C"'
    assert strict.check({"a": "x"}) is not None


def test_a_branch_that_is_no_mapping_names_nothing() -> None:
    assert fault({"properties": {"a": True}, "anyOf": [True]}, {"a": 1}) == ""


def test_references_that_grow_without_end_are_refused() -> None:
    defs: dict[str, Any] = {"d0": {"type": "string"}}
    for level in range(1, 12):
        several = {f"p{at}": {"$ref": f"#/$defs/d{level - 1}"} for at in range(4)}
        defs[f"d{level}"] = {"properties": several}
    with pytest.raises(WrittenError, match="more than 2000 schemas with its references written out"):
        plain({"$defs": defs, "$ref": "#/$defs/d11"})


def test_deep_schemas_are_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(40):
        schema = {"properties": {"a": schema}}
    with pytest.raises(WrittenError, match="its schemas are nested deeper than 32 levels"):
        plain(schema)


def test_a_schema_is_a_mapping() -> None:
    with pytest.raises(WrittenError, match="expected a JSON Schema, which is a mapping"):
        plain(True)  # type: ignore[arg-type]


def test_what_is_no_json_does_not_fit() -> None:
    strict = StrictSchema({"properties": {"a": {"additionalProperties": {"type": "integer"}}}})
    violation = strict.check({"a": {"\ud800": 1}})
    assert violation is not None
    assert violation.accepted == "only JSON that can be read without doubt"


def test_a_pattern_of_the_server_is_matched_within_bounds() -> None:
    strict = StrictSchema({"properties": {"a": {"type": "string", "pattern": "a[ab]{60}c"}}})
    violation = strict.check({"a": "ab" * 500_000})
    assert violation is not None
    assert violation.accepted.startswith("text that is matched with a pattern has at most")


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ({"properties": {"a": {}, "b": {}}}, {"a", "b"}),
        ({"properties": {}}, set()),
        ({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}]}, {"a", "b"}),
        ({}, None),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, None),
        ({"properties": {"a": {"$ref": "#/gone"}}}, None),
    ],
)
def test_the_arguments_that_a_schema_knows(schema: Any, names: set[str] | None) -> None:
    assert named_arguments(schema) == names
