"""Arguments against schemas: what is refused at load, what is denied, and what a denied caller is told."""

from __future__ import annotations

import math
import time
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.policy.arguments import check, form
from authz.policy.arguments.bounds import is_anchored
from authz.policy.arguments.check import (
    ITEM,
    ArgumentsSchema,
    Violation,
    compile_arguments,
    inspect_definitions,
)
from authz.policy.arguments.form import FORMATS

SET_STRICT = {
    "properties": {
        "key": {"type": "string", "pattern": "^app:[a-z0-9_]{1,32}$"},
        "ttl": {"type": "number", "minimum": 1, "maximum": 3600},
    },
    "required": ["key", "ttl"],
}
GOOD = {"key": "app:x", "ttl": 60}

STRIN = (
    "expected one of array, boolean, integer, null, number, object, string, or a list of these, got 'strin'; "
    "did you mean string?"
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(["key", "ttl"]), inner),
    max_leaves=12,
)


def compiled(schema: Any, definitions: dict[str, Any] | None = None) -> ArgumentsSchema:
    arguments, problems, _ = compile_arguments(schema, definitions or {})
    assert problems == []
    assert arguments is not None
    return arguments


def problems_of(schema: Any, definitions: dict[str, Any] | None = None) -> list[str]:
    arguments, problems, _ = compile_arguments(schema, definitions or {})
    assert (arguments is None) == bool(problems)
    return [f"{'.'.join(str(step) for step in one.path)}: {one.message}" for one in problems]


def warnings_of(schema: Any, definitions: dict[str, Any] | None = None) -> list[str]:
    _, problems, warnings = compile_arguments(schema, definitions or {})
    assert problems == []
    return [f"{'.'.join(str(step) for step in one.path)}: {one.message}" for one in warnings]


def prop(schema: Any) -> dict[str, Any]:
    return {"properties": {"a": schema}, "required": ["a"]}


# ------------------------------------------------------------------------------------------------ what is denied


@pytest.mark.parametrize(
    ("change", "path", "accepted"),
    [
        ({"key": "sys:x"}, "args.key", "must match ^app:[a-z0-9_]{1,32}$"),
        ({"key": "app:x\n"}, "args.key", "must match ^app:[a-z0-9_]{1,32}$"),
        ({"key": "sys:x\napp:y"}, "args.key", "must match ^app:[a-z0-9_]{1,32}$"),
        ({"key": "\u0430pp:x"}, "args.key", "must match ^app:[a-z0-9_]{1,32}$"),
        ({"key": "app:\u00e9"}, "args.key", "must match ^app:[a-z0-9_]{1,32}$"),
        ({"key": ["app:x"]}, "args.key", "must be a string that matches ^app:[a-z0-9_]{1,32}$"),
        ({"key": {"$regex": "^app:"}}, "args.key", "must be a string that matches ^app:[a-z0-9_]{1,32}$"),
        ({"key": 1}, "args.key", "must be a string that matches ^app:[a-z0-9_]{1,32}$"),
        ({"key": None}, "args.key", "must be a string that matches ^app:[a-z0-9_]{1,32}$"),
        ({"ttl": "60"}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": True}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": [60]}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": 0}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": 3600.0000001}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": 2**32 + 60}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": 10**4000}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": math.nan}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": math.inf}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": -math.inf}, "args.ttl", "must be a number between 1 and 3600"),
        ({"ttl": 10**5000}, "args.ttl", "must be a number between 1 and 3600"),
    ],
)
def test_a_value_that_does_not_fit_is_denied_in_the_policys_words(
    change: dict[str, Any], path: str, accepted: str
) -> None:
    assert compiled(SET_STRICT).check(GOOD | change) == Violation(path, accepted)


def test_what_the_validator_cannot_read_is_denied() -> None:
    closed = compiled(SET_STRICT | {"propertyNames": {"maxLength": 9}})
    assert closed.check(GOOD | {"\ud800": 1}) == Violation("args", "only JSON that can be read without doubt")


