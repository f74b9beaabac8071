"""What a call costs, as an evaluation says it: a finite number above 0, or the call is denied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.model import (
    Call,
    Charge,
    Disclose,
    Effect,
    Evaluation,
    Message,
    MessageKind,
    Principal,
    Reason,
    Step,
    Target,
    TargetKind,
)
from authz.policy.arguments.check import compile_arguments
from authz.policy.compile.file import PolicyContext, compile_file
from authz.policy.conditions.amount import Amount, compile_amount, number
from authz.policy.evaluate import evaluate
from authz.policy.rules import Policy

ALICE = Principal(id="alice", source="corp", groups=frozenset(["dba"]), verified=True)
CANNOT = "the cost of the call could not be evaluated"


def policy(text: str, file: str = "bank.yaml") -> Policy:
    found = compile_file(file, f"version: 1\n{text}\n".encode(), PolicyContext())
    assert found.policy is not None, found.problems
    return found.policy


def ask(
    policy: Policy,
    arguments: Mapping[str, Any],
    *baselines: Policy,
    steps: list[Step] | None = None,
    tool: str = "pay",
    session: str = "",
) -> Evaluation:
    message = Message(MessageKind.REQUEST, "tools/call", 1, (Target(TargetKind.TOOL, tool),), arguments)
    return evaluate(policy, baselines, Call("bank", message, ALICE, session=session), steps)


def costs(found: Evaluation) -> list[float]:
    return [one.cost for one in found.obligations if isinstance(one, Charge)]


ARGUMENTS = "arguments: {properties: {amount: {type: number}, num: {type: integer}, gift: {type: boolean}}}"


def counted(cost: str, arguments: str = ARGUMENTS) -> Policy:
    limit = f"{{max: 100, window: 60, name: spend, cost: {cost}}}"
    return policy(f"tools: {{pay: {{action: allow, reason: why, {arguments}, rate_limit: {limit}}}}}")


@pytest.mark.parametrize(
    ("cost", "arguments", "expected"),
    [
        ("args.amount", {"amount": 7}, 7.0),
        ("args.amount", {"amount": 7.5}, 7.5),
        ("args.amount", {"amount": 5e-324}, 5e-324),
        ("args.amount", {"amount": 2**53 - 1}, 2.0**53 - 1),
        ("args.num", {"num": 3.0}, 3.0),
        ("5", {}, 5.0),
        ("0.5", {}, 0.5),
        ("2 + 3", {}, 5.0),
        ("2u", {}, 2.0),
        ("'has(args.num) ? args.num : 10'", {}, 10.0),
        ("'has(args.num) ? args.num : 10'", {"num": 4}, 4.0),
        ("args.num * 3", {"num": 2}, 6.0),
        ("double(args.amount) * 1.5", {"amount": 2}, 3.0),
        ("\"'dba' in principal.groups ? 1 : 9\"", {}, 1.0),
        ("size(target.name)", {}, 3.0),
    ],
)
def test_a_call_costs_what_the_policy_says(cost: str, arguments: dict[str, Any], expected: float) -> None:
    found = ask(counted(cost), arguments)
    assert found.effect is Effect.ALLOW
    assert costs(found) == [expected]


@pytest.mark.parametrize(
    ("cost", "arguments"),
    [
        ("args.amount", {}),
        ("args.amount", {"amount": 0}),
        ("args.amount", {"amount": -0.0}),
        ("args.amount", {"amount": -1}),
        ("args.amount", {"amount": 2**53}),
        ("args.amount", {"amount": 2.0**53}),
        ("args.amount", {"amount": 2**63}),
        ("args.amount", {"amount": 10**400}),
        ("args.amount", {"amount": 1e300}),
        ("args.amount * 2", {"amount": 2**62}),  # overflows in CEL
        ("args.amount * 2", {"amount": 1.5}),  # a double times an int is an error in CEL
        ("double(args.amount) * 2.0", {"amount": 2**53}),
        ("args.num - 5", {"num": 5}),
        ("args.num - 6", {"num": 5}),
        ("args.num / args.num", {"num": 0}),
        ("double(args.num) / 0.0", {"num": 1}),
        ("double(args.num) / 0.0", {"num": 0}),
        ("'has(args.num) ? args.num : 0'", {}),
        ("'args.gift ? 1 : 0'", {"gift": False}),
        ("'[args.amount, 1.0][args.num]'", {"num": 7, "amount": 1}),
    ],
)
def test_a_cost_that_is_no_finite_number_above_0_denies(cost: str, arguments: dict[str, Any]) -> None:
    steps: list[Step] = []
    found = ask(counted(cost), arguments, steps=steps)
    assert (found.effect, found.reason, found.rule) == (Effect.DENY, Reason.CONDITION_FAILED, "tools.pay")
    assert found.reason_text == CANNOT
    assert found.obligations == ()
    assert steps[-1] == Step("tools.pay.rate_limit[0]", "failed", "cost gives no finite number above 0")


@pytest.mark.parametrize("value", [True, False, "5", None, [5], {"num": 5}, math.nan, math.inf, -math.inf])
def test_a_value_of_another_kind_denies_also_where_its_type_would_let_it_pass(value: Any) -> None:
    loose = "arguments: {properties: {amount: {type: [number, boolean, string, 'null', array, object]}}}"
    for cost in ("args.amount", "dyn(args.amount)"):
        assert ask(counted(cost, loose), {"amount": value}).effect is Effect.DENY


def test_work_beyond_the_budget_denies() -> None:
    listed = "arguments: {properties: {ids: {type: array, items: {type: integer}}}, required: [ids]}"
    pairs = counted("'size(args.ids.filter(i, args.ids.exists(j, j == i)))'", listed)
    assert costs(ask(pairs, {"ids": [1, 2]})) == [2.0]
    assert ask(pairs, {"ids": list(range(20_000))}).reason is Reason.CONDITION_FAILED


def test_the_caller_is_told_which_argument_was_no_cost_and_what_would_be() -> None:
    assert ask(counted("args.amount"), {}).detail == "args.amount: must be a number above 0 and below 2^53"
    assert ask(counted("args.num - 5"), {"num": 1}).detail == ""


def test_explain_shows_what_a_call_costs_and_nothing_of_limits_that_count_calls() -> None:
    steps: list[Step] = []
    ask(counted("args.amount"), {"amount": 0.1}, steps=steps)
    ask(counted("args.amount"), {"amount": 3}, steps=steps)
    ask(counted("4"), {}, steps=steps)
    assert [step for step in steps if "rate_limit" in step.place] == [
        Step("tools.pay.rate_limit[0]", "costs", "0.1"),
        Step("tools.pay.rate_limit[0]", "costs", "3"),
    ]


def test_a_denial_for_a_cost_tells_no_more_than_its_rule_may() -> None:
    hushed = policy(
        f"tools: {{pay: {{action: allow, disclose: code, {ARGUMENTS}, "
        "rate_limit: {max: 1, window: 60, cost: args.amount}}}"
    )
    assert ask(hushed, {}).disclose is Disclose.CODE


SHARED = f"""\
tools: {{pay: {{action: allow, disclose: reason, {ARGUMENTS}}}, other: allow}}
limits:
  - {{name: calls, max: 10, window: 60}}
  - {{name: spend, tools: [pay], max: 10, window: 60, cost: args.amount}}
