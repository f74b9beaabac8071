"""`approval` of a file: what does not load, what comes of the rest, and which changes of the file void a yes."""

from __future__ import annotations

import re

import pytest

from authz.model import Approval, TargetKind
from authz.policy.compile.file import PolicyContext, compile_file
from authz.policy.rules import Compiled

TWO_SOURCES = PolicyContext(claims={"corp": {}, "lab": {}})


def load(text: str, context: PolicyContext | None = None) -> Compiled:
    return compile_file("bank.yaml", f"version: 1\n{text}\n".encode(), context or PolicyContext())


def approvals(text: str) -> list[Approval]:
    """Of the rules of the tool `pay`."""
    found = load(text)
    assert found.policy is not None, found.problems
    (block,) = found.policy.sections[TargetKind.TOOL].find("pay")
    return [rule.approval for rule in block.rules if rule.approval is not None]


def approval(raw: str) -> Approval:
    (only,) = approvals(f"tools: {{pay: {{action: require_approval, approval: {{{raw}}}}}}}")
    return only


def test_an_approval_is_by_anyone_for_one_call_within_15_minutes_unless_it_says_otherwise() -> None:
    for text in ("tools: {pay: require_approval}", "tools: {pay: {action: require_approval, approval: {}}}"):
        (plain,) = approvals(text)
        assert (plain.rule, plain.by, plain.timeout) == ("tools.pay", (), 900.0)
        assert (plain.uses, plain.remember, plain.reason_required) == (1, 0.0, False)


def test_an_approval_says_who_how_long_how_often_and_whether_a_reason_is_wanted() -> None:
    assert approval("by: ['group:dba', alice]").by == ("group:dba", "alice")
    assert approval("by: 'group:dba'").by == approval("approvers: ['group:dba']").by == ("group:dba",)
    assert approval("approvers: alice").by == ("alice",)
    assert [approval(f"timeout: {value}").timeout for value in ("1", "30d", "2h")] == [1.0, 2_592_000.0, 7200.0]
    assert approval("uses: 3").uses == 3
    assert approval("reason_required: true").reason_required


def test_what_is_remembered_may_run_any_number_of_times_unless_uses_are_given() -> None:
    assert (approval("remember: 1h").uses, approval("remember: 1h").remember) == (0, 3600.0)
    assert approval("remember: 1h, uses: 5").uses == 5


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("timeout: 31d", "timeout: expected at least 1 second and at most 30 days, got '31d'"),
        ("timeout: 2592001", "timeout: expected at least 1 second and at most 30 days, got 2592001"),
        ("remember: 31d", "remember: expected at least 1 second and at most 30 days, got '31d'"),
        ("by: alice, approvers: bob", "approvers: is another word for by: expected one of them"),
        (
            "by: '*'",
            (
                "by: expected group:NAME or the id of a person, got '*'; "
                "to let anyone approve whom the service lets, leave it out"
            ),
        ),
        (
            "by: [alice, 'client:x']",
            "by[1]: an OAuth client is no person: expected group:NAME or the id of a person, got 'client:x'",
        ),
        (
            "approvers: ['groups:dba']",
            "approvers[0]: unknown kind of approver in 'groups:dba', did you mean 'group:dba'?",
        ),
        ("by: [alice, alice]", "by[1]: 'alice' is listed twice"),
    ],
)
def test_an_approval_that_nobody_could_give_does_not_load(raw: str, problem: str) -> None:
    found = load(f"tools: {{pay: {{action: require_approval, approval: {{{raw}}}}}}}")
    assert [f"{one.path}: {one.message}" for one in found.problems] == [f"tools.pay.approval.{problem}"]


def test_an_identity_source_before_an_approvers_name_is_warned_of() -> None:
    text = "tools: {pay: {action: require_approval, approval: {by: ['group:corp/dba', 'group:dba']}}}"
    found = load(text, TWO_SOURCES)
    assert not found.problems
    assert [f"{one.path}: {one.message}" for one in found.warnings] == [
        "tools.pay.approval.by[0]: people who approve are of no identity source: 'group:corp/dba' is not 'group:dba'"
    ]