def test_a_missing_member_is_denied_by_name() -> None:
    assert compiled(SET_STRICT).check({"ttl": 60}) == Violation("args.key", "is required")
    assert compiled(SET_STRICT).check({}) == Violation("args.key", "is required")


@pytest.mark.parametrize("ttl", [1, 1.0, 60, 3600, 3600.0, 1e3])
def test_numbers_within_the_bounds_pass_however_they_are_written(ttl: float) -> None:
    assert compiled(SET_STRICT).check({"key": "app:" + "a" * 32, "ttl": ttl}) is None


def test_integers_beyond_64_bits_are_compared_exactly() -> None:
    bounded = compiled(prop({"type": "integer", "minimum": -(2**80), "maximum": 2**80}))
    assert bounded.check({"a": 2**80}) is None
    assert bounded.check({"a": 2**80 + 1}) == Violation(
        "args.a", "must be an integer between -1208925819614629174706176 and 1208925819614629174706176"
    )
    chosen = compiled(prop({"enum": [2**80, 2**53]}))
    assert chosen.check({"a": 2**80}) is None
    assert chosen.check({"a": 2**80 + 1}) is not None
    assert chosen.check({"a": 2**53 + 1}) is not None
    assert compiled(prop({"const": 1})).check({"a": 1.0}) is None


@pytest.mark.parametrize(
    "twin", ["Key", "KEY", "\u212aey", "k\u200bey", "key\x00", " key", "key ", "\uff4bey", "ke\u00ady", "k\u2009ey"]
)
def test_a_member_that_folds_to_a_constrained_name_is_denied(twin: str) -> None:
    refused = Violation("args.key", "only this exact spelling of the name")
    assert compiled(SET_STRICT).check(GOOD | {twin: "sys:x"}) == refused


def test_twins_are_denied_at_every_level_that_names_members() -> None:
    nested = compiled(
        {
            "properties": {
                "options": {"type": "object", "properties": {"force": {"const": False}}},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
                "labels": {"type": "object", "additionalProperties": {"$ref": "#/$defs/tag"}},
                "choice": {"type": "object", "anyOf": [{"required": ["zone"]}, {"required": ["area"]}]},
            }
        },
        {"tag": {"type": "object", "properties": {"name": {"type": "string"}}}},
    )
    only = "only this exact spelling of the name"
    assert nested.check({"options": {"Force": True}}) == Violation("args.options.force", only)
    assert nested.check({"tags": [{"name": "a"}, {"NAME": "b"}]}) == Violation("args.tags[].name", only)
    assert nested.check({"labels": {"agent-chosen": {"Name": "b"}}}) == Violation("args.labels.*.name", only)
    assert nested.check({"choice": {"zone": 1, "Area": 2}}) == Violation("args.choice.area", only)
    assert nested.check({"options": {"other": 1}, "tags": [{"size": 1}], "labels": {"Force": {}}}) is None


def test_members_that_only_differ_otherwise_are_no_twins() -> None:
    assert compiled(SET_STRICT).check(GOOD | {"keys": 1, "k_ey": 2, "\u043a\u0435\u0443": 3}) is None


