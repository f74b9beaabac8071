"""One request for each exact call: what changes its digest, and what a person is shown."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from authz.approval import MAX_PARAMS, approval_request
from authz.errors import ApprovalError
from authz.model import (
    ANONYMOUS,
    Approval,
    ApprovalRequest,
    Call,
    Effect,
    Evaluation,
    KnownTool,
    KnownTools,
    Message,
    MessageKind,
    Principal,
    Reason,
    Target,
    TargetKind,
)

ALICE = Principal(
    id="alice", issuer="https://idp", source="corp", claims={"email": "alice@corp.example", "n": 5}, verified=True
)
RULE = Approval("tools.drop", 900.0, ("group:dba",), content="abc")
DROP = Message(MessageKind.REQUEST, "tools/call", 1, (Target(TargetKind.TOOL, "drop"),))
CALL = Call("db", DROP, ALICE, address="192.0.2.7")
SAID = Evaluation(Effect.ALLOW, Reason.ALLOWED, "tools.drop", "drops are rare", obligations=(RULE,))
PARAMS = '{"arguments":{"table":"t"},"name":"drop"}'


def ask(call: Call = CALL, *rules: Approval, params: str = PARAMS, claim: str = "id") -> ApprovalRequest:
    return approval_request(call, SAID, rules or (RULE,), params, claim=claim)


def with_target(kind: TargetKind, name: str, method: str) -> Call:
    return replace(CALL, message=replace(DROP, method=method, targets=(Target(kind, name),)))


def test_a_person_is_asked_about_exactly_this_call() -> None:
    asked = ask()
    assert asked == ApprovalRequest(
        digest=asked.digest,
        owner="principal\ncorp\nhttps://idp\nalice",
        server="db",
        tool="drop",
        principal="alice",
        claim="alice",
        rule="tools.drop",
        reason="drops are rare",
        params=PARAMS,
        timeout=900.0,
        by=(("group:dba",),),
    )
    assert len(asked.digest) == 32


def test_the_same_call_in_another_session_with_another_id_at_another_time_is_the_same_request() -> None:
    again = replace(CALL, session="other", now=99.0, address="198.51.100.1", message=replace(DROP, id="x"))
    assert ask(again).digest == ask().digest


@pytest.mark.parametrize(
    "call",
    [
        replace(CALL, server="db2"),
        replace(CALL, principal=replace(ALICE, id="bob")),
        replace(CALL, principal=replace(ALICE, issuer="https://other")),
        replace(CALL, principal=replace(ALICE, source="gw")),
        replace(CALL, principal=ANONYMOUS),
        with_target(TargetKind.TOOL, "drop2", "tools/call"),
        with_target(TargetKind.PROMPT, "drop", "prompts/get"),
        with_target(TargetKind.RESOURCE, "drop", "resources/read"),
    ],
)
def test_another_server_caller_or_target_is_another_request(call: Call) -> None:
    assert ask(call).digest != ask().digest


def test_other_parameters_or_a_changed_rule_are_another_request() -> None:
    digests = {
        ask().digest,
        ask(params=PARAMS + " ").digest,
        ask(CALL, dataclasses.replace(RULE, content="abd")).digest,
        ask(CALL, dataclasses.replace(RULE, rule="tools.d*")).digest,
        ask(CALL, RULE, dataclasses.replace(RULE, rule="baseline")).digest,
    }
    assert len(digests) == 5


def test_anonymous_callers_are_told_apart_by_where_they_call_from() -> None:
    one = replace(CALL, principal=ANONYMOUS)
    assert ask(one).anonymous
    assert ask(one).principal == "192.0.2.7"
    assert ask(one).claim == ""
    assert ask(one).digest != ask(replace(one, address="192.0.2.8")).digest


def test_several_rules_that_ask_make_one_request_that_satisfies_each() -> None:
    baseline = Approval("baseline.pay", 60.0, ("group:security",), uses=5, reason_required=True, content="x")
    asked = ask(CALL, dataclasses.replace(RULE, remember=600.0, uses=0), baseline)
    assert asked.by == (("group:dba",), ("group:security",))
    assert (asked.timeout, asked.uses, asked.remember, asked.reason_required) == (60.0, 5, 0.0, True)


def test_a_yes_is_remembered_only_where_every_rule_lets_it() -> None:
    long, short = (
        dataclasses.replace(RULE, remember=600.0, uses=0),
        dataclasses.replace(RULE, rule="b", remember=60.0, uses=0),
    )
    assert (ask(CALL, long, short).remember, ask(CALL, long, short).uses) == (60.0, 0)


@pytest.mark.parametrize(("claim", "value"), [("id", "alice"), ("email", "alice@corp.example"), ("n", ""), ("x", "")])
def test_the_requester_is_known_by_the_configured_claim(claim: str, value: str) -> None:
    assert ask(claim=claim).claim == value


@pytest.mark.parametrize(
    ("kind", "name", "method", "shown"),
    [
        (TargetKind.TOOL, "drop", "tools/call", "drop"),
        (TargetKind.PROMPT, "p", "prompts/get", "prompts/get p"),
        (TargetKind.RESOURCE, "file:///a", "resources/read", "resources/read file:///a"),
        (TargetKind.METHOD, "tasks/list", "tasks/list", "tasks/list"),
    ],
)
def test_people_see_the_tool_by_its_name_and_anything_else_with_its_method(
    kind: TargetKind, name: str, method: str, shown: str
) -> None:
    assert ask(with_target(kind, name, method)).tool == shown


def test_nobody_is_asked_about_what_nobody_can_read() -> None:
    with pytest.raises(ApprovalError, match=r"^the parameters are longer than the 65536 characters that a person can"):
        ask(params="x" * (MAX_PARAMS + 1))
    with pytest.raises(ApprovalError, match=r"^some bytes of the request are not UTF-8, so nobody can see what would"):
        ask(replace(CALL, message=replace(DROP, doubtful_text=True)))


def test_what_a_caller_sends_cannot_run_into_its_neighbour() -> None:
    def digest(**names: Any) -> bytes:
        principal = replace(ALICE, source=names.get("source", "a"), issuer=names.get("issuer", "b"))
        return ask(replace(CALL, principal=principal)).digest

    assert digest(source="a\nb", issuer="c") != digest(source="a", issuer="b\nc")


CATALOG = KnownTools({"drop": KnownTool(("Write", "Destructive"), "Critical", {})})


def test_a_person_is_shown_what_the_catalogue_says_of_the_tool() -> None:
    asked = ask(replace(CALL, catalog=CATALOG))
    assert (asked.categories, asked.risk) == (("Write", "Destructive"), "Critical")
    # which is no part of what the yes is for: nothing of the call has changed
    assert asked.digest == ask().digest


def test_a_tool_that_the_catalogue_lacks_is_shown_as_unknown_and_without_a_risk() -> None:
    call = replace(with_target(TargetKind.TOOL, "other", "tools/call"), catalog=CATALOG)
    assert (ask(call).categories, ask(call).risk) == (("Unknown",), "")


def test_without_a_catalogue_or_for_a_prompt_nothing_is_claimed() -> None:
    prompt = replace(with_target(TargetKind.PROMPT, "drop", "prompts/get"), catalog=CATALOG)
    for call in (CALL, prompt):
        assert (ask(call).categories, ask(call).risk) == ((), "")
