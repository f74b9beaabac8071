"""Intercept's YAML: every feature of it, and each mistake with its place."""

from __future__ import annotations

import pytest
from imported import Imported

from authz.app.importing.changes import Effect, Options
from authz.app.importing.source import Dialect
from authz.errors import PolicyError

HEAD = 'version: "1"\n'
STRIPE = """\
version: "1"
description: Stripe
default: deny
hide: [transfer_all]
tools:
  # ── Financial Tools ──
  # create_charge: Create a charge
  create_charge:
    rules:
      - name: max single charge
        conditions: [{path: args.amount, op: lte, value: 50000}]
        on_deny: A charge cannot exceed $500.00
      - name: daily spend
        conditions: [{path: state.create_charge.spend, op: lte, value: 100000}]
        on_deny: Enough for today
        state: {counter: spend, window: day, increment_from: args.amount}
      - {name: burst, rate_limit: 10/minute}
  list_customers:
    rules: []
  delete_customer:
    rules:
      - {name: never, action: deny, on_deny: People delete customers}
  refund:
    rules:
      - {name: ask, action: require_approval, approval_timeout: 10m, on_deny: Refunds need a yes}
  "*":
    rules:
      - {name: global, rate_limit: 60/minute}
"""


def refusal(text: str) -> list[str]:
    with pytest.raises(PolicyError) as refused:
        Imported(text)
    return [str(problem) for problem in refused.value.problems]


def in_rule(rule: str, tool: str = "a") -> str:
    return f"{HEAD}tools:\n  {tool}:\n    rules:\n      - {rule}\n"


def test_a_whole_policy_is_written_with_its_comments() -> None:
    ours = Imported(STRIPE)
    assert ours.source.dialect is Dialect.INTERCEPT
    assert (
        ours.text
        == """\
# imported from theirs.yaml (Intercept) by mcp-authz import
version: 1
description: Stripe
default: deny

tools:
  # ── Financial Tools ──
  # create_charge: Create a charge
  # "max single charge": args.amount lte 50000
  # "daily spend": 100000 of args.amount in 86400 s
  # "burst": 10 in 60 s
  # "global": 60 in 60 s
  create_charge:
    action: allow
    reason: "A charge cannot exceed $500.00; Enough for today"
    arguments: {properties: {amount: {type: number, maximum: 50000, exclusiveMinimum: 0}}, required: [amount]}
    rate_limit:
      - {name: create_charge/daily-spend, max: 100000, window: 1d, per: server, cost: args.amount}
      - {name: create_charge/burst, max: 10, window: 60, per: server}
  # "global": 60 in 60 s
  list_customers: allow
  # "never": deny
  delete_customer: {action: deny, reason: People delete customers}
  # "ask": require_approval
  # "global": 60 in 60 s
  refund: {action: require_approval, reason: Refunds need a yes, approval: {timeout: 600}}
  transfer_all: {action: deny, reason: this tool is hidden by policy}

# Intercept looks at tools only; name here what agents need, or remove it
prompts:
  "*": allow
resources:
  "*": allow

limits:
  - {name: all/global, max: 60, window: 60, per: server}
"""
    )


def test_a_whole_policy_decides_as_it_did() -> None:
    ours = Imported(STRIPE)
    assert ours.allows("list_customers")
    for tool in ("delete_customer", "transfer_all", "unlisted", "refund"):
        assert not ours.allows(tool)
    assert [ours.allows("create_charge", {"amount": 50000}) for _ in range(3)] == [True, True, False]
    assert not ours.allows("create_charge", {"amount": -100000}), "nothing is given back"
    assert not ours.allows("create_charge", {"amount": "5"})
    assert ours.allows("create_charge", {"amount": 50000}, later=86400)
    assert ours.asks("prompts/get", {"name": "any"})
    assert ours.asks("resources/read", {"uri": "file:///any"})
    assert not ours.asks("vendor/method", {}), "unknown methods passed there"


def test_limits_of_every_tool_are_shared() -> None:
    ours = Imported(f'{HEAD}tools:\n  "*":\n    rules: [{{name: g, rate_limit: 3/hour}}]\n')
    assert [ours.allows(tool) for tool in ("a", "b", "c", "d")] == [True, True, True, False]