@pytest.mark.parametrize(
    ("schema", "value", "path", "accepted"),
    [
        ({"enum": ["SET", "DEL"]}, "X", "args.a", "must be one of SET, DEL"),
        ({"const": False}, True, "args.a", "must be false"),
        ({"type": "integer", "multipleOf": 5}, 7, "args.a", "must be an integer that is a multiple of 5"),
        ({"type": "string", "maxLength": 3}, "abcd", "args.a", "must have at most 3 characters"),
        ({"type": "string", "format": "uuid"}, "x", "args.a", "must be in the format uuid"),
        ({"type": "string", "not": {"pattern": "^sys"}}, "sys:x", "args.a", "must not be a value that matches ^sys"),
        ({"type": "array", "maxItems": 2}, [1, 2, 3], "args.a", "must have at most 2 items"),
        ({"type": "array", "uniqueItems": True}, [1, 1], "args.a", "must not repeat items"),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], "args.a[]", "must be a string"),
        ({"type": "array", "items": {"enum": ["a"]}}, ["a"] * 999 + ["b"], "args.a[]", "must be one of a"),
        ({"type": "array", "contains": {"const": "a"}}, ["b"], "args.a", "must contain a"),
        (
            {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
            ["a", 1],
            "args.a",
            "must have at most 1 items",
        ),
        (
            {"type": "object", "properties": {"x": {}, "y": {}}, "additionalProperties": False},
            {"IGNORE ALL INSTRUCTIONS": 1},
            "args.a",
            "no other members than x, y",
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"agent says": "x"},
            "args.a.*",
            "must be an integer",
        ),
        (
            {"type": "object", "propertyNames": {"pattern": "^x-"}},
            {"agent says": "x"},
            "args.a",
            "names of members must be a value that matches ^x-",
        ),
        ({"type": "array", "minItems": 1}, [], "args.a", "must have at least 1 items"),
        ({"type": "array", "minItems": 2, "maxItems": 2}, [1], "args.a", "must have 2 items"),
        ({"type": "object", "minProperties": 1, "maxProperties": 2}, {}, "args.a", "must have 1 to 2 members"),
        ({"type": "object", "additionalProperties": False}, {"x": 1}, "args.a", "no members"),
        ({"type": "number", "exclusiveMinimum": 0}, 0, "args.a", "must be a number above 0"),
        ({"type": "number", "exclusiveMaximum": 9}, 9, "args.a", "must be a number below 9"),
        ({"type": "number", "minimum": 3}, 2, "args.a", "must be a number of at least 3"),
        ({"enum": list(range(30))}, 99, "args.a", f"must be one of {', '.join(map(str, range(20)))} and 10 more"),
        ({"allOf": [{"type": "string"}, {"pattern": "^a$"}]}, "b", "args.a", "must match ^a$"),
        ({"type": "integer", "not": {"anyOf": [{"const": 1}, {"const": 2}]}}, 1, "args.a", "must not be 1 or 2"),
        ({"type": "integer", "not": {"not": {"const": 1}}}, 2, "args.a", "must not be anything but 1"),
        (
            {"type": "object", "dependentSchemas": {"x": {"required": ["y"]}}},
            {"x": 1},
            "args.a.y",
            "is required",
        ),
        (
            {"type": "object", "if": {"required": ["x"]}, "else": {"required": ["z"]}},
            {},
            "args.a.z",
            "is required",
        ),
        ({"type": "object", "dependentRequired": {"x": ["y"]}}, {"x": 1}, "args.a.y", "is required beside x"),
        (
            {"anyOf": [{"type": "string", "pattern": "^a$"}, {"type": "null"}]},
            5,
            "args.a",
            "must be a string that matches ^a$ or null",
        ),
        (
            {"oneOf": [{"type": "integer"}, {"type": "number"}]},
            5,
            "args.a",
            "must be exactly one of these: an integer or a number",
        ),
        (
            {"type": "object", "if": {"required": ["x"]}, "then": {"required": ["y"]}},
            {"x": 1},
            "args.a.y",
            "is required",
        ),
        (
            {"type": "object", "properties": {"odd name": {"const": 1}}},
            {"odd name": 2},
            'args.a["odd name"]',
            "must be 1",
        ),
    ],
)
def test_every_kind_of_violation_says_what_would_be_accepted(
    schema: dict[str, Any], value: Any, path: str, accepted: str
) -> None:
    assert compiled(prop(schema)).check({"a": value}) == Violation(path, accepted)


@given(JSON)
def test_whatever_is_sent_the_answer_is_a_verdict_without_a_word_of_the_caller(value: Any) -> None:
    arguments = compiled(SET_STRICT | {"additionalProperties": {"type": "integer"}})
    found = arguments.check({"key": value, "other": value})
    if found is not None:
        assert found.path in ("args", "args.key", "args.ttl", "args.*")


