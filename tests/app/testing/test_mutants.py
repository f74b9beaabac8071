"""Every mistake that lets more through has a mutant, and a case that notices one kills it."""

from __future__ import annotations

import pytest
import yaml
from printed import printed

from authz.app.testing import reporting
from authz.app.testing.bounds import loosened
from authz.app.testing.mutants import mutants, put, without
from authz.policy.text.document import render_path


def made(text: str, *, baseline: bool = False) -> dict[str, object]:
    """By place and what was done, the mutated document."""
    raw = yaml.safe_load(text)
    kept = yaml.safe_load(text)
    found = {f"{render_path(one.path)}: {one.what}": one.value for one in mutants(raw, baseline=baseline)}
    assert raw == kept
    assert all(value != raw for value in found.values())
    return found


def test_actions_are_turned_round():
    found = made("default: allow\ntools: {a: allow, b: {action: require_approval, approval: {timeout: 5m}}}")
    assert found == {
        "default: allow made deny": {
            "default": "deny",
            "tools": {"a": "allow", "b": {"action": "require_approval", "approval": {"timeout": "5m"}}},
        },
        "tools.a.action: allow made deny": {
            "default": "allow",
            "tools": {"a": {"action": "deny"}, "b": {"action": "require_approval", "approval": {"timeout": "5m"}}},
        },
        "tools.b.action: require_approval made allow": {
            "default": "allow",
            "tools": {"a": "allow", "b": {"action": "allow"}},
        },
    }


def test_a_default_that_is_left_out_can_be_wrong_too():
    assert made("version: 1") == {": the default, which is deny, made allow": {"version": 1, "default": "allow"}}
    assert made("version: 1", baseline=True) == {}
    reached_by_nobody = made('tools: {"*": allow}\nprompts: {"*": allow}\nresources: {"*": allow}')
    assert not any("default" in one for one in reached_by_nobody)


def test_a_lost_denial_is_a_mutant():
    found = made("default: require_approval\ntools: {a: deny, b: {rules: [{when: x, action: deny}, {action: allow}]}}")
    assert found["tools.a: dropped, which denied"]["tools"].keys() == {"b"}
    assert found["tools.b.rules[0]: dropped, which denied"]["tools"]["b"] == {"rules": [{"action": "allow"}]}
    assert found["tools.b.rules[0].when: dropped"]["tools"]["b"]["rules"][0] == {"action": "deny"}
    assert "default: require_approval made allow" in found


def test_conditions_constraints_and_limits_are_dropped():
    found = made(
        """
origins: ["https://a"]
tools:
  a:
    action: require_approval
    principals: ["group:a"]
    arguments: {}
    strict_arguments: true
    require: [x, {expr: y}]
    approval: {by: ["group:b"], reason_required: true, uses: 2}
    rate_limit: 10/minute
  b: {action: allow, require: x, rate_limit: [{max: 3, window: 60, cost: args.x}, {max: 5000, window: 60}]}
  c: {action: allow, rate_limit: {max: 60, window: 60, algorithm: token_bucket, burst: 5}}
limits: [{max: 7, window: 60, per: server}, {max: 6, window: 60, per: session}]
""",
        baseline=True,
    )
    assert set(found) == {
        "origins: dropped",
        "tools.a.action: require_approval made allow",
        "tools.a.principals: dropped",
        "tools.a.strict_arguments: dropped",
        "tools.a.arguments: dropped",
        "tools.a.require[0]: dropped",
        "tools.a.require[1]: dropped",
        "tools.a.approval.by: dropped",
        "tools.a.approval.reason_required: dropped",
        "tools.a.rate_limit: limit dropped",
        "tools.a.rate_limit: 10 made 11",
        "tools.b.action: allow made deny",
        "tools.b.require: dropped",
        "tools.b.rate_limit[0]: limit dropped",
        "tools.b.rate_limit[0].cost: dropped",
        "tools.b.rate_limit[0].max: 3 made 4",
        "tools.b.rate_limit[1]: limit dropped",
        "tools.c.action: allow made deny",
        "tools.c.rate_limit: limit dropped",
        "tools.c.rate_limit.burst: 5 made 6",
        "limits[0]: limit dropped",
        "limits[0].max: 7 made 8",
        "limits[0].per: dropped",
        "limits[1]: limit dropped",
        "limits[1].max: 6 made 7",
    }
    assert found["tools.a.rate_limit: 10 made 11"]["tools"]["a"]["rate_limit"] == "11/minute"
    assert found["tools.a.approval.by: dropped"]["tools"]["a"]["approval"] == {"reason_required": True, "uses": 2}
    assert found["limits[0]: limit dropped"]["limits"] == [{"max": 6, "window": 60, "per": "session"}]


@pytest.mark.parametrize(
    ("section", "key", "wider"),
    [
        ("tools", "json_*", "*"),
        ("tools", "json", ""),
        ("tools", "*", ""),
        ("resources", "file:///project/*", "file:///*"),
        ("resources", "https://a.example/b/*", "https://a.example/*"),
        ("resources", "https://a.example/*", "*"),
        ("resources", "*.md", "*"),
    ],
)
def test_globs_are_widened(section, key, wider):
    found = made(f'{section}: {{"{key}": allow, z: allow}}', baseline=True)
    widened = {what: list(value[section]) for what, value in found.items() if "widened" in what}
    assert list(widened.values()) == ([[wider, "z"]] if wider else [])
    assert not any("widened" in what for what in made(f'{section}: {{"{key}": allow, "*": deny}}') if wider == "*")


