"""What PolicyLayer prints: the YAML of its tool pages and the JSON of its grants."""

from __future__ import annotations

import json
from typing import Any

import pytest
from imported import Imported

from authz.app.importing.changes import Effect
from authz.app.importing.source import Dialect
from authz.errors import PolicyError

PAGE = """\
tools:
  search_fhir_resources:
    rules:
      - action: allow
        reason: Read-only lookup
        rate_limit: { max: 3, window: 60 }
  start_fhir_export_job:
    rules:
      - action: require_approval
        reason: exports need a yes
  delete_datastore:
    rules:
      - action: deny
        reason: never
  list_jobs:
    rules:
      - rate_limit: 2/hour
  read: {rules: []}
"""
GRANT: dict[str, Any] = {
    "version": "1",
    "default": "deny",
    "hide": ["delete_account"],
    "all_tools": {"limits": [{"counter": "calls-per-minute", "window": "minute", "max": 30, "scope": "grant"}]},
    "tools": {
        "create_charge": {
            "require": ["args.reason", {"path": "args.ticket", "on_deny": "a ticket is needed"}],
            "deny_if": [
                {"conditions": [{"path": "args.amount", "op": "gt", "value": 10000}], "on_deny": "too much"},
                {
                    "conditions": [
                        {"path": "args.env", "op": "eq", "value": "prod"},
                        {"path": "args.force", "op": "eq", "value": True},
                    ]
                },
            ],
            "limits": [{"counter": "charges", "window": 3600, "max": 2}],
        },
        "list_customers": {},
    },
}


def grant(**tool: Any) -> Imported:
    return Imported(json.dumps({"version": "1", "default": "deny", "tools": {"t": tool}}))


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as refused:
        Imported(text)
    return str(refused.value.problems[0])


def test_a_fragment_of_a_page_becomes_a_policy() -> None:
    ours = Imported(PAGE)
    assert ours.source.dialect is Dialect.PAGES
    assert ours.value == {
        "version": 1,
        "default": "deny",
        "tools": {
            "search_fhir_resources": {
                "action": "allow",
                "reason": "Read-only lookup",
                "rate_limit": {"name": "search_fhir_resources/60", "max": 3, "window": 60},
            },
            "start_fhir_export_job": {"action": "require_approval", "reason": "exports need a yes"},
            "delete_datastore": {"action": "deny", "reason": "never"},
            "list_jobs": {"action": "allow", "rate_limit": {"name": "list_jobs/1h", "max": 2, "window": "1h"}},
            "read": "allow",
        },
    }
    assert [ours.allows("search_fhir_resources") for _ in range(4)] == [True, True, True, False]
    assert not ours.allows("start_fhir_export_job")
    assert not ours.allows("unlisted"), "the fragment does not say, so nothing passes"
    assert not ours.asks("prompts/get", {"name": "any"})
    assert [one.effect for one in ours.changes if one.there == "no default"] == [Effect.STRICTER]


def test_a_page_may_say_what_happens_to_other_tools() -> None:
    ours = Imported('default: allow\nhide: [a]\ntools:\n  "*":\n    rules: [{action: allow, rate_limit: 2/minute}]\n')
    assert [ours.allows("a"), ours.allows("b"), ours.allows("c"), ours.allows("d")] == [False, True, True, False]


def test_all_rules_of_a_page_hold_for_its_tool() -> None:
    ours = Imported(
        "tools:\n  a:\n    rules: [{rate_limit: 3/day}, {rate_limit: 2/hour}, {action: allow, reason: x}]\n"
    )
    assert [ours.allows("a") for _ in range(3)] == [True, True, False]
    assert [ours.allows("a", later=3601), ours.allows("a")] == [True, False]


def test_a_grant_becomes_a_policy() -> None:
    ours = Imported(json.dumps(GRANT))
    assert ours.source.dialect is Dialect.HOSTED
    assert ours.value["limits"] == [{"name": "all/calls-per-minute", "max": 30, "window": 60, "per": "principal"}]
    good = {"reason": "r", "ticket": 1}
    assert ours.allows("list_customers")
    assert not ours.allows("delete_account")
    assert not ours.allows("unlisted")
    for denied in (
        {},
        {"reason": "r"},
        {**good, "reason": None},
        {**good, "amount": 10001},
        {**good, "amount": "10001"},
        {**good, "env": "prod", "force": True},
        {**good, "env": ["prod"], "force": True},
    ):
        assert not ours.allows("create_charge", denied), denied
    assert ours.allows("create_charge", {**good, "amount": 10000, "env": "prod", "force": False})
    assert ours.allows("create_charge", {**good, "env": "dev", "force": True})
    assert not ours.allows("create_charge", good), "two in an hour"
    assert ours.allows("create_charge", good, later=3601)