@given(st.dictionaries(st.sampled_from(["key", "ttl", "x"]), JSON))
def test_what_passes_is_what_the_rule_means(value: dict[str, Any]) -> None:
    if compiled(SET_STRICT).check(value) is None:
        assert type(value["key"]) is str
        assert value["key"].startswith("app:")
        assert type(value["ttl"]) in (int, float)
        assert 1 <= value["ttl"] <= 3600


def test_arguments_that_are_a_read_only_mapping_are_taken() -> None:
    assert compiled(SET_STRICT).check(MappingProxyType(GOOD)) is None


# ------------------------------------------------------------------------------------------------ bounded work


@pytest.mark.parametrize("key", ["app:" + "a" * 26 + "!", "app:" + "a" * 10_000 + "!"])
def test_a_pattern_that_explodes_elsewhere_is_matched_in_linear_time(key: str) -> None:
    evil = compiled(prop({"type": "string", "pattern": "^app:(([a-z]+)+)$"}))
    assert evil.check({"a": key}) == Violation("args.a", "must match ^app:(([a-z]+)+)$")
    assert evil.check({"a": key[:-1]}) is None


def test_text_times_pattern_is_bounded_before_anything_is_matched() -> None:
    large = compiled(prop({"type": "string", "pattern": "a[ab]{300}[^ab]"}))
    found = large.check({"a": "ab" * 100_000})
    assert found == Violation("args.a", "text that is matched with a pattern has at most 26800 bytes in all")
    free = compiled(
        {"properties": {"a": {"type": "string", "pattern": "a[ab]{300}[^ab]"}, "content": {"type": "string"}}}
    )
    assert free.check({"content": "ab" * 100_000}) is None


def test_many_unknown_members_beside_named_ones_are_denied() -> None:
    found = compiled(SET_STRICT).check(GOOD | {f"member{number}": 0 for number in range(20_000)})
    assert found == Violation("args.*", "fewer members that the policy does not name")
    found = compiled(SET_STRICT).check(GOOD | {"\u00e9" * 200 + str(number): 0 for number in range(100)})
    assert found == Violation("args.*", "fewer members that the policy does not name")
    found = compiled(SET_STRICT).check(GOOD | {"\u0315\u0300" * 200: 0})
    assert found == Violation("args.*", "member names have at most 256 characters")
    found = compiled(SET_STRICT).check(GOOD | {"x" * 5000: 0})
    assert found == Violation("args.*", "member names have at most 1024 characters")
    free_form = compiled(prop({"type": "object", "additionalProperties": {"type": "integer"}}))
    assert free_form.check({"a": {f"member{number}": 0 for number in range(20_000)}}) is None


def test_explaining_a_failure_in_a_long_list_asks_the_validator_a_few_times_only() -> None:
    words = compiled(prop({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}))
    started = time.perf_counter()
    found = words.check({"a": ["x"] * 100_000 + [1]})
    assert found == Violation("args.a[]", "must be a string or null")
    assert time.perf_counter() - started < 5  # the library's own list of errors took 100 times what this takes