def test_without_a_default_unlisted_tools_pass_under_the_rules_for_every_tool() -> None:
    rules = "[{name: g, conditions: [{path: args.env, op: eq, value: dev}]}]"
    ours = Imported(f'{HEAD}tools:\n  a:\n    rules: []\n  "*":\n    rules: {rules}\n')
    for tool in ("a", "other"):
        assert ours.allows(tool, {"env": "dev"})
        assert not ours.allows(tool, {"env": "prod"})
        assert not ours.allows(tool)


def test_rules_for_every_tool_do_not_rescue_unlisted_ones() -> None:
    ours = Imported(f'{HEAD}default: deny\ntools:\n  a:\n    rules: []\n  "*":\n    rules: []\n')
    assert (ours.allows("a"), ours.allows("b")) == (True, False)


def test_a_denial_of_every_tool_denies_listed_ones_too() -> None:
    ours = Imported(f'{HEAD}tools:\n  a:\n    rules: []\n  "*":\n    rules: [{{name: closed, action: deny}}]\n')
    assert not ours.allows("a")
    assert not ours.allows("b")


def test_what_is_hidden_is_denied_whatever_its_rules_say() -> None:
    one = Imported(f"{HEAD}hide: [a]\ntools:\n  a:\n    rules: []\n")
    assert (one.allows("a"), one.allows("b")) == (False, True)
    everything = Imported(f'{HEAD}hide: ["*"]\ntools:\n  a:\n    rules: []\n')
    assert (everything.allows("a"), everything.allows("b")) == (False, False)
    (change,) = [one for one in everything.changes if one.effect is Effect.DIFFERENT and "hidden" in one.there]
    assert (change.there, change.line, change.column) == ("every tool is hidden", 2, 8)


def test_an_amount_of_every_tool_is_counted_for_each_of_them() -> None:
    condition = "{path: state._global.spend, op: lt, value: 101}"
    rule = (
        f"{{name: g, conditions: [{condition}], state: {{counter: spend, window: day, increment_from: args.cost.usd}}}}"
    )
    ours = Imported(f'{HEAD}tools:\n  a:\n    rules: []\n  "*":\n    rules: [{rule}]\n')
    assert ours.value["limits"] == [
        {"name": "all/g", "tools": ["a"], "max": 100, "window": "1d", "per": "server", "cost": "args.cost.usd"}
    ]


def test_an_amount_with_an_odd_name_is_read_by_index() -> None:
    state = "{counter: c, window: hour, increment_from: args.total-cost}"
    ours = Imported(in_rule(f"{{name: r, conditions: [{{path: state.a.c, op: lte, value: 5}}], state: {state}}}"))
    assert ours.value["tools"]["a"]["rate_limit"]["cost"] == "args['total-cost']"
    assert [ours.allows("a", {"total-cost": 3}) for _ in range(2)] == [True, False]


def test_fixed_increments_are_costs() -> None:
    rule = (
        "{name: r, conditions: [{path: state.a.c, op: lte, value: 5}], state: {counter: c, window: hour, increment: 2}}"
    )
    ours = Imported(in_rule(rule))
    assert [ours.allows("a") for _ in range(3)] == [True, True, False]


def test_windows_may_stay_those_of_the_clock() -> None:
    text = in_rule("{name: r, rate_limit: 2/minute}")
    sliding, fixed = Imported(text), Imported(text, Options(fixed_windows=True))
    assert fixed.value["tools"]["a"]["rate_limit"]["algorithm"] == "fixed_window"
    for ours, last in ((sliding, False), (fixed, True)):
        assert [ours.allows("a", later=59), ours.allows("a"), ours.allows("a", later=2)] == [True, True, last]


def test_whose_calls_count_together_can_be_chosen() -> None:
    ours = Imported(in_rule("{name: r, rate_limit: 2/minute}"), Options(per="principal"))
    assert ours.value["tools"]["a"]["rate_limit"]["per"] == "principal"
    (change,) = [one for one in ours.changes if one.there.startswith("2 in 60 s")]
    assert (change.effect, change.note) == (Effect.DIFFERENT, "counts other calls together than there")


def test_limits_that_would_have_one_name_are_numbered() -> None:
    ours = Imported(
        f"{HEAD}tools:\n  a:\n    rules: [{{name: x, rate_limit: 5/hour}}, {{name: x, rate_limit: 5/day}}]\n"
    )
    assert [one["name"] for one in ours.value["tools"]["a"]["rate_limit"]] == ["a/x", "a/x-2"]


STATE = "{name: r, conditions: [{path: PATH, op: OP, value: VALUE}], state: {counter: c, window: hour}}"