@pytest.mark.parametrize(
    ("operator", "value", "schema", "passing", "denied"),
    [
        ("eq", "a", {"type": "string", "not": {"const": "a"}}, ["b"], ["a", ["a"]]),
        ("neq", "a", {"const": "a"}, ["a"], ["b", 1]),
        ("in", ["a", "b"], {"type": "string", "not": {"enum": ["a", "b"]}}, ["c"], ["a", "b"]),
        ("not_in", ["a", 1], {"enum": ["a", 1]}, ["a", 1], ["b", 2]),
        ("lt", 5, {"type": "number", "minimum": 5}, [5], [4, "5"]),
        ("lte", 5, {"type": "number", "exclusiveMinimum": 5}, [6], [5]),
        ("gte", 5, {"type": "number", "exclusiveMaximum": 5}, [4], [5]),
        ("regex", "drop", {"type": "string", "not": {"pattern": "drop"}}, ["select"], ["a drop", ["drop"]]),
        (
            "contains",
            "x",
            {
                "anyOf": [
                    {"type": "string", "not": {"pattern": "x"}},
                    {"type": "array", "not": {"contains": {"const": "x"}}},
                ]
            },
            ["a", ["a"]],
            ["axb", ["x"], 1],
        ),
        ("contains", 1, {"type": "array", "not": {"contains": {"const": 1}}}, [[2]], [[1], "1"]),
        ("exists", True, {"type": "null"}, [None], ["a", 0]),
    ],
)
def test_what_is_denied_if_becomes_what_must_not_be(
    operator: str, value: Any, schema: Any, passing: Any, denied: Any
) -> None:
    ours = grant(deny_if=[{"conditions": [{"path": "args.x", "op": operator, "value": value}]}])
    assert ours.value["tools"]["t"]["arguments"] == {"properties": {"x": schema}}
    assert ours.allows("t"), "nothing is there that could be denied"
    assert [ours.allows("t", {"x": one}) for one in passing] == [True] * len(passing)
    assert [ours.allows("t", {"x": one}) for one in denied] == [False] * len(denied)


def test_denied_if_something_is_not_there_means_required() -> None:
    ours = grant(deny_if=[{"conditions": [{"path": "args.x", "op": "exists", "value": False}]}])
    assert [ours.allows("t", one) for one in ({}, {"x": None}, {"x": 0})] == [False, False, True]


def test_several_lists_of_conditions_are_looked_at_each_for_itself() -> None:
    def both(one: str, other: str) -> dict[str, Any]:
        return {"conditions": [{"path": f"args.{name}", "op": "eq", "value": 1} for name in (one, other)]}

    ours = grant(deny_if=[both("a", "b"), both("c", "d")])
    assert len(ours.value["tools"]["t"]["arguments"]["allOf"]) == 2
    assert ours.allows("t", {"a": 1, "c": 1})
    assert not ours.allows("t", {"a": 1, "b": 1, "c": 1})
    assert not ours.allows("t", {"c": 1, "d": 1})
    there = grant(deny_if=[{"conditions": [{"path": f"args.{one}", "op": "exists", "value": True} for one in "ab"]}])
    assert [there.allows("t", one) for one in ({}, {"a": 1}, {"a": 1, "b": 1})] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "tools: {a: {rules: [{action: alow, reason: x}]}}",
            (
                "1:30: tools.a.rules[0].action: expected one of allow, deny, require_approval, got 'alow', "
                "did you mean 'allow'?"
            ),
        ),
        (
            "tools: {a: {rules: [{action: allow, rate_limit: {max: 5}}]}}",
            (
                "1:37: tools.a.rules[0].rate_limit.window: window, in seconds: expected a whole number "
                "from 1 to 1000000000, got 'None'"
            ),
        ),
        (
            "tools: {a: {rules: [{reason: x, on_deny: y, action: deny}]}}",
            (
                "1:22: tools.a.rules[0].reason: this is PolicyLayer pages, and at 1:33 there is Intercept: "
                "expected one dialect in a file"
            ),
        ),
        (
            "tools: {a: {rules: [{action: deny, reason: x, rate_limit: 5/hour}]}}",
            "1:47: tools.a.rules[0].rate_limit: cannot stand beside action: deny",
        ),
        ("tools: {a: {rules: [{reason: x}]}}", "1:21: tools.a.rules[0]: expected action or rate_limit, got neither"),
        (
            "tools: {a: {rules: [{rate_limit: 5/fortnight}]}}",
            "1:34: tools.a.rules[0].rate_limit: expected N/minute, N/hour or N/day, got '5/fortnight'",
        ),
        (
            "tools: {a*: {rules: []}}",
            "1:9: tools.a*: 'a*' is one tool's exact name there, and * a wildcard here: it cannot be carried over",
        ),
        ('{"all_tools": {}, "tools": {}}', "1:1: expected default: allow or deny"),
        (
            '{"default": "deny", "tools": {"a": {"deny_if": [{}]}}}',
            "1:49: tools.a.deny_if[0]: deny_if needs conditions",
        ),
        (
            '{"default": "deny", "tools": {"a": {"require": [{"args": "x"}]}}}',
            "1:49: tools.a.require[0]: expected an argument such as args.amount, got 'None'",
        ),
        (
            '{"default": "deny", "tools": {"a": {"limits": [{"counter": "c", "window": "week", "max": 1}]}}}',
            (
                "1:65: tools.a.limits[0].window: window (minute, hour, day or seconds): expected a whole "
                "number from 1 to 1000000000, got 'week'"
            ),
        ),
        (
            '{"default": "deny", "tools": {"a": {"limits": [{"counter": "c", "window": 5, "max": 1, "scope": 1}]}}}',
            "1:97: tools.a.limits[0].scope: expected one of grant",
        ),
    ],
)
def test_what_nobody_explains_is_an_error_with_its_place(text: str, problem: str) -> None:
    assert refusal(text) == f"theirs.yaml:{problem}"