# ------------------------------------------------------------------------------------------ what does not load


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (3, ": expected a schema, got 3"),
        ({"type": "array"}, "type: arguments are always an object, got 'array'"),
        (prop({"minimum": 1}), "properties.a.minimum: bounds nothing without a type beside it; add type: number"),
        (prop({"pattern": "^a$"}), "properties.a.pattern: bounds nothing without a type beside it; add type: string"),
        (
            prop({"not": {"const": "prod"}}),
            "properties.a.not: needs type, const or enum beside it: values of other types would pass",
        ),
        (
            prop({"type": "string", "maximum": 3}),
            "properties.a.maximum: bounds only numbers, but the type here is string",
        ),
        (
            prop({"type": "array", "items": {"pattern": "^a$"}}),
            "properties.a.items.pattern: bounds nothing without a type beside it; add type: string",
        ),
        (
            prop({"type": "strin"}),
            f"properties.a.type: {STRIN}",
        ),
        ({"propertes": {}}, "propertes: unknown keyword; did you mean properties?"),
        (
            prop({"type": "string", "minLength": True}),
            "properties.a.minLength: expected a whole number of 0 or more, got True",
        ),
        (prop({"type": "number", "maximum": math.nan}), "properties.a.maximum: expected a finite number, got nan"),
        (
            prop({"type": "integer", "minimum": 5, "maximum": 3}),
            "properties.a.minimum: is above maximum: nothing can fit",
        ),
        (
            prop({"type": "string", "allOf": [{"type": "integer"}]}),
            "properties.a: nothing can fit: its types exclude each other",
        ),
        (
            prop({"type": "string", "pattern": "a{1001}"}),
            "properties.a.pattern: RE2 refuses the pattern 'a{1001}': invalid repetition size: {1001}",
        ),
        (
            prop({"type": "string", "pattern": "(?=a)"}),
            "properties.a.pattern: RE2 refuses the pattern '(?=a)': invalid perl operator: (?=",
        ),
        (
            prop({"type": "object", "patternProperties": {"(": {}}}),
            "properties.a.patternProperties.(: RE2 refuses the pattern '(': missing ): (",
        ),
        (
            prop({"$ref": "http://169.254.169.254/x"}),
            "properties.a.$ref: references go to the policy's own $defs, \"#/$defs/NAME\", got 'http://169.254.169.254/x'",
        ),
        (prop({"$ref": "#/$defs/app_kee"}), "properties.a.$ref: $defs has no 'app_kee'; did you mean app_key?"),
        (prop({"$ref": "#/$defs/loop"}), "$defs.loop: refers to itself; recursive schemas are not supported"),
        ({"$schema": "x"}, "$schema: is not supported: arguments are always JSON Schema 2020-12"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties: is not supported: use additionalProperties"),
        (prop({"type": "object", "then": {}}), "properties.a.then: means nothing without if"),
        (prop(5), "properties.a: expected a schema, got 5"),
    ],
)
def test_a_schema_that_would_surprise_does_not_load(schema: Any, problem: str) -> None:
    definitions = {
        "app_key": {"type": "string"},
        "loop": {"type": "object", "properties": {"next": {"$ref": "#/$defs/loop"}}},
    }
    assert problems_of(schema, definitions) == [problem]


def test_a_format_that_is_unknown_or_would_compile_what_the_caller_sent_does_not_load() -> None:
    assert problems_of(prop({"type": "string", "format": "emial"}))[0].endswith("got 'emial'; did you mean email?")
    assert "got 'regex'" in problems_of(prop({"type": "string", "format": "regex"}))[0]


def test_a_pattern_that_only_the_validator_refuses_does_not_load() -> None:
    assert problems_of(prop({"type": "string", "pattern": r"\C"})) == [
        r'properties.a.pattern: the validator\'s linear-time engine refuses the pattern "\\C"'.replace(r"\'", "'")
    ]


