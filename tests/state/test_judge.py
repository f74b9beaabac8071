"""Who may decide a request for approval, and the exact refusal of who may not."""

from __future__ import annotations

import dataclasses

import pytest

from authz.model import ApprovalRecord, ApprovalStatus, Approver, Ruling
from authz.state.approvals import Judge, Refusal

CAROL = Approver("carol", frozenset({"dba"}), "carol@example.org")


@pytest.fixture
def record(ask):
    """A request of alice that waits for somebody of the group dba."""

    def make(status=ApprovalStatus.PENDING, rulings=(), **more):
        request = ask(**({"by": (("group:dba",),)} | more))
        return ApprovalRecord("1", request, status, 1000.0, 1900.0, tuple(rulings))

    return make


def judge(record, approver=CAROL, granted=True, *, comment="", settings=Judge()):  # noqa: B008 - it is frozen
    return settings.judge(approver, record, granted, comment=comment, at=5.0, origin="192.0.2.7")


def test_a_member_of_the_group_may_say_yes_and_no(record):
    assert judge(record(), comment="fine") == Ruling("carol", True, (0,), "fine", 5.0, "192.0.2.7")
    assert judge(record(), granted=False) == Ruling("carol", False, (), "", 5.0, "192.0.2.7")


@pytest.mark.parametrize("by", [(), ("carol",), ("dave", "carol"), ("group:sre", "group:dba")])
def test_entries_are_anybody_an_id_or_a_group(record, by):
    assert judge(record(by=(by,))).satisfies == (0,)


@pytest.mark.parametrize("by", [("dave",), ("group:carol",), ("dba",), ("Carol",), ("group:DBA",), ("",)])
def test_nobody_else_may_and_for_them_the_request_is_unknown(record, by):
    for granted in (True, False):
        assert judge(record(by=(by,)), granted=granted) is Refusal.UNKNOWN
    assert not Judge().sees(CAROL, record(by=(by,)))


def test_a_request_that_is_not_there_is_unknown_too():
    assert judge(None) is Refusal.UNKNOWN


def test_nobody_becomes_a_group_by_a_name(record):
    impostor = Approver("group:dba", claim="mallory@example.org")
    assert judge(record(), impostor) is Refusal.UNKNOWN
    assert judge(record(by=((),)), impostor).satisfies == (0,)


def test_a_yes_satisfies_every_entry_that_is_theirs(record):
    asked = record(by=(("group:dba",), ("dave",), (), ("carol", "erin")))
    assert judge(asked).satisfies == (0, 2, 3)
    assert Judge().sees(CAROL, asked)


@pytest.mark.parametrize("status", [status for status in ApprovalStatus if status is not ApprovalStatus.PENDING])
def test_what_has_ended_is_not_decided_again(record, status):
    for granted in (True, False):
        assert judge(record(status), granted=granted) is Refusal.ENDED
    assert judge(record(status, by=(("dave",),))) is Refusal.UNKNOWN


@pytest.mark.parametrize("claim", ["carol@example.org", "Carol@Example.ORG", " carol@example.org "])
def test_nobody_grants_own_calls_but_may_withdraw_them(record, claim):
    own = record(claim=claim)
    for settings in (Judge(), Judge(unidentified_ok=True)):
        assert judge(own, settings=settings) is Refusal.SELF
        assert judge(own, granted=False, settings=settings) == Ruling("carol", False, (), "", 5.0, "192.0.2.7")


def test_claims_that_only_a_program_can_tell_apart_are_one_persons(record):
    for claim in ("ｃarol@example.org", "carol@example.org\u200b", "ca\u00adrol@example.org"):
        assert judge(record(claim=claim)) is Refusal.SELF
    assert judge(record(claim="\u200b")) is Refusal.UNIDENTIFIED


@pytest.mark.parametrize(
    ("theirs", "own"), [("", "carol@example.org"), ("alice@example.org", ""), ("", ""), (" ", "c")]
)
def test_where_nobody_can_tell_people_apart_a_yes_is_refused_unless_the_settings_allow_it(record, theirs, own):
    asked, approver = record(claim=theirs), dataclasses.replace(CAROL, claim=own)
    assert judge(asked, approver) is Refusal.UNIDENTIFIED
    assert judge(asked, approver, settings=Judge(unidentified_ok=True)).granted
    assert not judge(asked, approver, granted=False).granted


def test_one_approver_counts_once(record):
    said = [Ruling("carol", True, (0,))]
    assert judge(record(rulings=said)) is Refusal.ALREADY
    assert judge(record(rulings=said, by=(("group:dba",), ("carol",)))).satisfies == (0, 1)
    assert judge(record(rulings=said), dataclasses.replace(CAROL, id="dave")).approver == "dave"
    assert not judge(record(rulings=said), granted=False).granted


@pytest.mark.parametrize("comment", ["", "  \n"])
def test_a_rule_that_wants_a_reason_gets_one(record, comment):
    for granted in (True, False):
        assert judge(record(reason_required=True), granted=granted, comment=comment) is Refusal.COMMENT
    assert judge(record(reason_required=True), comment="ticket 7").comment == "ticket 7"


def test_refusals_have_stable_text():
    assert [refusal.value for refusal in Refusal] == ["unknown", "ended", "self", "unidentified", "already", "comment"]
