"""A document's shape -> sentences; the schema serves the validator and editors alike."""

# ruff: noqa: E501 - messages are tested whole and stand on one line

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.policy.text import schema
from authz.policy.text.document import parse

ROOT = Path(__file__).parents[3]
SCHEMA: dict[str, Any] = json.loads((ROOT / "authz/policy/schema.json").read_text())
HEAD = "version: 1\nserver: bank\n"

# The example of the policy language's description, with all that it has.
EVERYTHING = """\
version: 1
server: awslabs-valkey
description: Valkey MCP server of AWS Labs
match: [{host: valkey.mcp.example, path: /mcp}]
identity: corp
default: deny

tools:
  valkey_read: allow
  valkey_write:
    action: allow
    arguments:
      properties: {command: {enum: [SET, HSET, EXPIRE, DEL]}, args: {type: array, items: {type: string}, minItems: 1}}
      required: [command, args]
    require:
      - expr: "args.command == 'DEL' ? args.args.all(k, k.startsWith('app:')) : args.args[0].startsWith('app:')"
        reason: "only keys that begin with app:"
    rate_limit: {max: 30, window: 60}
  StartAHOReferenceImportJob:
    action: allow
    rate_limit:
      - {max: 10, window: 60}
      - {max: 100, window: 1d, per: principal}
  valkey_admin:
    arguments: {properties: {command: {type: string}}, required: [command]}
    rules:
      - {principals: ["group:dba"], when: "args.command == 'INFO'", action: allow}
      - {principals: ["group:apps"], action: require_approval, approval: {by: ["group:dba"], timeout: 15m}}
      - {action: deny, reason: administration is for the database team}
  "json_*": allow

categories:
  Read: allow
  Execute: {action: allow, rate_limit: {max: 10, window: 60}}
  Destructive: require_approval
  Unknown: deny

resources: {"file:///project/*": allow}
prompts: {"*": allow}
origins: ["https://agents.example"]
methods: {"logging/setLevel": deny, initialize: {action: allow, rate_limit: {max: 20, window: 60, per: principal}}}

limits:
  - {name: server-total, max: 600, window: 60, per: principal}
  - {name: spend, tools: [create_charge], max: 10000, window: 1d, per: [principal, args.currency], cost: args.amount}
$defs: {app_key: {type: string, pattern: "^app:"}}
"""


def check(text: str) -> list[str]:
    return [str(problem) for problem in schema.check(parse(text.encode(), "p.yaml"))]


def test_the_example_of_the_language_fits() -> None:
    assert check(EVERYTHING) == []