FILE = """\
description: a bank
tools:
  other: allow
  pay:
    arguments:
      description: what is paid
      properties:
        amount: {type: number, maximum: 10}
        to: {$ref: "#/$defs/account"}
        description: {type: string}
      required: [amount, to]
    require: args.amount > 1.0
    rules:
      - {principals: [root], action: allow}
      - action: require_approval
        reason: paying
        approval: {by: ["group:dba"], timeout: 5m}
        rate_limit: {max: 10, window: 60}
        require: [{expr: "args.amount < 9.0", reason: too much}]
limits:
  - {name: all, max: 100, window: 60}
$defs:
  account: {type: string, allOf: [{$ref: "#/$defs/short"}]}
  short: {type: string, maxLength: 20}
  unused: {type: string}
"""
(BEFORE,) = [one.content for one in approvals(FILE)]


def after(old: str, new: str) -> str:
    assert old in FILE
    (only,) = approvals(FILE.replace(old, new, 1))
    return only.content


def test_the_digest_is_32_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{32}", BEFORE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("description: a bank", "description: another bank"),
        ("description: what is paid", "description: what it costs"),
        ("{type: number, maximum: 10}", "{maximum: 10, type: number, title: how much, examples: [1]}"),
        ("  other: allow", "  # nobody needs it\n  other: deny"),
        ("{principals: [root], action: allow}", "{principals: [admin], action: deny}"),
        ("      - {principals: [root], action: allow}\n", ""),
        ("max: 100", "max: 7"),
        ("unused: {type: string}", "unused: {type: integer}"),
        ('by: ["group:dba"], timeout: 5m', 'timeout: "5m", by: [group:dba]'),
        ("maxLength: 20}", "maxLength: 20, description: short}"),
    ],
)
def test_what_does_not_change_the_rule_keeps_a_yes(old: str, new: str) -> None:
    assert after(old, new) == BEFORE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reason: paying", "reason: paying more"),
        ("timeout: 5m", "timeout: 6m"),
        ("group:dba", "group:ops"),
        ("max: 10,", "max: 11,"),
        ("args.amount < 9.0", "args.amount < 9.5"),
        ("reason: too much", "reason: more"),
        ("action: require_approval", "action: require_approval\n        principals: [alice]"),
        # what stands around it
        ("args.amount > 1.0", "args.amount > 0.0"),
        ("maximum: 10}", "maximum: 11}"),
        ("        description: {type: string}", "        description: {type: integer}"),
        ("        description: {type: string}\n", ""),
        ("required: [amount, to]", "required: [to, amount, description]"),
        ("    rules:", "    continuations: allow\n    rules:"),
        # definitions that it uses
        ("account: {type: string,", "account: {type: string, minLength: 1,"),
        ("maxLength: 20", "maxLength: 21"),
    ],
)
def test_whatever_changes_the_rule_voids_a_yes(old: str, new: str) -> None:
    assert after(old, new) != BEFORE


def test_a_number_is_told_from_the_same_one_as_text_and_from_a_fraction() -> None:
    def content(value: str) -> str:
        arguments = f"arguments: {{properties: {{a: {{const: {value}}}}}}}"
        (only,) = approvals(f"tools: {{pay: {{action: require_approval, {arguments}}}}}")
        return only.content

    assert len({content("1"), content("1.0"), content("'1'"), content("true")}) == 4


def test_a_value_that_looks_like_an_annotation_counts() -> None:
    def content(value: str) -> str:
        arguments = f"arguments: {{properties: {{a: {{enum: [{{description: {value}}}]}}}}}}"
        (only,) = approvals(f"tools: {{pay: {{action: require_approval, {arguments}}}}}")
        return only.content

    assert content("x") != content("z")


def test_an_approval_by_default_has_a_digest_too() -> None:
    def default(text: str) -> Approval:
        found = load(text)
        assert found.policy is not None
        assert found.policy.default is not None
        assert found.policy.default.approval is not None
        return found.policy.default.approval

    first = default("default: require_approval")
    assert re.fullmatch("[0-9a-f]{32}", first.content)
    assert first == default("default: require_approval\ntools: {a: deny}")
    assert (first.rule, first.timeout, first.by, first.uses) == ("default", 900.0, (), 1)


def test_a_rule_whose_arguments_do_not_load_makes_no_digest_and_no_further_problem() -> None:
    text = "tools: {pay: {action: require_approval, arguments: {properties: [1], $ref: '#/$defs/none'}}}"
    assert {one.path for one in load(text).problems} == {
        "tools.pay.arguments.properties",
        "tools.pay.arguments.$ref",
    }