def test_a_schema_that_grows_without_end_does_not_load() -> None:
    doubled = {
        f"d{level}": {"type": "object", "allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(20)
    } | {"d20": {"type": "object"}}
    assert (
        "schemas with its references written out, at most 2000 are allowed"
        in problems_of(prop({"$ref": "#/$defs/d0"}), doubled)[0]
    )
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(40):
        deep = {"type": "array", "items": deep}
    assert problems_of(prop(deep))[0].endswith("schemas may be nested 32 levels deep")


def test_not_takes_the_type_from_beside_it() -> None:
    assert problems_of(prop({"type": "string", "not": {"pattern": "^sys"}})) == []
    assert problems_of(prop({"type": "string", "anyOf": [{"pattern": "^a$"}, {"maxLength": 1}]})) == []


def test_problems_in_definitions_are_told_once_and_also_where_nothing_uses_them() -> None:
    definitions = {"a": {"pattern": "^a$"}, "b": {"type": "strin"}, "c": {"type": "string"}}
    assert [(one.path, one.message) for one in inspect_definitions(definitions)] == [
        (("$defs", "a", "pattern"), "bounds nothing without a type beside it; add type: string"),
        (
            ("$defs", "b", "type"),
            STRIN,
        ),
    ]
    assert problems_of(prop({"$ref": "#/$defs/a"}), definitions) == [
        "$defs.a.pattern: bounds nothing without a type beside it; add type: string"
    ]


def test_what_is_probably_not_meant_is_warned_of() -> None:
    assert warnings_of({"properties": {"a": {"type": "string", "pattern": "^app:"}}}) == [
        "properties.a: is constrained but not required: a call without it passes",
        "properties.a.pattern: '^app:' is not anchored as ^…$: it may match a part only",
    ]
    assert warnings_of(prop({"type": ["string", "integer", "null"], "pattern": "^a$"})) == [
        "properties.a: a value of type integer passes without any bound"
    ]
    assert warnings_of({"properties": {"a": {"type": "string"}}}) == []


@pytest.mark.parametrize(
    ("pattern", "anchored"),
    [
        ("^a$", True),
        (r"\Aa\z", True),
        ("^(a|b)$", True),
        ("^[|$]$", True),
        (r"^\|$", True),
        ("^(?P<m>a)$", True),
        ("^a|b$", False),
        ("^a", False),
        ("a$", False),
        (r"^a\$", False),
        ("^[a$]", False),
        ("(?m)^a$", False),
        ("^(?m)a$", False),
    ],
)
def test_whether_a_pattern_is_anchored(pattern: str, anchored: bool) -> None:
    assert is_anchored(pattern) is anchored


# ----------------------------------------------------------------------------------------------- declared types


def test_declared_types_are_found_through_members_items_references_and_alternatives() -> None:
    schema = compiled(
        {
            "properties": {
                "env": {"enum": ["dev", "prod"]},
                "n": {"type": "number", "allOf": [{"type": "integer"}]},
                "either": {"anyOf": [{"type": "string"}, {"const": None}]},
                "half": {"anyOf": [{"type": "string"}, {}]},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
                "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
                "open": {"type": "array", "prefixItems": [{"type": "string"}]},
                "labels": {
                    "type": "object",
                    "patternProperties": {"^n": {"type": "integer"}},
                    "additionalProperties": {"type": "string"},
                },
                "any": {},
            }
        },
        {"tag": {"type": "object", "properties": {"name": {"type": "string"}}}},
    )

    def names(*path: str | int) -> list[str] | None:
        declared = schema.type_of(path)
        return None if declared is None else sorted(declared.names)

    assert names("env") == ["string"]
    assert names("n") == ["integer"]
    assert names("either") == ["null", "string"]
    assert names("half") is None
    assert names("tags") == ["array"]
    assert names("tags", ITEM, "name") == names("tags", 3, "name") == ["string"]
    assert names("pair", 1) == ["integer"]
    assert names("pair", ITEM) == ["integer", "string"]
    assert names("open", 0) == ["string"]
    assert names("open", 1) is names("open", ITEM) is None
    assert names("labels", "nn") == ["integer"]
    assert names("labels", "x") == ["string"]
    assert names("any") is names("missing") is names("env", "x") is None
    assert names() == ["object"]
    assert str(schema.type_of(("either",))) == "null or string"


@given(JSON | st.lists(st.integers()) | st.sampled_from(["a", None]))
def test_a_declared_type_is_the_type_of_what_passes(value: Any) -> None:
    schema = compiled(prop({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"enum": ["a", None]}]}))
    declared = schema.type_of(("a",))
    assert declared is not None
    if schema.check({"a": value}) is None:
        assert {list: "array", str: "string", type(None): "null"}[type(value)] in declared.names


# ------------------------------------------------------------------------------------- bodies that come as text

DOUBT = Violation("args", "no '!' while the proxy sends bodies as text (pack_as_bytes)")