POLICIES = sorted(file for file in (ROOT / "policies").glob("*.yaml") if not file.stem.endswith("_test"))


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.name)
def test_every_example_policy_fits_and_names_the_schema_for_editors(file: Path) -> None:
    text = file.read_text()
    assert check(text) == []
    first = text.partition("\n")[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve() == ROOT / "authz/policy/schema.json"


def test_a_policylayer_fragment_works_under_a_header_of_two_lines() -> None:
    fragment = """\
tools:
  start_fhir_export_job:
    rules:
      - action: allow
        reason: exports are counted
        rate_limit:
          max: 10
          window: 60
"""
    assert check(HEAD + fragment) == []


@pytest.mark.parametrize(
    "block",
    [
        "allow",
        "{action: deny, reason: never}",
        "{action: allow, rate_limit: 10/minute}",
        "{action: allow, rate_limit: {max: 1, window: 30s, per: [session, tool, args.a.b], name: x}}",
        "{action: allow, rate_limit: [5/second, {max: 9, window: 1d, algorithm: sliding_window}]}",
        "{action: allow, require: args.a == 1}",
        "{action: allow, require: [args.a == 1, {expr: args.b == 2}]}",
        "{action: require_approval, approval: {by: alice, timeout: 900}, continuations: allow}",
        "{rules: [{action: allow, disclose: code}], arguments: {}, require: 'true', continuations: deny}",
        "{action: allow, arguments: {anything: is checked elsewhere}}",
    ],
)
def test_every_form_of_a_block_fits(block: str) -> None:
    for section in ("tools", "prompts", "resources", "methods"):
        assert check(f"{HEAD}{section}: {{t: {block}}}") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server: x", "1:1: missing key 'version', expected 1"),
        ("- a", "1:1: expected a mapping, got a list"),
        ("text", "1:1: expected a mapping, got 'text'"),
        ("version: '1'", "1:10: version: expected 1, got '1'"),
        ("version: true", "1:10: version: expected 1, got true"),
        ("version: 1\ntool: {}", "2:1: tool: unknown key 'tool', did you mean 'tools'?"),
        ("version: 1\ndefault: den", "2:10: default: expected one of allow, deny, require_approval, got 'den', did you mean 'deny'?"),
        ("version: 1\nshadow: 'true'", "2:9: shadow: expected true or false, got 'true'"),
        ("version: 1\nserver: a b", "2:9: server: expected a name of letters, digits and . _ - (or TEAM/NAME, or \"*\"), got 'a b'"),
        ('version: 1\nserver: "a\\n"', "2:9: server: expected a name of letters, digits and . _ - (or TEAM/NAME, or \"*\"), got 'a\\n'"),
        ("version: 1\ntools: [a]", "2:8: tools: expected a mapping from tool names to rules, got a list"),
        ("version: 1\norigins: [x]", "2:11: origins[0]: expected an origin such as https://agents.example, in lower case and without path or *, got 'x'"),
        ("version: 1\nmatch: [{path: /a}]", "2:9: match[0]: missing key 'host', expected an exact host name, without scheme, path or *"),
        ("version: 1\nlimits: []", "2:9: limits: expected a list of limits, got an empty list"),
        ("version: 1\nlimits: [{max: 5}]", "2:10: limits[0]: missing key 'window', expected seconds (1 or more), or a duration such as 30s, 5m, 1h, 1d"),
        (f"version: 1\ntools: {{{'x' * 129}: allow}}", f"2:9: tools.{'x' * 129}: expected a name of at most 128 characters, got '{'x' * 59}…'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_at_the_top_is_said_at_its_place(text: str, expected: str) -> None:
    assert check(text) == [f"p.yaml:{expected}"]


RATE = "expected 10/minute, {max, window}, or a list of these, got"
BLOCK = "expected allow, deny, require_approval, or a mapping with action or rules, got"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("alow", f"3:12: tools.t: {BLOCK} 'alow', did you mean 'allow'?"),
        ("5", f"3:12: tools.t: {BLOCK} 5"),
        ("[]", f"3:12: tools.t: {BLOCK} an empty list"),
        ("{action: alow}", "3:21: tools.t.action: expected one of allow, deny, require_approval, got 'alow', did you mean 'allow'?"),
        ("{action: DENY}", "3:21: tools.t.action: expected one of allow, deny, require_approval, got 'DENY', did you mean 'deny'?"),
        ("{action: block}", "3:21: tools.t.action: expected one of allow, deny, require_approval, got 'block'"),
        ("{reason: x}", "3:9: tools.t: missing key 'action', expected one of allow, deny, require_approval"),
        ("{action: allow, ratelimit: 1}", "3:28: tools.t.ratelimit: unknown key 'ratelimit', did you mean 'rate_limit'?"),
        (
            "{action: allow, x: 1}",
            "3:28: tools.t.x: unknown key 'x', expected one of action, reason, principals, when, arguments, require, rate_limit, approval, disclose, continuations, strict_arguments",
        ),
        ("{rules: []}", "3:20: tools.t.rules: expected a list of rules, got an empty list"),
        ("{rules: [allow]}", "3:21: tools.t.rules[0]: expected a mapping with action, got 'allow'"),
        ("{rules: [{action: den}]}", "3:30: tools.t.rules[0].action: expected one of allow, deny, require_approval, got 'den', did you mean 'deny'?"),
        (
            "{rules: [{action: deny}], reason: x}",
            "3:38: tools.t.reason: not allowed beside 'rules', where only arguments, require, continuations, strict_arguments are",
        ),
        ("{action: allow, rate_limit: 10}", f"3:40: tools.t.rate_limit: {RATE} 10"),
        ("{action: allow, rate_limit: 10/min}", f"3:40: tools.t.rate_limit: {RATE} '10/min'"),
        ("{action: allow, rate_limit: [3]}", "3:41: tools.t.rate_limit[0]: expected 10/minute or {max, window}, got 3"),
        (
            "{action: allow, rate_limit: {max: 0, window: 60}}",
            "3:46: tools.t.rate_limit.max: expected a whole number from 1 to 1000000000, got 0",
        ),
        (
            "{action: allow, rate_limit: {max: 1, window: 1w}}",
            "3:57: tools.t.rate_limit.window: expected seconds (1 or more), or a duration such as 30s, 5m, 1h, 1d, got '1w'",
        ),
        (
            "{action: allow, rate_limit: {max: 1, window: 1, per: [sesion]}}",
            "3:66: tools.t.rate_limit.per[0]: expected one of session, principal, client, server, tool, args.NAME, got 'sesion', did you mean 'session'?",
        ),
        (
            "{action: allow, rate_limit: {max: 1, window: 1, per: [tool, tool]}}",
            "3:72: tools.t.rate_limit.per[1]: 'tool' is listed twice",
        ),
        ("{action: allow, when: true}", "3:34: tools.t.when: expected text that is not empty, got true"),
        ("{action: allow, principals: alice}", '3:40: tools.t.principals: expected a list such as ["group:dba", alice], got \'alice\''),
        ("{action: allow, arguments: []}", "3:39: tools.t.arguments: expected a JSON Schema, which is a mapping, got an empty list"),
        ("{action: allow, strict_arguments: yes please}", "3:46: tools.t.strict_arguments: expected true or false, got 'yes please'"),
        # limits and approvals
        (
            '{action: allow, rate_limit: {max: 1, window: 1, cost: 0}}',
            '3:66: tools.t.rate_limit.cost: expected a number above 0, or CEL that gives one, got 0',
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, cost: -1}}',
            '3:66: tools.t.rate_limit.cost: expected a number above 0, or CEL that gives one, got -1',
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, cost: true}}',
            '3:66: tools.t.rate_limit.cost: expected a number above 0, or CEL that gives one, got true',
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, cost: [1]}}',
            '3:66: tools.t.rate_limit.cost: expected a number above 0, or CEL that gives one, got a list',
        ),
        (
            "{action: allow, rate_limit: {max: 1, window: 1, cost: ''}}",
            "3:66: tools.t.rate_limit.cost: expected a number above 0, or CEL that gives one, got ''",
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, cost: 1000000001}}',
            '3:66: tools.t.rate_limit.cost: expected a number above 0, or CEL that gives one, got 1000000001',
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, cost: 0.0}}',
            '3:66: tools.t.rate_limit.cost: expected a number above 0, or CEL that gives one, got 0.0',
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, burst: 0}}',
            '3:67: tools.t.rate_limit.burst: expected a whole number from 1 to 1000000000, got 0',
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, burst: 1.5}}',
            '3:67: tools.t.rate_limit.burst: expected a whole number from 1 to 1000000000, got 1.5',
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, algorithm: leaky}}',
            "3:71: tools.t.rate_limit.algorithm: expected one of sliding_window, fixed_window, token_bucket, got 'leaky'",
        ),
        (
            '{action: allow, rate_limit: {max: 1, window: 1, on_store_error: open}}',
            "3:76: tools.t.rate_limit.on_store_error: expected one of local, deny, allow, got 'open'",
        ),
        (
            '{action: require_approval, approval: {uses: 0}}',
            '3:56: tools.t.approval.uses: expected a whole number from 1 to 1000000, got 0',
        ),
        (
            '{action: require_approval, approval: {reason_required: 1}}',
            '3:67: tools.t.approval.reason_required: expected true or false, got 1',
        ),
        (
            '{action: require_approval, approval: {remember: 1w}}',
            "3:60: tools.t.approval.remember: expected seconds (1 or more), or a duration such as 30s, 5m, 1h, 1d, got '1w'",
        ),
        (
            '{action: require_approval, approval: {by: []}}',
            '3:54: tools.t.approval.by: expected group:NAME, an id, or a list of these, got an empty list',
        ),
        (
            "{action: require_approval, approval: {by: ''}}",
            "3:54: tools.t.approval.by: expected group:NAME, an id, or a list of these, got ''",
        ),
        (
            "{action: require_approval, approval: {by: ['']}}",
            "3:55: tools.t.approval.by[0]: expected group:NAME or an id, got ''",
        ),
        (
            '{action: require_approval, approval: {approvers: [5]}}',
            '3:62: tools.t.approval.approvers[0]: expected group:NAME or an id, got 5',
        ),
        (
            '{action: require_approval, approval: {aprovers: [a]}}',
            "3:50: tools.t.approval.aprovers: unknown key 'aprovers', did you mean 'approvers'?",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_in_a_block_is_said_at_its_place(block: str, expected: str) -> None:
    found = check(f"{HEAD}tools: {{t: {block}}}")
    assert found == [f"p.yaml:{expected}"]


def test_a_mistyped_key_that_is_required_is_said_twice_at_both_places() -> None:
    assert check(f"{HEAD}tools: {{t: {{action: allow, require: [{{exp: x}}]}}}}") == [
        "p.yaml:3:38: tools.t.require[0]: missing key 'expr', expected a CEL expression",
        "p.yaml:3:39: tools.t.require[0].exp: unknown key 'exp', did you mean 'expr'?",
    ]


def test_all_problems_are_reported_in_the_order_of_the_file() -> None:
    text = "version: 2\ntools:\n  a: alow\n  b: {acton: allow}\nprompts: x\n"
    assert check(text) == [
        "p.yaml:1:10: version: expected 1, got 2",
        f"p.yaml:3:6: tools.a: {BLOCK} 'alow', did you mean 'allow'?",
        "p.yaml:4:3: tools.b: missing key 'action', expected one of allow, deny, require_approval",
        "p.yaml:4:7: tools.b.acton: unknown key 'acton', did you mean 'action'?",
        "p.yaml:5:10: prompts: expected a mapping from prompt names to rules, got 'x'",
    ]


def test_thousands_of_problems_end_with_a_word_that_there_are_more() -> None:
    names = "".join(f"  t{n}: 5\n" for n in range(3_000))
    found = check(f"version: 1\ntools:\n{names}")
    assert len(found) == 1_001
    assert found[-1] == "p.yaml: and more than these 1000 problems"


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_the_schema_is_json_schema_and_knows_every_key_of_the_example() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    editor = jsonschema_rs.Draft202012Validator(SCHEMA, offline=True)
    assert editor.is_valid(parse(EVERYTHING.encode(), "p.yaml").value)


def test_every_key_that_a_person_writes_is_described_for_editors() -> None:
    kinds = [SCHEMA, *(SCHEMA["$defs"][name] for name in ("ruled_block", "rule", "limit", "shared_limit", "approval"))]
    for kind in kinds:
        for name, node in kind["properties"].items():
            target = SCHEMA["$defs"].get(node.get("$ref", "").rpartition("/")[2], {})
            assert "description" in node or "description" in target or name == "action"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(child, (*path, key))


BASE: dict[str, Any] = parse(EVERYTHING.encode(), "p.yaml").value
PLACES = list(places(BASE))
TEXTS = ["allow", "deny", "", "x", "10/minute", "5m", "token_bucket", "args.a", "*", "/x"]
NUMBERS = [0, 1, -1, 1.5, 2.0, 10**10, True, False]
LISTS: list[Any] = [[], ["a"], ["a", "a"], [1]]
RULES: list[Any] = [{}, {"action": "allow"}, {"rules": [{"action": "deny"}]}, {"continuations": "allow"}]
OTHERS: list[Any] = [
    {"expr": "x"},
    {"max": 1, "window": 1},
    {"host": "h"},
    {"action": "deny", "strict_arguments": True},
]
VALUES = st.sampled_from([*TEXTS, *NUMBERS, *LISTS, *RULES, *OTHERS])
EDITS = st.tuples(st.sampled_from(PLACES[1:]), st.sampled_from(["set", "delete", "add"]), VALUES)


def edited(edits: list[tuple[tuple[Any, ...], str, Any]]) -> dict[str, Any]:
    whole = copy.deepcopy(BASE)
    for path, what, value in edits:
        parent: Any = whole
        for part in path[:-1]:
            found = parent[part : part + 1] if isinstance(parent, list) and isinstance(part, int) else None
            parent = found[0] if found else parent.get(part) if isinstance(parent, dict) else None
        key = path[-1]
        if isinstance(parent, list):
            if what == "add":
                parent.append(copy.deepcopy(value))
            elif isinstance(key, int) and key < len(parent):
                parent[key] = copy.deepcopy(value)
        elif isinstance(parent, dict):
            if what == "delete":
                parent.pop(key, None)
            else:
                parent[f"{key}_" if what == "add" else key] = copy.deepcopy(value)
    return whole


@given(st.lists(EDITS, max_size=4), st.booleans())
def test_whatever_the_validator_refuses_is_explained_and_nothing_else(
    edits: list[tuple[tuple[Any, ...], str, Any]], without_next: bool
) -> None:
    value = edited(edits)
    if without_next:
        value.pop("categories", None)
        value.pop("limits", None)
    document = parse(json.dumps(value).encode(), "p.yaml")
    explained = list(schema._Walk(document).node(SCHEMA, (), document.value))
    assert bool(explained) == (not schema._judge().is_valid(document.value))
    assert schema.check(document) == sorted(explained)


def test_what_the_walk_cannot_explain_is_told_in_the_words_of_the_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema._Walk, "node", lambda *_: iter(()))
    assert check("version: 2") == ["p.yaml:1:10: version: 1 was expected"]