def test_each_bound_of_a_schema_is_dropped_alone():
    schema = {
        "properties": {
            "a": {"type": "string", "pattern": "^x", "maxLength": 3},
            "b": {"enum": ["x", 1]},
            "c": {"const": True},
            "d": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "contains": {"type": "integer"},
                "minContains": 2,
            },
            "e": {"anyOf": [{"type": "string", "minLength": 1}, False]},
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    found = {f"{render_path(path)}: {what}": fresh for path, what, fresh in loosened(schema)}
    assert set(found) == {
        "additionalProperties: dropped",
        "required[0]: 'a' no longer required",
        "required[1]: 'b' no longer required",
        "properties.a.pattern: dropped",
        "properties.a.maxLength: dropped",
        "properties.b.enum: dropped",
        "properties.c.const: dropped",
        "properties.d.contains: dropped",
        "properties.d.items.minimum: dropped",
        "properties.e.anyOf: dropped",
        "properties.e.anyOf[0].minLength: dropped",
    }
    assert found["properties.b.enum: dropped"]["properties"]["b"] == {"type": ["string", "integer"]}
    assert found["properties.c.const: dropped"]["properties"]["c"] == {"type": "boolean"}
    assert "minContains" not in found["properties.d.contains: dropped"]["properties"]["d"]
    assert found["required[0]: 'a' no longer required"]["required"] == ["b"]


def test_definitions_are_loosened_where_they_stand():
    found = made('$defs: {k: {type: string, pattern: "^a"}}', baseline=True)
    assert list(found) == ["$defs.k.pattern: dropped"]


def test_documents_are_changed_without_being_touched():
    raw = {"a": [{"b": 1}, {"c": 2}]}
    assert put(raw, ("a", 1, "c"), 3) == {"a": [{"b": 1}, {"c": 3}]}
    assert without(raw, ("a", 0)) == {"a": [{"c": 2}]}
    assert without({"a": {"b": [1]}, "d": 1}, ("a", "b", 0)) == {"d": 1}
    assert raw == {"a": [{"b": 1}, {"c": 2}]}


# ------------------------------------------------------------------------------------------------------- survivors

POLICY = """version: 1
tools:
  get: {action: allow, arguments: {properties: {k: {type: integer, maximum: 3}}, required: [k]}, require: "args.k != 2"}
  drop: {action: deny, reason: never}
"""
WEAK = """version: 1
cases:
  - {name: a, tool: get, arguments: {k: 1}, expect: allow}
  - {name: b, tool: other, expect: deny}
"""
STRONG = (
    WEAK
    + """  - {name: c, tool: get, arguments: {k: 4}, expect: deny}
  - {name: d, tool: get, arguments: {k: 2}, expect: deny, reason: requirement_failed}
  - {name: e, tool: get, arguments: {}, expect: deny, reason: arguments_invalid}
  - {name: f, tool: drop, expect: deny, text: never}
"""
)


def test_mutants_that_no_case_notices_are_listed_with_their_place(playing):
    (mutated,) = playing({"bank.yaml": POLICY, "bank_test.yaml": WEAK}).mutated()
    assert (mutated.killed, mutated.cases) == (2, 2)
    shown = printed(reporting.mutated([mutated], took=1))
    assert shown == (
        "\nmutants\n"
        "  bank.yaml   28.6 %  2 of 7 noticed, 1 would not load\n"
        "SURVIVED bank.yaml:3:93: tools.get.arguments.required[0]: 'k' no longer required (1 case at it)\n"
        "SURVIVED bank.yaml:3:68: tools.get.arguments.properties.k.maximum: dropped (1 case at it)\n"
        "SURVIVED bank.yaml:3:98: tools.get.require: dropped (1 case at it)\n"
        "SURVIVED bank.yaml:4:3: tools.drop: dropped, which denied (2 cases at it)\n"
        "SURVIVED bank.yaml:4:10: tools.drop.action: deny made allow (no case at it)\n"
        "mutation score 28.6 % in 1.00 s\n"
    )


def test_cases_that_notice_all_of_them_score_full_marks(playing):
    results = playing({"bank.yaml": POLICY, "bank_test.yaml": STRONG}).mutated()
    assert [one.survivors for one in results] == [()]
    assert reporting.score(results) == 100.0


def test_of_a_policy_that_no_case_is_about_only_the_number_is_told(playing):
    results = playing({"bank.yaml": POLICY, "shop.yaml": POLICY, "bank_test.yaml": STRONG}).mutated()
    shown = printed(reporting.mutated(results, took=1))
    assert "  shop.yaml    0.0 %  no case is about it, 1 would not load\n" in shown
    assert "SURVIVED" not in shown
    assert "mutation score 50.0 %" in shown


def test_mutants_of_baselines_and_shadows_take_the_place_of_theirs(playing):
    files = {
        "baseline.yaml": 'version: 1\nserver: "*"\ntools: {"drop*": {action: deny, reason: never}}\n',
        "bank.yaml": 'version: 1\ntools: {"*": allow}\n',
        "next.yaml": "version: 1\nserver: bank\nshadow: true\ntools: {get: {action: deny, reason: soon}}\n",
        "bank_test.yaml": (
            "version: 1\ncases: [{name: a, tool: drop, expect: deny, text: never}, {name: b, tool: get, expect: allow},"
            " {name: c, prompt: x, expect: deny}]"
        ),
        "next_test.yaml": (
            "version: 1\ncases: [{name: d, tool: get, expect: deny, text: soon}, {name: e, tool: x, expect: deny}]"
        ),
    }
    results = {one.file: (one.killed, one.survivors) for one in playing(files).mutated()}
    assert results == {"bank.yaml": (2, ()), "baseline.yaml": (3, ()), "next.yaml": (3, ())}