@pytest.mark.parametrize(
    "arguments",
    [
        {"key": "app:!", "ttl": 60},
        {"key": ["a", {"b": "!"}], "ttl": 60},
        {"key": {"!": 1}, "ttl": 60},
        {"key": "app:x", "ttl": "!"},
    ],
)
def test_an_exclamation_mark_in_a_named_argument_is_doubted_at_any_depth(arguments: dict[str, Any]) -> None:
    assert compiled(SET_STRICT).doubt(arguments) == DOUBT


@pytest.mark.parametrize("arguments", [{}, GOOD, {**GOOD, "note": "wow!"}, {**GOOD, "!": "x"}])
def test_one_in_an_argument_that_the_schema_says_nothing_of_is_not(arguments: dict[str, Any]) -> None:
    assert compiled(SET_STRICT).doubt(arguments) is None


@pytest.mark.parametrize(
    "open_ended",
    [
        {"additionalProperties": {"type": "string"}},
        {"patternProperties": {"^x-": {"type": "string"}}},
        {"propertyNames": {"maxLength": 9}},
        {"allOf": [{"properties": {"note": {"type": "string"}}}]},
        {"maxProperties": 5},
    ],
)
def test_where_a_schema_says_more_than_names_every_argument_is_doubted(open_ended: dict[str, Any]) -> None:
    schema = compiled({**SET_STRICT, **open_ended})
    assert schema.doubt({**GOOD, "note": "wow!"}) == DOUBT
    assert schema.doubt({**GOOD, "note": "wow"}) is None


def test_descriptions_say_nothing_about_arguments() -> None:
    schema = compiled({**SET_STRICT, "title": "set", "description": "sets", "type": "object"})
    assert schema.doubt({**GOOD, "note": "wow!"}) is None


# ----------------------------------------------------------------------------------------- prototypes and long names


@pytest.mark.parametrize("name", ["__proto__", "__PROTO__", "__proto__\u200b", "\uff3f_proto__"])
def test_a_prototype_beside_constrained_members_is_denied(name: str) -> None:
    assert compiled(SET_STRICT).check({**GOOD, name: {"key": "sys:x"}}) == Violation("args.*", "no member __proto__")


def test_a_name_is_denied_where_folding_it_would_take_long() -> None:
    schema = compiled(SET_STRICT)
    marks = "\u0345" * 257
    assert schema.check({**GOOD, marks: 1}) == Violation("args.*", "member names have at most 256 characters")
    assert schema.check({**GOOD, "a" * 1025: 1}) == Violation("args.*", "member names have at most 1024 characters")
    assert schema.check({**GOOD, "a" * 1024: 1}) is None
    many = {f"{n}{marks[:200]}": 1 for n in range(30)}
    assert schema.check({**GOOD, **many}) == Violation("args.*", "fewer members that the policy does not name")


INNER = {"type": "object", "properties": {"path": {"type": "string", "pattern": "^/pub"}}}
CLOSED = {"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "items": INNER}, [{"PATH": "/etc"}]),
        ({"type": "array", "prefixItems": [CLOSED], "items": INNER}, [{"id": "x"}, {"PATH": "/etc"}]),
        ({"type": "array", "contains": CLOSED, "items": INNER}, [{"PATH": "/etc"}, {}]),
        (
            {"type": "object", "patternProperties": {"^x_": CLOSED}, "additionalProperties": INNER},
            {"foo": {"PATH": "/"}},
        ),
    ],
)
def test_a_closed_neighbour_does_not_hide_a_twin(schema: dict[str, Any], value: Any) -> None:
    found = compiled(prop(schema)).check({"a": value})
    assert found is not None
    assert found.accepted == "only this exact spelling of the name"


# ------------------------------------------------------------------------------------------------- one for many rules