"""


def test_a_limit_over_tools_charges_the_cost_and_denies_by_its_own_place() -> None:
    several = policy(SHARED)
    steps: list[Step] = []
    assert costs(ask(several, {"amount": 2.5}, steps=steps)) == [1.0, 2.5]
    assert steps[-1] == Step("limits[1]", "costs", "2.5")
    assert costs(ask(several, {"amount": "no number"}, tool="other")) == [1.0]
    found = ask(several, {}, steps=steps)
    assert (found.effect, found.reason, found.rule) == (Effect.DENY, Reason.CONDITION_FAILED, "limits[1]")
    assert (found.target, found.disclose, found.obligations) == ("pay", Disclose.REASON, ())
    assert steps[-1] == Step("limits[1]", "failed", "cost gives no finite number above 0")


BASELINE = f"""\
server: '*'
tools: {{pay: {{action: allow, {ARGUMENTS}}}}}
limits: [{{name: mesh, tools: [pay], max: 10, window: 60, cost: args.amount}}]
"""


def test_a_cost_of_a_baseline_is_owed_too_and_denies_too() -> None:
    plain, baseline = policy("tools: {pay: allow}"), policy(BASELINE, "baseline.yaml")
    assert costs(ask(plain, {"amount": 4}, baseline)) == [4.0]
    found = ask(plain, {"amount": 0}, baseline)
    assert (found.reason, found.rule) == (Reason.CONDITION_FAILED, "limits[0]")


def test_a_cost_of_a_rule_of_a_baseline_denies() -> None:
    limit = "rate_limit: {max: 10, window: 60, cost: args.amount}"
    baseline = policy(f"server: '*'\ntools: {{'p*': {{action: allow, {ARGUMENTS}, {limit}}}}}", "baseline.yaml")
    plain = policy("tools: {pay: allow}")
    assert costs(ask(plain, {"amount": 4}, baseline)) == [4.0]
    assert ask(plain, {}, baseline).rule == "tools.p*"


def test_what_is_denied_anyway_is_not_denied_for_its_cost() -> None:
    both = policy(SHARED.replace("pay: {action: allow", "pay: {action: deny"))
    assert ask(both, {}).reason is Reason.RULE_DENIED


def test_the_cost_of_a_call_that_needs_an_approval_is_owed_with_it() -> None:
    asking = policy(
        f"tools: {{pay: {{action: require_approval, {ARGUMENTS}, "
        "rate_limit: {max: 10, window: 60, cost: args.amount}}}"
    )
    found = ask(asking, {"amount": 4})
    assert len(found.obligations) == 2
    assert costs(found) == [4.0]
    assert ask(asking, {"amount": -4}).reason is Reason.CONDITION_FAILED


# ------------------------------------------------------------------------------------------- whatever an agent sends

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["amount", "num", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
NUMBERS = st.integers() | st.floats() | st.integers(2**53 - 2, 2**53 + 2) | st.sampled_from([0, -0.0, 2**63, 2**64])
COSTS = [
    "args.amount",
    "args.amount + args.num",
    "args.num - 3",
    "double(args.amount) / double(args.num)",
    "'args.amount > 1.0 ? args.amount : args.num'",
]
LOADED = [counted(cost) for cost in COSTS]
UNTYPED = [
    counted(cost, "arguments: {properties: {amount: {type: [number, string, boolean, 'null', array, object]}}}")
    for cost in ("args.amount", "dyn(args.amount)")
]


@given(st.dictionaries(st.sampled_from(["amount", "num"]), NUMBERS | ANYTHING), st.sampled_from([*LOADED, *UNTYPED]))
def test_no_charge_is_ever_anything_but_a_finite_number_above_0(arguments: dict[str, Any], loaded: Policy) -> None:
    found = ask(loaded, arguments)
    if found.effect is Effect.ALLOW:
        (cost,) = costs(found)
        assert type(cost) is float
        assert 0.0 < cost < 2.0**53
        assert math.isfinite(cost)
    else:
        assert found.reason in (Reason.ARGUMENTS_INVALID, Reason.CONDITION_FAILED)
        assert found.obligations == ()


@given(ANYTHING | NUMBERS)
def test_reading_the_argument_itself_gives_what_cel_gives(value: Any) -> None:
    # `dyn` changes nothing but is no plain path
    direct, through_cel = (ask(loaded, {"amount": value}) for loaded in UNTYPED)
    assert (direct.effect, direct.reason, costs(direct)) == (through_cel.effect, through_cel.reason, costs(through_cel))


@given(ANYTHING | NUMBERS)
def test_a_number_that_can_be_a_cost_is_exact(value: Any) -> None:
    found = number(value)
    assert found is None or (found == value and type(value) in (int, float))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("args.a", ("a",)),
        ("args['a']", ("a",)),
        ("args.o.b", ("o", "b")),
        ("args.o['b']", ("o", "b")),
        ("dyn(args.a)", ()),
        ("args.l[0]", ()),
        ("[args.a][0]", ()),
        ("principal.claims.level", ()),
        ("args.a + 1", ()),
    ],
)
def test_only_a_plain_path_is_read_without_cel(text: str, path: tuple[str, ...]) -> None:
    number_ = {"type": "integer"}
    schema, problems, _ = compile_arguments(
        {
            "properties": {
                "a": number_,
                "o": {"type": "object", "properties": {"b": number_}},
                "l": {"type": "array", "items": number_},
            }
        },
        {},
    )
    assert schema is not None, problems
    amount, complaints = compile_amount(text, [schema], claims={"level": "int"}, headers=frozenset())
    assert complaints == []
    assert isinstance(amount, Amount)
    assert amount.path == path
    assert amount.reads_arguments == ("args" in text)


@pytest.mark.parametrize("arguments", [{}, {"o": 5}, {"o": {}}, {"o": None}, {"o": [1]}])
def test_a_path_that_leads_nowhere_denies(arguments: dict[str, Any]) -> None:
    loose = "arguments: {properties: {o: {type: [object, integer, 'null', array], properties: {b: {type: integer}}}}}"
    assert ask(counted("args.o.b", loose), arguments).effect is Effect.DENY
    assert costs(ask(counted("args.o.b", loose), {"o": {"b": 2}})) == [2.0]
