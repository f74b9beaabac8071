"""Limits of a file: what does not load and what is said about it, what is warned of, and what comes of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from authz.model import Algorithm, Limit, OnStoreError, TargetKind
from authz.policy.compile.file import PolicyContext, compile_file
from authz.policy.rules import Compiled

CONTEXT = PolicyContext(claims={"corp": {"tier": "string", "weight": "number"}}, request_headers=frozenset(["x-units"]))
AMOUNT = "arguments: {properties: {amount: {type: number}, who: {type: string}}, required: [amount, who]}"


def load(text: str, file: str = "bank.yaml") -> Compiled:
    return compile_file(file, f"version: 1\n{text}\n".encode(), CONTEXT)


def problems(text: str, file: str = "bank.yaml") -> list[str]:
    return [f"{one.path}: {one.message}" for one in load(text, file).problems]


def warnings(text: str, file: str = "bank.yaml") -> list[str]:
    found = load(text, file)
    assert not found.problems
    return [f"{one.path}: {one.message}" for one in found.warnings]


def rule(cost: str, arguments: str = AMOUNT) -> str:
    return f"tools: {{pay: {{action: allow, {arguments}, rate_limit: {{max: 10, window: 60, cost: {cost}}}}}}}"


def limit(raw: str) -> Limit:
    found = load(f"tools: {{pay: {{action: allow, rate_limit: {{max: 10, window: 60{raw}}}}}}}")
    assert found.policy is not None, found.problems
    (block,) = found.policy.sections[TargetKind.TOOL].find("pay")
    return block.rules[0].limits[0].limit


def test_a_limit_counts_in_a_sliding_window_unless_it_says_otherwise() -> None:
    plain = limit("")
    assert (plain.algorithm, plain.burst, plain.on_store_error) == (Algorithm.SLIDING_WINDOW, 0, OnStoreError.LOCAL)
    assert limit(", algorithm: fixed_window").algorithm is Algorithm.FIXED_WINDOW
    assert limit(", algorithm: fixed_window").burst == 0


def test_a_token_bucket_holds_max_unless_it_says_otherwise() -> None:
    assert limit(", algorithm: token_bucket").burst == 10
    assert limit(", algorithm: token_bucket, burst: 3").burst == 3
    assert limit(", algorithm: token_bucket, burst: 300").burst == 300


@pytest.mark.parametrize("algorithm", ["", ", algorithm: sliding_window", ", algorithm: fixed_window"])
def test_burst_is_for_token_buckets_only(algorithm: str) -> None:
    text = f"tools: {{pay: {{action: allow, rate_limit: {{max: 10, window: 60, burst: 5{algorithm}}}}}}}"
    assert problems(text) == ["tools.pay.rate_limit.burst: expected only beside algorithm: token_bucket"]


def test_a_limit_of_cost_denies_while_the_store_is_away_unless_it_says_otherwise() -> None:
    assert limit(", cost: 2").on_store_error is OnStoreError.DENY
    assert limit(", cost: 2, on_store_error: local").on_store_error is OnStoreError.LOCAL
    assert limit(", on_store_error: allow").on_store_error is OnStoreError.ALLOW


@pytest.mark.parametrize("name", ["", ", name: spend"])
def test_another_algorithm_or_window_is_another_counter_and_another_burst_or_cost_is_not(name: str) -> None:
    bucket = limit(f", algorithm: token_bucket{name}").key
    assert limit(f", algorithm: token_bucket, burst: 3, cost: 2, on_store_error: allow{name}").key == bucket
    assert len({bucket, limit(name).key, limit(f", algorithm: fixed_window{name}").key}) == 3
    wider = load(f"tools: {{pay: {{action: allow, rate_limit: {{max: 10, window: 61{name}}}}}}}").policy
    assert wider is not None
    (block,) = wider.sections[TargetKind.TOOL].find("pay")
    assert block.rules[0].limits[0].limit.key != limit(name).key


NO_TYPE = "has no declared type; add arguments: {properties: {amount: {type: number}}}"
REFUSED = [
    (rule("args.amount", "reason: x"), [f"tools.pay.rate_limit.cost: args.amount {NO_TYPE}"]),
    (rule("args.amount * 2.0", "reason: x"), [f"tools.pay.rate_limit.cost: args.amount {NO_TYPE}"]),
    (rule("args.who"), ["tools.pay.rate_limit.cost: args.who is declared string, but a cost needs number"]),
    (rule("args.who + 'x'"), ["tools.pay.rate_limit.cost: expected a number as the result, got string"]),
    (rule("args.amount > 3.0"), ["tools.pay.rate_limit.cost: expected a number as the result, got boolean"]),
    (rule("now"), ["tools.pay.rate_limit.cost: expected a number as the result, got timestamp"]),
    (rule("\"'5'\""), ["tools.pay.rate_limit.cost: expected a number as the result, got string"]),
    (rule("amount"), ["tools.pay.rate_limit.cost: column 1: unknown name 'amount'; did you mean args.amount?"]),
    (rule("args.amount +"), ["tools.pay.rate_limit.cost: column 14: syntax error: unexpected end"]),
    (rule("' '"), ["tools.pay.rate_limit.cost: expected a CEL expression, got ' '"]),
    (
        rule("principal.claims.level"),
        [
            (
                "tools.pay.rate_limit.cost: principal.claims.level has no type; "
                "add claims: {level: string} to the identity source"
            )
        ],
    ),
    *(
        (rule(text), [f"tools.pay.rate_limit.cost: expected a finite number above 0 and below 2^53, got {shown!r}"])
        for text, shown in [
            ("'0'", "0"),
            ("'-1'", "-1"),
            ("'0.0'", "0.0"),
            ("'1.0 / 0.0'", "1.0 / 0.0"),
            ("'9007199254740992'", "9007199254740992"),
            ("1 / 0", "1 / 0"),
        ]
    ),
    # over several tools
    (
        "limits: [{max: 1, window: 60, cost: args.amount}]",
        ["limits[0].cost: args.amount needs tools: only their arguments have declared types"],
    ),
    (
        "limits: [{max: 1, window: 60, cost: 'args.amount + nobody'}]",
        ["limits[0].cost: column 15: unknown name 'nobody'"],
    ),
    (
        (
            f"tools: {{a: {{action: allow, {AMOUNT}}}, b: allow}}\n"
            "limits: [{max: 1, window: 60, tools: [a, b, c], cost: args.amount}]"
        ),
        [f"limits[0].cost: in tools.b, args.amount {NO_TYPE}", f"limits[0].cost: in tools.c, args.amount {NO_TYPE}"],
    ),
    (
        (
            f"tools: {{a: {{rules: [{{principals: [x], action: allow, {AMOUNT}}}, {{action: allow}}]}}}}\n"
            "limits: [{max: 1, window: 60, tools: [a], cost: args.amount}]"
        ),
        [f"limits[0].cost: in tools.a, args.amount {NO_TYPE}"],
    ),
    (
        (
            f"tools: {{'pay_*': {{action: allow, {AMOUNT}}}, pay_x: allow, 'pay_y*': allow, other: allow}}\n"
            "limits: [{max: 1, window: 60, tools: ['pay_*'], cost: args.amount, per: args.who}]"
        ),
        [
            "limits[0].per: args.who has no declared type in tools.pay_x; add it to the arguments there",
            "limits[0].per: args.who has no declared type in tools.pay_y*; add it to the arguments there",
            f"limits[0].cost: in tools.pay_x, args.amount {NO_TYPE}",
            f"limits[0].cost: in tools.pay_y*, args.amount {NO_TYPE}",
        ],
    ),
    (
        (
            f"tools: {{'pay_eu*': {{action: allow, {AMOUNT}}}}}\ndefault: allow\n"
            "limits: [{max: 1, window: 60, tools: ['pay_*'], cost: args.amount}]"
        ),
        [f"limits[0].cost: in tools.pay_*, args.amount {NO_TYPE}"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), REFUSED)
def test_a_cost_that_could_be_anything_does_not_load(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


LOADS = [
    rule("args.amount"),
    rule("\"args['amount']\""),
    rule("2.5"),
    rule("'2u'"),
    rule("double(args.amount) * 2.0"),
    rule("principal.claims.weight"),
    "tools: {pay: allow}\nlimits: [{max: 1, window: 60, cost: \"'dba' in principal.groups ? 1 : 2\"}]",
    # a rule that denies has nothing to check
    (
        f"tools: {{a: {{rules: [{{principals: [x], action: allow, {AMOUNT}}}, {{action: deny}}]}}}}\n"
        "limits: [{max: 1, window: 60, tools: [a], cost: args.amount}]"
    ),
    # globs that cross apply together, and so does what they check
    (
        f"tools: {{'pay_*': {{action: allow, {AMOUNT}}}, '*_x': deny}}\n"
        "limits: [{max: 1, window: 60, tools: ['pay_*', pay_x], cost: args.amount}]"
    ),
    # an outer glob governs none of these names
    (
        f"tools: {{'pay_*': {{action: allow, {AMOUNT}}}, '*': allow}}\n"
        "limits: [{max: 1, window: 60, tools: ['pay_*'], cost: args.amount}]"
    ),
]


@pytest.mark.parametrize("text", LOADS)
def test_a_cost_whose_arguments_are_checked_in_every_rule_loads(text: str) -> None:
    assert problems(text) == []


def test_a_cost_of_a_file_whose_tools_do_not_compile_is_not_told_twice() -> None:
    text = (
        f"tools: {{a: {{action: alow, {AMOUNT}}}}}\n"
        "limits: [{max: 1, window: 60, tools: [a], cost: args.amount, per: args.who}]"
    )
    assert problems(text) == [
        "tools.a.action: expected one of allow, deny, require_approval, got 'alow', did you mean 'allow'?"
    ]


class TestBaselines:
    """A block of a baseline may abstain: then what its rules check was not checked."""

    LIMIT = "limits: [{max: 1, window: 60, tools: [pay], cost: args.amount}]"
    MISSING: tuple[str, ...] = (f"limits[0].cost: in tools.pay, args.amount {NO_TYPE}",)

    def problems(self, pay: str, more: str = "") -> tuple[str, ...]:
        return tuple(problems(f"server: '*'\ntools: {{pay: {pay}{more}}}\n{self.LIMIT}", "baseline.yaml"))

    def test_what_is_checked_for_every_call_is_known(self) -> None:
        assert self.problems(f"{{action: allow, {AMOUNT}}}") == ()
        assert self.problems(f"{{action: allow, when: args.amount > 1.0, {AMOUNT}}}") == ()
        assert self.problems(f"{{rules: [{{principals: [x], action: allow}}], {AMOUNT}}}") == ()
        assert self.problems(f"{{rules: [{{principals: [x], action: deny}}, {{action: allow, {AMOUNT}}}]}}") == ()

    def test_what_is_checked_for_some_callers_only_is_not(self) -> None:
        assert self.problems(f"{{principals: [x], action: allow, {AMOUNT}}}") == self.MISSING
        assert self.problems(f"{{rules: [{{principals: [x], action: allow, {AMOUNT}}}]}}") == self.MISSING

    def test_one_block_that_checks_is_enough_where_all_apply(self) -> None:
        assert self.problems(f"{{action: allow, {AMOUNT}}}", ", '*': allow") == ()
        assert self.problems("allow", f", 'p*': {{action: allow, {AMOUNT}}}") == ()


def test_a_cost_that_may_be_left_out_is_warned_of() -> None:
    text = "is not required: a call without it is denied"
    optional = (
        "arguments: {properties: {amount: {type: number}, of: {type: object, properties: {num: {type: integer}}}}}"
    )
    assert warnings(rule("args.amount", optional)) == [f"tools.pay.rate_limit.cost: args.amount {text}"]
    assert warnings(rule("args.amount * 2.0", optional)) == [f"tools.pay.rate_limit.cost: args.amount {text}"]
    assert warnings(rule("args.of.num", optional[:-1] + ", required: [of]}")) == [
        f"tools.pay.rate_limit.cost: args.of.num {text}"
    ]
    assert warnings(rule("'has(args.amount) ? args.amount : 1.0'", optional)) == []
    assert warnings(rule("args.amount")) == []
    shared = "limits: [{max: 1, window: 60, tools: [pay], cost: args.amount}]"
    block = f"tools: {{pay: {{action: allow, {optional}}}}}"
    assert warnings(f"{block}\n{shared}") == [f"limits[0].cost: in tools.pay, args.amount {text}"]


def test_what_a_reference_or_all_of_requires_is_required() -> None:
    nested = (
        "arguments: {$ref: '#/$defs/whole'}, rate_limit: {max: 10, window: 60, cost: args.of.num}}}\n"
        "$defs: {whole: {type: object, allOf: [{type: object, required: [of]}], "
        "properties: {of: {type: object, properties: {num: {type: integer}}, required: [num]}}}}"
    )
    assert warnings(f"tools: {{pay: {{action: allow, {nested}") == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("cost: 11", "tools.pay.rate_limit.cost: is more than max (10): no call ever passes"),
        ("cost: '5 + 6'", "tools.pay.rate_limit.cost: is more than max (10): no call ever passes"),
        (
            "algorithm: token_bucket, burst: 3, cost: 4",
            "tools.pay.rate_limit.cost: is more than burst (3): no call ever passes",
        ),
    ],
)
def test_a_cost_that_never_fits_is_warned_of(raw: str, expected: str) -> None:
    assert warnings(f"tools: {{pay: {{action: allow, rate_limit: {{max: 10, window: 60, {raw}}}}}}}") == [expected]


def test_a_cost_that_fits_the_bucket_is_not_warned_of() -> None:
    raw: Any = "algorithm: token_bucket, burst: 30, cost: 20"
    assert warnings(f"tools: {{pay: {{action: allow, rate_limit: {{max: 10, window: 60, {raw}}}}}}}") == []