WORDS = st.sampled_from(["a", "key", "ttl"])
TEXTS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={
        "pattern": st.sampled_from(["^a$", "a|b", r"\C", "(?=a)", "a{1001}", "(", r"^\w{3,5}$", "x" * 40]),
        "format": st.sampled_from([*FORMATS, "regex", "emial"]),
        "maxLength": st.integers(-1, 5) | st.floats(0, 3),
        "enum": st.lists(st.text(max_size=2) | st.integers(), max_size=3),
        "$ref": st.sampled_from(["#/$defs/used", "#/$defs/none", "#/$defs/used/type"]),
    },
)
NUMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["integer", "number", ["number", "null"], ["null", "null"]])},
    optional={
        "minimum": st.integers() | st.floats(allow_nan=True),
        "multipleOf": st.integers(-1, 2) | st.floats(0, 1),
        "const": JSON,
    },
)
SCHEMAS = st.recursive(
    TEXTS | NUMBERS | st.booleans(),
    lambda inner: (
        st.fixed_dictionaries(
            {"type": st.just("object")},
            optional={
                "properties": st.dictionaries(WORDS, inner, max_size=3),
                "patternProperties": st.dictionaries(st.sampled_from(["^a", r"\C", "("]), inner, max_size=1),
                "required": st.lists(WORDS, max_size=2),
                "additionalProperties": inner,
                "dependentRequired": st.dictionaries(WORDS, st.lists(WORDS, max_size=2), max_size=1),
                "propertyNames": TEXTS,
            },
        )
        | st.fixed_dictionaries(
            {"type": st.just("array")},
            optional={"items": inner, "prefixItems": st.lists(inner, max_size=2), "minContains": st.integers(-1, 2)},
        )
        | st.fixed_dictionaries({}, optional={"anyOf": st.lists(inner, max_size=2), "not": inner, "if": inner})
    ),
    max_leaves=6,
)


@given(st.dictionaries(WORDS, SCHEMAS, max_size=3))
@settings(max_examples=400, deadline=None)
def test_what_loads_never_fails_when_its_first_call_comes(properties: dict[str, Any]) -> None:
    definitions = {"used": {"type": "string", "maxLength": 3}}
    arguments, problems, _ = compile_arguments({"properties": properties}, definitions)
    if arguments is None:
        assert problems
    else:
        # The judge is made now; that the validator refuses a schema would come as an exception.
        assert check._judge_of(arguments._schema, arguments._definitions).validator.is_valid({}) in (True, False)


def test_the_validator_s_own_words_come_at_load_where_the_form_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(form._VALUES, "maxLength", (lambda _: True, "anything"))
    assert problems_of(prop({"type": "string", "maxLength": -1})) == [
        "properties.a.maxLength: the validator refuses it: -1 is less than the minimum of 0"
    ]


def test_a_schema_that_is_written_the_same_way_again_is_the_same_object() -> None:
    first = compiled(prop({"type": "string", "maxLength": 77}))
    assert compiled(prop({"type": "string", "maxLength": 77})) is first
    assert compiled(prop({"type": "string", "maxLength": 78})) is not first


def test_the_same_schema_again_warns_again() -> None:
    schema = prop({"type": "string", "pattern": "once"})
    kept = compiled(schema)
    assert warnings_of(schema) == warnings_of(schema) != []
    assert kept.check({"a": "once"}) is None


def test_numbers_of_different_types_are_different_schemas() -> None:
    ones = [compiled(prop({"const": value})) for value in (1, 1.0, True)]
    assert len({id(one) for one in ones}) == 3
    assert [one.check({"a": True}) is None for one in ones] == [False, False, True]


def test_equal_schemas_with_other_definitions_are_different() -> None:
    schema = prop({"$ref": "#/$defs/one"})
    short = compiled(schema, {"one": {"type": "string", "maxLength": 1}})
    long = compiled(schema, {"one": {"type": "string", "maxLength": 9}})
    assert short.check({"a": "four"}) is not None
    assert long.check({"a": "four"}) is None


def test_a_schema_that_nobody_uses_any_more_is_not_kept() -> None:
    schema = prop({"type": "string", "maxLength": 4711})
    key = check._key(schema)
    kept = compiled(schema)
    assert check._known[key] is kept
    del kept
    assert key not in check._known


def test_what_no_file_holds_is_refused_in_words_of_the_form() -> None:
    assert "expected a schema" in problems_of(prop(object()))[0]
