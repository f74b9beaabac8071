from __future__ import annotations

import itertools

from authz.conclude import Frame, conclude, least
from authz.model import (
    Approval,
    ApprovalStatus,
    Charge,
    Discharge,
    Disclose,
    Effect,
    Evaluation,
    Limit,
    Message,
    MessageKind,
    Obligation,
    Reason,
    Standing,
)

LIMIT = Limit("burst", ("s", "burst"), 3, 60.0, "s")
OTHER = Limit("other", ("s", "other"), 3, 60.0, "s")
MESSAGE = Message(MessageKind.REQUEST, "tools/call", 1)


def owing(*obligations: Obligation) -> Evaluation:
    return Evaluation(Effect.ALLOW, Reason.ALLOWED, "tools.a", obligations=obligations)


def reasons(evaluations: list[Evaluation], discharge: Discharge | None) -> list[Reason]:
    count = itertools.count()
    frame = Frame("s", "rev", Disclose.FULL, lambda: str(next(count)))
    decisions = conclude([MESSAGE] * len(evaluations), evaluations, discharge, frame)
    assert all((one.effect is Effect.ALLOW) is (one.reason is Reason.ALLOWED) for one in decisions)
    assert len({one.id for one in decisions}) == len(decisions)
    return [one.reason for one in decisions]


def test_what_is_paid_is_allowed() -> None:
    assert reasons([owing(Charge(LIMIT, ()))], Discharge(paid=True)) == [Reason.ALLOWED]


def test_an_exhausted_limit_denies_with_the_time_to_wait() -> None:
    found = Discharge(paid=False, exhausted=(LIMIT,), retry_after=7.0)
    assert reasons([owing(Charge(LIMIT, ()))], found) == [Reason.RATE_LIMITED]


def test_a_missing_approval_denies() -> None:
    standings = [Standing("a", status, 60.0) for status in (ApprovalStatus.PENDING, ApprovalStatus.DENIED)]
    found = [Discharge(paid=False, standings=(standing,)) for standing in standings]
    asked = [owing(Approval("r", 60.0))]
    assert [reasons(asked, one) for one in found] == [[Reason.APPROVAL_REQUIRED], [Reason.APPROVAL_DENIED]]


def test_a_grant_does_not_help_where_a_limit_is_exhausted() -> None:
    granted = Standing("a", ApprovalStatus.GRANTED, 60.0)
    found = Discharge(paid=False, exhausted=(LIMIT,), retry_after=7.0, standings=(granted,))
    assert reasons([owing(Approval("r", 60.0), Charge(LIMIT, ()))], found) == [Reason.RATE_LIMITED]


def test_one_denied_part_of_a_batch_denies_all() -> None:
    denied = Evaluation(Effect.DENY, Reason.RULE_DENIED)
    assert reasons([owing(), denied], Discharge(paid=True)) == [Reason.NOT_EXECUTED, Reason.RULE_DENIED]


def test_only_the_parts_that_owe_to_the_exhausted_limit_are_limited() -> None:
    found = Discharge(paid=False, exhausted=(LIMIT,), retry_after=7.0)
    parts = [owing(Charge(LIMIT, ())), owing(Charge(OTHER, ())), owing()]
    assert reasons(parts, found) == [Reason.RATE_LIMITED, Reason.NOT_EXECUTED, Reason.NOT_EXECUTED]


def test_a_store_that_cannot_tell_denies() -> None:
    assert reasons([owing(Charge(LIMIT, ()))], None) == [Reason.STATE_UNAVAILABLE]


def test_nothing_paid_and_nothing_said_denies() -> None:
    assert reasons([owing(Charge(LIMIT, ()))], Discharge(paid=False)) == [Reason.STATE_UNAVAILABLE]
    strange = Discharge(paid=False, exhausted=(OTHER,))
    assert reasons([owing(Charge(LIMIT, ()))], strange) == [Reason.STATE_UNAVAILABLE]


def test_the_level_that_tells_least_counts() -> None:
    assert least(Disclose.FULL, Disclose.CODE, Disclose.REASON) is Disclose.CODE
    assert least(Disclose.FULL) is Disclose.FULL
