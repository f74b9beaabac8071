"""Every operator of a condition, what it becomes, and what then passes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from imported import Imported
from intercept import Intercept

from authz.app.importing.changes import Effect

ANYTHING = {"type": ["string", "number", "boolean", "object", "array"]}


def policy(operator: str, value: Any, path: str = "args.x") -> dict[str, Any]:
    condition = {"path": path, "op": operator, "value": value}
    return {"version": "1", "default": "deny", "tools": {"t": {"rules": [{"name": "r", "conditions": [condition]}]}}}


@pytest.mark.parametrize(
    ("operator", "value", "schema", "passing", "denied"),
    [
        ("eq", "main", {"const": "main"}, ["main"], ["Main", ["main"], None, 1]),
        ("eq", 42, {"const": 42}, [42, 42.0], [43, "42", True]),
        ("eq", True, {"const": True}, [True], [False, "true", 1]),
        ("neq", "draft", {"type": "string", "not": {"const": "draft"}}, ["final", ""], ["draft", ["draft"], 1]),
        ("in", ["usd", "eur"], {"enum": ["usd", "eur"]}, ["usd"], ["gbp", ["usd"]]),
        ("in", [1, "a"], {"enum": [1, "a"]}, [1, 1.0, "a"], ["1", 2]),
        ("not_in", ["a", "b"], {"type": "string", "not": {"enum": ["a", "b"]}}, ["c"], ["a", "b", ["a"], 1]),
        (
            "not_in",
            ["a", 1, 2.5, 0.00001, True],
            {
                "type": ["string", "number", "boolean"],
                "not": {"enum": ["a", 1, 2.5, 0.00001, True, "1", "2.5", "0.00001", "1e-05", "true"]},
            },
            ["b", 2, False],
            ["a", 1, "1", 2.5, "2.5", 0.00001, "1e-05", "true", True],
        ),
        ("lt", 100, {"type": "number", "exclusiveMaximum": 100}, [99, 99.9], [100, "99", True]),
        ("lte", 50000, {"type": "number", "maximum": 50000}, [50000, -1], [50001, "42", [1]]),
        ("gt", 0, {"type": "number", "exclusiveMinimum": 0}, [1, 0.1], [0, "1"]),
        ("gte", 0.5, {"type": "number", "minimum": 0.5}, [0.5, 1], [0.4, None]),
        ("regex", "^feat/", {"type": "string", "pattern": "^feat/"}, ["feat/x"], ["x feat/", ["feat/"], 1]),
        ("regex", "drop", {"type": "string", "pattern": "drop"}, ["a drop b"], ["dr", 1]),
        (
            "contains",
            "a.b",
            {"anyOf": [{"type": "string", "pattern": r"a\.b"}, {"type": "array", "contains": {"const": "a.b"}}]},
            ["x a.b y", ["a.b", 1]],
            ["axb", ["x a.b"], {"a.b": 1}],
        ),
        ("contains", 5, {"type": "array", "contains": {"const": 5}}, [[1, 5]], ["5", 5, ["5"], []]),
        ("exists", True, ANYTHING, ["", 0, [], {}], [None]),
    ],
)
def test_an_operator_becomes_a_schema(operator: str, value: Any, schema: Any, passing: Any, denied: Any) -> None:
    theirs = policy(operator, value)
    ours, intercept = Imported(json.dumps(theirs).replace("1e-05", "0.00001")), Intercept(theirs)
    assert ours.value["tools"]["t"]["arguments"] == {"properties": {"x": schema}, "required": ["x"]}
    assert not ours.allows("t"), "a missing argument fails the condition"
    for one in passing:
        assert ours.allows("t", {"x": one}), one
        assert intercept.allows("t", {"x": one}, 0), one
    for one in denied:
        assert not ours.allows("t", {"x": one}), one


def test_an_argument_that_must_not_be_there_may_be_null() -> None:
    ours = Imported(json.dumps(policy("exists", value=False)))
    assert ours.value["tools"]["t"]["arguments"] == {"properties": {"x": {"type": "null"}}}
    assert [ours.allows("t", one) for one in ({}, {"x": None}, {"x": 0}, {"x": ""})] == [True, True, False, False]


def test_a_path_goes_into_objects_only() -> None:
    ours = Imported(json.dumps(policy("eq", 1, "args.a.b.c")))
    member = {"type": "object", "properties": {"c": {"const": 1}}, "required": ["c"]}
    whole = {"type": "object", "properties": {"b": member}, "required": ["b"]}
    assert ours.value["tools"]["t"]["arguments"] == {"properties": {"a": whole}, "required": ["a"]}
    assert ours.allows("t", {"a": {"b": {"c": 1}}})
    for one in ({"a": {"b": {"c": 2}}}, {"a": {"b": [1]}}, {"a": 1}, {"a": {}}, {}):
        assert not ours.allows("t", one)


def test_several_conditions_on_an_argument_are_one_schema_where_they_fit_together() -> None:
    rules = [
        {"name": "one", "conditions": [{"path": "args.x", "op": "gt", "value": 1}]},
        {"name": "two", "conditions": [{"path": "args.x", "op": "lte", "value": 9}]},
        {"name": "there", "conditions": [{"path": "args.x", "op": "exists", "value": True}]},
    ]
    ours = Imported(json.dumps({"version": "1", "tools": {"t": {"rules": rules}}}))
    found = ours.value["tools"]["t"]["arguments"]["properties"]["x"]
    assert found == {"type": "number", "exclusiveMinimum": 1, "maximum": 9}


def test_conditions_of_one_kind_stand_beside_each_other() -> None:
    conditions = [{"path": "args.x", "op": "regex", "value": pattern} for pattern in ("a", "b")]
    ours = Imported(json.dumps({"version": "1", "tools": {"t": {"rules": [{"name": "r", "conditions": conditions}]}}}))
    found = ours.value["tools"]["t"]["arguments"]["properties"]["x"]
    assert found == {"type": "string", "pattern": "a", "allOf": [{"type": "string", "pattern": "b"}]}
    assert [ours.allows("t", {"x": one}) for one in ("ab", "a", "b")] == [True, False, False]


@pytest.mark.parametrize(
    ("operator", "value", "effect", "note"),
    [
        ("eq", "main", Effect.SAME, ""),
        ("eq", 42, Effect.STRICTER, "only of this type: there 42 and its text are equal"),
        ("in", ["a", "7"], Effect.STRICTER, 'only of this type: there "7" and its text are equal'),
        ("neq", "x", Effect.STRICTER, "what is of another type passed there, a list of it too"),
        ("lte", 5, Effect.SAME, ""),
        ("regex", "^a$", Effect.SAME, ""),
        ("regex", "a", Effect.SAME, "matches any part of the text: ^…$ if all of it was meant"),
        ("contains", "a", Effect.SAME, "a part of a text, or an entry of a list"),
        ("contains", 1, Effect.STRICTER, "a part of a text, or an entry of a list"),
        ("exists", True, Effect.SAME, ""),
    ],
)
def test_the_table_says_what_a_condition_becomes(operator: str, value: Any, effect: Effect, note: str) -> None:
    ours = Imported(json.dumps(policy(operator, value)))
    (change,) = [one for one in ours.changes if one.there.startswith("args.x ")]
    assert (change.effect, change.note) == (effect, note)