def with_state(path: str = "state.a.c", operator: str = "lte", value: str = "5") -> str:
    return in_rule(STATE.replace("PATH", path).replace("OP", operator).replace("VALUE", value))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f"{HEAD}defualt: deny\n",
            (
                "2:1: defualt: a policy of Intercept has no key 'defualt', which has no effect there, did you "
                "mean 'default'?"
            ),
        ),
        (
            in_rule("{name: r, conditions: []}")[len(HEAD) :],
            '1:1: expected version: "1", without which Intercept does not load the file',
        ),
        ('version: "2"\n', "1:10: version: expected version 1, got '2'"),
        (f"{HEAD}default: dney\n", "2:10: default: expected one of allow, deny, got 'dney', did you mean 'deny'?"),
        (
            f"{HEAD}approvals: {{webhook: x}}\n",
            "2:1: approvals: where approvals are announced is a setting of the service here (--webhook-url): remove it",
        ),
        (f"{HEAD}hide: [a, a]\n", "2:11: hide[1]: 'a' is there twice"),
        (f"{HEAD}hide: [' ']\n", "2:8: hide[0]: expected the name of a tool"),
        (f"{HEAD}hide: a\n", "2:7: hide: hide: expected a list, got 'a'"),
        (f"{HEAD}tools: []\n", "2:8: tools: tools: expected a mapping, got '[]'"),
        (
            f"{HEAD}tools:\n  get_*:\n    rules: []\n",
            (
                "3:3: tools.get_*: 'get_*' is one tool's exact name there, and * a wildcard here: it cannot be "
                "carried over"
            ),
        ),
        (
            f"{HEAD}tools:\n  {'a' * 129}:\n    rules: []\n",
            f"3:3: tools.{'a' * 129}: a name of 129 characters cannot be carried over: at most 128 are looked at",
        ),
        (
            in_rule("{name: r}"),
            "5:9: tools.a.rules[0]: a rule that evaluates needs conditions; Intercept does not load it without",
        ),
        (in_rule("{rate_limit: 5/minute, conditions: []}"), "5:9: tools.a.rules[0].name: expected name, got nothing"),
        (
            in_rule("{name: r, rate_limit: 5/second}"),
            "5:31: tools.a.rules[0].rate_limit: expected N/minute, N/hour or N/day, got '5/second'",
        ),
        (
            in_rule("{name: r, rate_limit: 5/hour, state: {}}"),
            "5:39: tools.a.rules[0].state: cannot stand beside rate_limit; Intercept does not load it",
        ),
        (
            in_rule("{name: r, action: deny, conditions: []}"),
            (
                "5:33: tools.a.rules[0].conditions: beside action: deny nobody knows what it means: make it a "
                "rule of its own"
            ),
        ),
        (
            in_rule("{name: r, action: deny, approval_timeout: 5m}"),
            "5:33: tools.a.rules[0].approval_timeout: expected only beside action: require_approval",
        ),
        (
            in_rule("{name: r, action: require_approval, approval_timeout: soon}"),
            "5:45: tools.a.rules[0].approval_timeout: expected 30s, 15m or 1h, got 'soon'",
        ),
        (in_rule("{name: r, on_deny: 5, action: deny}"), "5:28: tools.a.rules[0].on_deny: expected text, got '5'"),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: like, value: 1}]}"),
            (
                "5:51: tools.a.rules[0].conditions[0].op: expected one of eq, neq, in, not_in, lt, lte, gt, "
                "gte, regex, "
                "contains, exists, got 'like'"
            ),
        ),
        (
            in_rule("{name: r, conditions: [{path: arg.x, op: eq, value: 1}]}"),
            "5:39: tools.a.rules[0].conditions[0].path: expected an argument such as args.amount, got 'arg.x'",
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: eq}]}"),
            "5:32: tools.a.rules[0].conditions[0]: a condition needs value",
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: lte, value: '5'}]}"),
            "5:63: tools.a.rules[0].conditions[0].value: lte: expected a number, got '5'",
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: in, value: usd}]}"),
            "5:62: tools.a.rules[0].conditions[0].value: in: expected a list of values, got 'usd'",
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: exists, value: 1}]}"),
            "5:66: tools.a.rules[0].conditions[0].value: exists: expected true or false, got '1'",
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: regex, value: 'a{1001}'}]}"),
            (
                "5:65: tools.a.rules[0].conditions[0].value: regex: cannot be carried over: RE2 refuses the pattern "
                "'a{1001}': invalid repetition size: {1001}, got 'a{1001}'"
            ),
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: regex, value: 5}]}"),
            "5:65: tools.a.rules[0].conditions[0].value: regex: expected a regular expression, got '5'",
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: eq, value: [1]}]}"),
            "5:62: tools.a.rules[0].conditions[0].value: eq: expected text, a number, true or false, got '[1]'",
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: neq, value: 9007199254740993}]}"),
            (
                "5:63: tools.a.rules[0].conditions[0].value: neq: beyond 2^53 numbers are rounded there, which "
                "cannot be "
                "carried over, got '9007199254740993'"
            ),
        ),
        (
            in_rule(
                "{name: r, conditions: [{path: args.x, op: eq, value: 1}, {path: args.x, op: eq, value: b}]}"
            ).replace("op: eq, value: 1", "op: gt, value: 1"),
            "3:3: tools.a: its conditions cannot be written together: ",
        ),
        (
            with_state("state.b.c"),
            (
                "5:39: tools.a.rules[0].conditions[0].path: expected state.a.c, the rule's own counter: what "
                "reads another "
                "cannot be carried over, got 'state.b.c'"
            ),
        ),
        (
            with_state(operator="gte"),
            (
                "5:54: tools.a.rules[0].conditions[0].op: expected lt or lte on a counter, got 'gte': no limit "
                "can be made of it"
            ),
        ),
        (with_state(value="x"), "5:66: tools.a.rules[0].conditions[0].value: expected a number, got 'x'"),
        (
            with_state(operator="lt", value="1"),
            "5:65: tools.a.rules[0].conditions[0].value: no call can pass: write action: deny, got lt 1",
        ),
        (
            in_rule("{name: r, conditions: [{path: args.x, op: eq, value: 1}], state: {counter: c, window: hour}}"),
            (
                "5:67: tools.a.rules[0].state: counts nothing in Intercept: it needs a condition on state.a.c "
                "with lt or lte"
            ),
        ),
        (
            in_rule("{name: r, conditions: [{path: state.b.c, op: lte, value: 1}]}"),
            (
                "5:32: tools.a.rules[0].conditions[0]: state.b.c is another rule's counter: a limit that only "
                "looks cannot be carried over"
            ),
        ),
        (
            with_state().replace("window: hour", "window: week"),
            "5:99: tools.a.rules[0].state.window: expected one of minute, hour, day, got 'week'",
        ),
        (
            with_state().replace(", window: hour", ""),
            "5:71: tools.a.rules[0].state: a counter needs a window: minute, hour or day",
        ),
        (
            with_state().replace("window: hour", "window: hour, increment: -5"),
            (
                "5:105: tools.a.rules[0].state.increment: increment (what gives back cannot be carried over): "
                "expected a whole number from 1 to 1000000000, got '-5'"
            ),
        ),
        (
            with_state().replace("window: hour", "window: hour, increment_from: x"),
            "5:121: tools.a.rules[0].state.increment_from: expected an argument such as args.amount, got 'x'",
        ),
        (
            with_state().replace("value: 5}", "value: 5}, {path: state.a.c, op: lt, value: 3}"),
            (
                "5:70: tools.a.rules[0].conditions[1]: a second condition on a counter cannot be carried over: "
                "one limit a rule"
            ),
        ),
        (
            in_rule("{name: r, rate_limit: 5/hour}\n      - {name: s, rate_limit: 6/hour}"),
            "6:19: tools.a.rules[1].rate_limit: the tool has this counter already, at 5:19; Intercept does not load it",
        ),
        (
            in_rule("{name: r, rate_limit: 5/hour}").replace("rules:", "ruels:"),
            "4:5: tools.a.ruels: a tool has no key 'ruels', which has no effect there, did you mean 'rules'?",
        ),
        ("version: '1'\ntools: &a {}\n", "2:8: tools: anchors are not allowed, got '&a': write the value out"),
        ("- a\n", "1:1: expected a mapping with tools"),
    ],
)
def test_what_cannot_be_carried_over_is_an_error_with_its_place(text: str, problem: str) -> None:
    (first, *_) = refusal(text)
    assert first.startswith(f"theirs.yaml:{problem}")


def test_every_problem_is_told_at_once() -> None:
    text = f"{HEAD}defualt: deny\ntools:\n  get_*:\n    rules: []\n  a:\n    rules: [{{name: r}}]\n"
    assert len(refusal(text)) == 3
