"""Conditions: what does not load and what is said about it, what holds, what fails, and what they may cost."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.model import ANONYMOUS, Call, Message, MessageKind, Principal, Target, TargetKind
from authz.policy.arguments.check import ArgumentsSchema, compile_arguments
from authz.policy.conditions.condition import Condition, Match, Subject, compile_condition
from authz.policy.conditions.types import parse_claim_type
from authz.policy.conditions.work import BUDGET, Budget, Element, Fixed, Looping, Read, Scan, Search, cost

CLAIMS = {"namespaces": "list(string)", "tier": "string", "level": "int", "admin": "bool", "raw": "map"}
HEADERS = frozenset(["x-env"])
ALICE = Principal(
    id="alice",
    issuer="https://idp.example",
    source="corp",
    client_id="agent",
    groups=frozenset(["dba", "apps"]),
    scopes=frozenset(["read"]),
    claims={"namespaces": ["a", "b"], "tier": "gold", "level": 3.0, "admin": True, "unread": object()},
    peer="spiffe://mesh/agent",
    verified=True,
)


def list_of(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
SCHEMA: dict[str, Any] = {
    "properties": {
        **dict.fromkeys(("env", "other", "command"), TEXT),
        **dict.fromkeys(("n", "m"), NUMBER),
        "amount": {"type": "number"},
        "force": FLAG,
        "tags": list_of(TEXT),
        "ids": list_of(NUMBER),
        "more": list_of(NUMBER),
        "rows": list_of({"type": "object", "properties": {"p": TEXT, "cells": list_of(TEXT)}}),
        "options": {"type": "object", "properties": {"force": FLAG, "mode": TEXT}},
        "labels": {"type": "object"},
        "either": {"type": ["string", "integer"]},
        "both": {"type": ["array", "object"]},
        "untyped": {},
    }
}


def schema() -> ArgumentsSchema:
    arguments, problems, _ = compile_arguments(SCHEMA, {})
    assert problems == []
    assert arguments is not None
    return arguments


TYPES = [schema()]


def condition(text: str) -> Condition:
    compiled, problems = compile_condition(text, TYPES, claims=CLAIMS, headers=HEADERS)
    assert problems == []
    assert compiled is not None
    return compiled


def problems_of(text: Any, types: list[ArgumentsSchema] | None = None) -> list[str]:
    compiled, problems = compile_condition(text, TYPES if types is None else types, claims=CLAIMS, headers=HEADERS)
    assert compiled is None
    return problems


def subject(arguments: Mapping[str, Any], principal: Principal = ALICE, **changes: Any) -> Subject:
    target = Target(TargetKind.TOOL, "set_value")
    message = Message(MessageKind.REQUEST, "tools/call", 1, (target,), arguments)
    asked: dict[str, Any] = {
        "session": "s-1",
        "address": "192.0.2.1",
        "host": "mcp.example",
        "path": "/mcp",
        "headers": {"x-env": "prod", "x-secret": "s"},
        "now": 1_700_000_000.0,
    }
    return Subject(Call("valkey", message, principal, **(asked | changes)), target)


def ask(text: str, arguments: Mapping[str, Any] | None = None, principal: Principal = ALICE, **changes: Any) -> Match:
    return condition(text).evaluate(subject(arguments or {}, principal, **changes))


# ---------------------------------------------------------------------------------------------- what does not load


def test_an_argument_without_a_declared_type_does_not_load_and_the_problem_shows_what_to_add() -> None:
    def missing(path: str, declaration: str) -> str:
        return f"{path} has no declared type; add arguments: {declaration}"

    assert problems_of("args.envv == 'prod'") == [missing("args.envv", "{properties: {envv: {type: string}}}")]
    assert problems_of("args.size > 3") == [missing("args.size", "{properties: {size: {type: integer}}}")]
    assert problems_of("args.size > 3.5") == [missing("args.size", "{properties: {size: {type: number}}}")]
    assert problems_of("!args.sure") == [missing("args.sure", "{properties: {sure: {type: boolean}}}")]
    assert problems_of("args.untyped == 'x'") == [missing("args.untyped", "{properties: {untyped: {type: string}}}")]
    assert problems_of("has(args.nope)") == [missing("args.nope", "{properties: {nope: {type: string}}}")]
    assert problems_of("args.who in ['a', 'b']") == [missing("args.who", "{properties: {who: {type: string}}}")]
    assert problems_of("'x' in args.list") == [
        missing("args.list", "{properties: {list: {type: array, items: {type: string}}}}")
    ]
    assert problems_of("args.opts.force") == [
        missing("args.opts.force", "{properties: {opts: {type: object, properties: {force: {type: boolean}}}}}")
    ]
    assert problems_of("args.list.all(x, x.p == 1)") == [
        missing(
            "args.list[].p",
            "{properties: {list: {type: array, items: {type: object, properties: {p: {type: integer}}}}}}",
        )
    ]
    assert problems_of("args['odd name'] == 'x'") == [
        missing('args["odd name"]', '{properties: {"odd name": {type: string}}}')
    ]
    assert problems_of("args.env == 'prod'", []) == [missing("args.env", "{properties: {env: {type: string}}}")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("args.env == 1", "args.env is declared string, but is compared with 1"),
        ("args.env == ['prod']", "args.env is declared string, but is compared with a list"),
        ("'true' != args.force", 'args.force is declared boolean, but is compared with "true"'),
        ("args.n < 'a'", 'args.n is declared integer, but is compared with "a"'),
        ("args.n in [1, 'a']", 'args.n is declared integer, but is compared with "a"'),
        ("1 in args.tags", "args.tags[] is declared string, but is compared with 1"),
        (
            "args.env in args.ids",
            "args.env is declared string, but is compared with args.ids[], which is declared integer",
        ),
        ("args.tags.exists(t, t == 1)", "args.tags[] is declared string, but is compared with 1"),
        ("args.rows.map(r, r.p).exists(p, p == 1)", "args.rows[].p is declared string, but is compared with 1"),
        ("args.rows.filter(r, r.p == 'a')[0].p == 1", "args.rows[].p is declared string, but is compared with 1"),
        ("args.env == args.n", "args.env is declared string, but is compared with args.n, which is declared integer"),
        ("args.n == principal.id", "args.n is declared integer, but is compared with string"),
        ("dyn(args.env) == 1", "args.env is declared string, but is compared with 1"),
        ("args.env == null", "args.env is declared string, but is compared with null"),
        ("args.n.startsWith('a')", "args.n is declared integer, but startsWith needs string"),
        ("args.n", "args.n is declared integer, but a condition needs boolean"),
        ("!args.env", "args.env is declared string, but ! needs boolean"),
        ("args.env.all(c, c == 'a')", "args.env is declared string, but a loop needs array or object"),
        ("args.both.all(x, true)", "args.both is declared array or object, but a loop needs to know which of the two"),
        ("args.size() == 1", "args is read as a whole; name the member, as in args.NAME"),
        ("args.labels[args.env] == 1", "a member's name must be a constant: only then its type is known"),
        ("args.env + 'x'", "expected true or false as the result, got string"),
        ("size(args.env)", "expected true or false as the result, got number"),
        ("args.env.matches(args.other)", "the pattern of matches must be a constant string"),
        ("args.env.matches('(')", "RE2 refuses the pattern '(': missing ): ("),
        ("args.env.matches('a{1001}')", "RE2 refuses the pattern 'a{1001}': invalid repetition size: {1001}"),
        ("now.getHours(args.env) == 1", "the time zone of getHours must be a constant"),
        ("args.tags.all(args, args == 'a')", "the loop variable args hides the variable of the same name"),
        ("principal.groups[0] == 'dba'", "principal.groups has no order; use in or exists"),
        ("principal.claims == {}", "principal.claims is read as a whole; name the member, as in principal.claims.NAME"),
        (
            "principal.claims.nope == 'a'",
            "principal.claims.nope has no type; add claims: {nope: string} to the identity source",
        ),
        (
            "principal.claims.namespaces == 'a'",
            'principal.claims.namespaces is declared array, but is compared with "a"',
        ),
        (
            "1 in principal.claims.namespaces",
            "an item of principal.claims.namespaces is declared string, but is compared with 1",
        ),
        (
            "request.headers['x-secret'] == 's'",
            'request.headers["x-secret"] is not one of the headers that conditions may read; the settings list x-env',
        ),
        (
            "catalog.risk == 'high'",
            "catalog.risk is compared with 'high', expected one of Low, Medium, High, Critical, did you mean 'High'?",
        ),
        (
            "catalog.risk in ['High', 'Worst']",
            "catalog.risk is compared with 'Worst', expected one of Low, Medium, High, Critical",
        ),
        (
            "catalog.risk >= 'High'",
            "catalog.risk has no order, it would be that of the alphabet; use in ['High', 'Critical']",
        ),
        (
            "'read' in catalog.categories",
            (
                "an item of catalog.categories is compared with 'read', "
                "expected one of Read, Write, Execute, Destructive, Financial, Unknown, did you mean 'Read'?"
            ),
        ),
        (
            "catalog.categories.exists(c, c == 'Wrote')",
            (
                "an item of catalog.categories is compared with 'Wrote', "
                "expected one of Read, Write, Execute, Destructive, Financial, Unknown, did you mean 'Write'?"
            ),
        ),
        ("catalog.categories[0] == 'Read'", "catalog.categories has no order; use in or exists"),
        (
            "catalog.annotations == {}",
            "catalog.annotations is read as a whole; name the member, as in catalog.annotations.NAME",
        ),
        (
            "catalog.annotations.readonlyHint",
            (
                "catalog.annotations.readonlyHint is none of MCP's hints: "
                "readOnlyHint, destructiveHint, idempotentHint, openWorldHint, did you mean 'readOnlyHint'?"
            ),
        ),
        (
            "catalog.annotations.readOnlyHint == 'true'",
            'catalog.annotations.readOnlyHint is declared boolean, but is compared with "true"',
        ),
        ("google.protobuf.Timestamp{seconds: 1} == now", "message literals are not supported"),
        ("env == 'prod'", "column 1: unknown name 'env'; did you mean args.env?"),
        ("principal.idd == 'x'", "column 10: unknown name 'principal.idd'; did you mean principal.id?"),
        ("target == 'x'", "column 1: unknown name 'target'; name one of target.kind, target.name"),
        ("args.env.startswith('a')", "column 20: unknown name 'startswith'; did you mean startsWith?"),
        ("args.env == ", "column 13: syntax error: unexpected end"),
        ("principal.id == 1", "column 14: == cannot be applied to (string, int)"),
        (
            " + ".join(["args.env"] * 60) + " == 'a'",
            "nested too deeply: CEL takes at most 32 levels, and a chain of + is as deep as it is long",
        ),
        ("x" * 5000, "an expression has at most 4096 characters, got 5000"),
        ("  ", "expected a CEL expression, got '  '"),
        (True, "expected a CEL expression, got True"),
    ],
)
def test_a_condition_that_would_surprise_does_not_load(text: Any, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_every_problem_is_told_at_once_with_line_and_column() -> None:
    assert problems_of("args.env == 'é' && foo\n && bar") == [
        "column 20: unknown name 'foo'",
        "line 2, column 5: unknown name 'bar'",
    ]
    assert problems_of("args.foo == 'a' && args.n == 'b'") == [
        'args.n is declared integer, but is compared with "b"',
        "args.foo has no declared type; add arguments: {properties: {foo: {type: string}}}",
    ]


def test_an_expression_that_is_too_much_work_on_nothing_does_not_load() -> None:
    numbers = f"[{', '.join('1' * 100)}]"
    nested = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, a + b + c > 0)))"
    assert problems_of(nested) == ["the expression is too much work for one call, whatever the arguments are"]


def test_what_is_declared_in_any_of_several_schemas_may_be_read() -> None:
    more, _, _ = compile_arguments({"properties": {"zone": {"type": "string"}}}, {})
    assert more is not None
    compiled, problems = compile_condition(
        "args.env == 'a' && args.zone == 'b'", [*TYPES, more], claims={}, headers=frozenset()
    )
    assert (compiled is not None, problems) == (True, [])


def test_claim_types_are_read_from_the_settings() -> None:
    assert parse_claim_type("list(list(int))").kinds == {"array"}
    with pytest.raises(
        ValueError, match=r"^expected string, int, number, bool, map or list\(…\) of these, got 'text'$"
    ):
        parse_claim_type("text")


# --------------------------------------------------------------------------------------------- what holds, what fails


@pytest.mark.parametrize(
    ("text", "arguments", "match"),
    [
        ("args.env == 'prod'", {"env": "prod"}, Match.YES),
        ("args.env == 'prod'", {"env": "dev"}, Match.NO),
        ("args.env == 'prod'", {}, Match.FAILED),
        ("args.env != 'prod'", {}, Match.FAILED),
        ("has(args.env) && args.env == 'prod'", {}, Match.NO),
        ("args.force", {"force": True}, Match.YES),
        ("args.force", {"force": False}, Match.NO),
        ("args.force", {"force": 1}, Match.FAILED),
        ("args.force", {"force": "true"}, Match.FAILED),
        ("args.force", {"force": None}, Match.FAILED),
        ("args.n == 1", {"n": 1.0}, Match.YES),
        ("args.n == 1", {"n": True}, Match.NO),
        ("args.n == 9007199254740993", {"n": 9007199254740993}, Match.YES),
        ("args.n == 9007199254740993", {"n": 9007199254740992}, Match.NO),
        ("args.n == 9007199254740993", {"n": 9007199254740992.0}, Match.FAILED),
        ("args.n > 0", {"n": 2**70}, Match.FAILED),
        ("args.n > 0", {"n": 10**4000}, Match.FAILED),
        ("args.amount > 0.5", {"amount": math.inf}, Match.FAILED),
        ("args.amount > 0.5", {"amount": math.nan}, Match.FAILED),
        ("args.amount > 0.5", {"amount": 0.75}, Match.YES),
        ("args.n + 1 > 9", {"n": 2**63 - 1}, Match.FAILED),
        ("args.n / args.m == 1", {"n": 1, "m": 0}, Match.FAILED),
        ("args.env == 'a'", {"env": "\ud800"}, Match.FAILED),
        ("args.options.force == false", {"options": {"force": False, "huge": ["x"] * 10**6}}, Match.YES),
        ("args.options.force == false", {"options": "x"}, Match.FAILED),
        ("args.options.force == false", {"options": None}, Match.FAILED),
        ("args.env == 'a' || args.options.force", {"env": "a", "options": []}, Match.YES),
        ("args.options == {'force': true} && args.options.force", {"options": {"force": True}}, Match.YES),
        ("args.command == 'DEL' ? args.tags.all(k, k.startsWith('app:')) : args.force", {"command": "X"}, Match.FAILED),
        ("args.tags.all(k, k.startsWith('app:'))", {"tags": ["app:1", "app:2"]}, Match.YES),
        ("args.tags.all(k, k.startsWith('app:'))", {"tags": ["app:1", "sys:2"]}, Match.NO),
        ("args.tags[0].startsWith('app:')", {"tags": []}, Match.FAILED),
        ("args.tags[args.n] == 'b'", {"tags": ["a", "b"], "n": 1}, Match.YES),
        ("args.rows.all(r, r.cells.all(c, c != r.p))", {"rows": [{"p": "a", "cells": ["b"]}]}, Match.YES),
        ("args.rows.exists_one(r, r.p == 'a')", {"rows": [{"p": "a"}, {"p": "a"}]}, Match.NO),
        ("args.labels.all(name, name != 'x')", {"labels": {"x": 1}}, Match.NO),
        ("args.env.matches('^a(b|c)+$')", {"env": "abcbc"}, Match.YES),
        ("args.env.matches('^a$')", {"env": "a\n"}, Match.NO),
        ("type(args.either) == string", {"either": "a"}, Match.YES),
        (".args.env == 'a'", {"env": "a"}, Match.YES),
        ("args.ids.map(i, i * 2).exists(i, i == 4)", {"ids": [1, 2]}, Match.YES),
    ],
)
def test_only_true_is_yes_only_false_is_no_and_the_rest_has_failed(
    text: str, arguments: dict[str, Any], match: Match
) -> None:
    assert ask(text, arguments) is match


@pytest.mark.parametrize("value", [["prod"], {"prod": 1}, 1, None, True, "\uff50rod", "prod\n"])
def test_another_type_never_satisfies_a_comparison(value: Any) -> None:
    assert ask("args.env == 'prod'", {"env": value}) is Match.NO  # the schema has denied what is no string before


@pytest.mark.parametrize(
    "text",
    [
        "target.kind == 'tool' && target.name == 'set_value'",
        "method == 'tools/call' && server == 'valkey'",
        "principal.id == 'alice' && principal.issuer == 'https://idp.example' && principal.client_id == 'agent'",
        "'dba' in principal.groups && principal.scopes.exists(s, s == 'read')",
        "principal.claims.tier == 'gold' && 'a' in principal.claims.namespaces && principal.claims.admin",
        "principal.claims.level == 3 && principal.claims.level + 1 == 4 && !has(principal.claims.raw)",
        "peer.id == 'spiffe://mesh/agent' && session == 's-1' && source.address == '192.0.2.1'",
        "request.host == 'mcp.example' && request.path == '/mcp' && request.headers['x-env'] == 'prod'",
        "now == timestamp('2023-11-14T22:13:20Z') && now.getHours('Europe/Berlin') == 23",
        "!continuation",
    ],
)
def test_every_variable_says_what_the_call_says(text: str) -> None:
    assert ask(text) is Match.YES


@pytest.mark.parametrize(
    "text",
    [
        "principal.id != 'alice'",
        "principal.issuer != 'x'",
        "principal.client_id != 'x'",
        "!('dba' in principal.groups)",
        "!('x' in principal.scopes)",
        "!has(principal.claims.tier)",
        "peer.id != 'x'",
    ],
)
def test_what_is_not_known_of_a_caller_fails_instead_of_being_empty(text: str) -> None:
    assert ask(text, principal=ANONYMOUS) is Match.FAILED
    assert ask(f"method == 'tools/call' || {text}", principal=ANONYMOUS) is Match.YES


def test_groups_that_the_token_does_not_carry_are_undecidable() -> None:
    lacking = Principal(id="bob", verified=True, absent=frozenset(["groups"]))
    assert ask("!('dba' in principal.groups)", principal=lacking) is Match.FAILED
    assert ask("!('dba' in principal.groups)", principal=Principal(id="bob", verified=True)) is Match.YES


@pytest.mark.parametrize("claims", [{"tier": ["gold"]}, {"tier": 1}, {"tier": None}])
def test_a_claim_of_another_type_than_declared_fails(claims: dict[str, Any]) -> None:
    bob = Principal(id="bob", verified=True, claims=claims)
    assert ask("principal.claims.tier != 'gold'", principal=bob) is Match.FAILED


def test_an_absent_header_fails() -> None:
    assert ask("request.headers['x-env'] == 'prod'", headers={}) is Match.FAILED


# ------------------------------------------------------------------------------------------------ against a model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["prod", "a", "app:x", 1]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(["force", "p"]), inner),
    max_leaves=10,
)
ARGUMENTS = st.dictionaries(st.sampled_from(sorted(SCHEMA["properties"])), JSON)
MODELS = {
    "args.env == 'prod'": lambda args: args["env"] == "prod",
    "args.force == true": lambda args: args["force"] is True,
    "args.n >= 1 && args.n <= 3600": lambda args: 1 <= args["n"] <= 3600,
    "args.tags.all(t, t.startsWith('app:'))": lambda args: all(tag.startswith("app:") for tag in args["tags"]),
    "args.options.force == false": lambda args: args["options"]["force"] is False,
    "args.env in ['a', 'prod']": lambda args: args["env"] in ("a", "prod"),
}
COMPILED = {text: condition(text) for text in MODELS}


@given(ARGUMENTS, st.sampled_from(sorted(MODELS)))
def test_whatever_is_sent_an_evaluation_gives_a_match_and_yes_only_where_the_model_agrees(
    arguments: dict[str, Any], text: str
) -> None:
    match = COMPILED[text].evaluate(subject(arguments))
    assert match in Match
    if TYPES[0].check(arguments) is None and match is not Match.FAILED:
        assert (match is Match.YES) == MODELS[text](arguments)
    if match is Match.YES and text != "args.n >= 1 && args.n <= 3600":
        assert MODELS[text](arguments)


# ------------------------------------------------------------------------------------------------ what it may cost


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("args.env.contains(args.other)", {"env": "a" * 500_000, "other": "a" * 250_000 + "b"}),
        ("args.ids.filter(i, i in args.more).size() == 0", {"ids": list(range(9000)), "more": list(range(9000))}),
        ("args.ids.map(i, i).size() > 0", {"ids": list(range(5000))}),
        ("args.tags.all(t, args.env.contains(t) || true)", {"tags": ["ab"] * 1000, "env": "a" * 100_000}),
        ("args.tags.map(t, args.env + t).size() > 0", {"tags": ["a"] * 1000, "env": "b" * 8000}),
        ("args.ids.all(i, args.ids.all(j, i + j >= 0))", {"ids": list(range(1000))}),
        ("args.rows.all(r, r.cells.all(c, r.cells.all(d, c == d)))", {"rows": [{"p": "", "cells": ["a"] * 1000}]}),
        ("args.env.matches('a[ab]{300}[^ab]')", {"env": "ab" * 50_000}),
        ("args.env == 'x'", {"env": "a" * (2 << 20)}),
        ("size(args.ids) > 0", {"ids": [0] * 300_000}),
        ("has(args.labels)", {"labels": {str(i): i for i in range(100_000)}}),
        ("size(request.path) > 0", {}),
    ],
)
def test_work_that_would_stall_others_is_refused_before_it_runs(text: str, arguments: dict[str, Any]) -> None:
    compiled = condition(text)
    asked = subject(arguments, path="/" + "a" * (2 << 20))
    assert compiled.evaluate(asked) is Match.FAILED
    with pytest.raises(ValueError, match=r"^too much"):
        compiled.program.plan.gather(asked.call, asked.target)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("args.tags.all(t, t.startsWith('app:'))", {"tags": [f"app:{i}" for i in range(5000)]}),
        ("args.tags.all(t, t.startsWith(args.env))", {"tags": [f"app:{i}" for i in range(2000)], "env": "app:"}),
        ("args.ids.all(i, i in args.more)", {"ids": list(range(200)), "more": list(range(200))}),
        ("args.env.contains('a')", {"env": "a" * 1_000_000}),
        ("args.env.matches('^a')", {"env": "a" * 100_000}),
        ("args.rows.all(r, r.cells.all(c, c != 'x'))", {"rows": [{"p": "", "cells": ["a"] * 5}] * 200}),
    ],
)
def test_work_that_grows_with_what_is_sent_only_is_done(text: str, arguments: dict[str, Any]) -> None:
    assert ask(text, arguments) is Match.YES


def test_members_that_no_condition_names_are_not_handed_over() -> None:
    plan = condition("args.options.force && args.env == 'a' && args.tags[0] == 'b'").program.plan
    asked = subject({"options": {"force": True, "big": 1}, "env": "a", "tags": ["b"], "n": 3})
    assert plan.gather(asked.call, asked.target) == {
        "args": {"options": {"force": True}, "env": "a", "tags": ["b"]},
    }
    whole = condition("args.options == {'force': true} || args.options.force").program.plan
    assert whole.gather(asked.call, asked.target) == {"args": {"options": {"force": True, "big": 1}}}


def test_cost_counts_what_is_read_in_a_loop_once_for_each_element() -> None:
    # for each x of read 0: search x in read 1
    search = Looping(Read(0), Search(Read(1), Element(0)), collects=False)
    assert cost(search, [(1_000, 100), (1_000_000, 0)]) > 100 * 1_000_000
    # x is only looked at: the sum of all x, not their product
    look = Looping(Read(0), Scan((Element(0),)), collects=False)
    assert cost(look, [(1_000, 100)]) < 100_000
    # the inner loop of x.all(y, x.all(z, …)) may find everything in one x
    twice = Looping(Read(0), Looping(Element(0), Looping(Element(0), Scan((Element(2),)), False), False), False)
    assert cost(twice, [(8_000, 1_000)]) > 1_000 * 8_000
    growing = Looping(Read(0), Fixed(), collects=True)
    assert cost(growing, [(8_000, 1_000)]) > 1_000 * 1_000 * 8
    assert Budget([]).spent == 0
    assert BUDGET == 8 * 1024 * 1024


# ------------------------------------------------------------------------------------------- the library's own tree


def test_the_trimmed_syntax_tree_has_the_numbers_and_types_of_cels_own() -> None:
    script = textwrap.dedent(
        """
        from cel.expr import checked_pb2, syntax_pb2
        from authz.policy.conditions.pb import cel_syntax_pb2 as ours

        theirs = {**checked_pb2.DESCRIPTOR.message_types_by_name, **syntax_pb2.DESCRIPTOR.message_types_by_name}

        def name(kind):
            return None if kind is None else kind.full_name.replace("mcpauthz.cel.v1.", "").replace(
                "cel.expr.", "").replace("google.protobuf.", "")

        def compare(mine, other):
            for field in mine.fields:
                same = other.fields_by_name[field.name]
                for trait in ("number", "type", "is_repeated"):
                    assert getattr(field, trait) == getattr(same, trait), (field.full_name, trait)
                assert name(field.message_type) == name(same.message_type), field.full_name
                assert name(field.enum_type) == name(same.enum_type), field.full_name
                assert bool(field.containing_oneof) == bool(same.containing_oneof), field.full_name
            for nested in mine.nested_types:
                compare(nested, other.nested_types_by_name[nested.name])
            for enum in mine.enum_types:
                values = {value.name: value.number for value in other.enum_types_by_name[enum.name].values}
                assert {value.name: value.number for value in enum.values} == values, enum.full_name

        for message in ours.DESCRIPTOR.message_types_by_name.values():
            if message.name != "Empty":
                compare(message, theirs[message.name])
        # a new kind of type or expression must not be mistaken for none
        for message in ("Expr", "Constant"):
            known = ours.DESCRIPTOR.message_types_by_name[message].fields_by_name.keys()
            missing = set(theirs[message].fields_by_name) - set(known)
            assert missing <= {"duration_value", "timestamp_value"}, missing
        print("same")
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.stdout, done.returncode) == ("same\n", 0), done.stderr
