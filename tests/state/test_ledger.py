"""Requests for approval in bounded memory."""

from __future__ import annotations

import dataclasses
import math

import pytest

from authz.model import ApprovalStatus, Ruling
from authz.state.approvals import HISTORY
from authz.state.ledger import MOST, MOST_ANONYMOUS, Ledger

YES, NO = Ruling("carol", True, (0,)), Ruling("carol", False)


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def file(ledger, ask):
    """File the request of call number `i`, each owner's own."""

    def make(i, now=0.0, **more):
        who = f"u{i // 20}" + ("?" if more.get("anonymous") else "")
        request = ask(f"call {i}", who, **more)
        assert ledger.blocked([request], now) is None
        return ledger.file(f"{i}{who}", request, (), now, now)

    return make


def end(ledger, filed, now=0.0):
    ledger.rule(filed, NO, now, now)


def test_at_most_a_thousand_wait(ledger, file, ask):
    for i in range(MOST):
        file(i, timeout=900.0 + i)
    assert ledger.blocked([ask(who="late")], 100.0) == 800.0
    assert ledger.blocked([ask(who="late", anonymous=True)], 100.0) == 800.0
    end(ledger, ledger.get("5u0", 0.0))
    assert ledger.blocked([ask(who="late")], 0.0) is None
    assert ledger.blocked([ask(who="late"), ask("other", who="late")], 0.0) == 900.0


def test_anonymous_callers_get_a_fifth_of_the_places(ledger, file, ask):
    for i in range(MOST_ANONYMOUS):
        file(i, anonymous=True, timeout=500.0 + i)
    assert ledger.blocked([ask(who="late", anonymous=True)], 0.0) == 500.0
    assert ledger.blocked([ask(who="late")], 0.0) is None
    for i in range(MOST - MOST_ANONYMOUS):
        file(i)
    assert ledger.blocked([ask(who="late")], 0.0) == 900.0


def test_owners_of_either_kind_are_counted_apart(ledger, file, ask):
    for i in range(20):
        file(i, anonymous=True)
    owner = ask(who="u0?")
    assert ledger.blocked([dataclasses.replace(owner, anonymous=True)], 0.0) == 900.0
    assert ledger.blocked([owner], 0.0) is None


def test_long_parameters_fill_it_sooner(ledger, file, ask):
    for i in range(63):
        file(i, params="x" * 2**20)
    big = ask(who="late", params="x" * 2**20)
    assert ledger.blocked([big], 0.0) == 900.0
    assert ledger.blocked([ask(who="late")], 0.0) is None
    assert ledger.blocked([dataclasses.replace(big, anonymous=True, params="x" * 13 * 2**20)], 0.0) == 900.0


def test_of_what_has_ended_a_thousand_are_kept_the_newest(ledger, file):
    for i in range(MOST + 300):
        filed = file(i)
        ledger.rule(filed, YES, 0.0, 0.0)
        ledger.claim(filed, 0.0)
    kept = [filed.id for filed in ledger.newest(0.0)]
    assert (len(ledger), len(kept), kept[0], kept[-1]) == (MOST, MOST, "1299u64", "300u15")


def test_grants_and_denials_are_kept_before_what_has_no_effect(ledger, file):
    grant, denial = file(0), file(1)
    ledger.rule(grant, YES, 0.0, 0.0)
    end(ledger, denial)
    for i in range(2, MOST + 100):
        filed = file(i)
        ledger.rule(filed, YES, 0.0, 0.0)
        ledger.claim(filed, 0.0)
    assert (ledger.find(grant.request.digest), ledger.find(denial.request.digest)) == (grant, denial)
    for i in range(MOST + 100, 2 * MOST + 100):
        end(ledger, file(i))
    assert ledger.find(grant.request.digest) is None  # forgotten: the call must be asked for again
    assert len(ledger) == MOST


def test_what_anonymous_callers_asked_for_pushes_out_nobody_elses(ledger, file):
    mine = file(10_000)
    end(ledger, mine)
    for i in range(2 * MOST):
        end(ledger, file(i, anonymous=True))
    assert len(ledger) == MOST_ANONYMOUS + 1
    assert ledger.get(mine.id, 0.0) is mine


def test_what_has_been_shown_for_a_day_is_forgotten(ledger, file):
    for i in range(50):
        end(ledger, file(i))
    ledger.advance(HISTORY - 1)
    assert len(ledger) == 50
    ledger.advance(HISTORY + 60)
    assert (len(ledger), ledger.wakes) == (0, math.inf)


def test_many_that_expire_at_once_do_so_in_one_step(ledger, file):
    for i in range(MOST):
        file(i)
    changes = ledger.changes
    assert ledger.wakes == 60.0
    ledger.advance(900.0)
    assert ledger.changes == changes + MOST
    assert {filed.status for filed in ledger.newest(900.0)} == {ApprovalStatus.EXPIRED}
    assert ledger.blocked([file(5000, 900.0).request], 900.0) is None


def test_a_grant_remembered_for_longer_outlives_the_time_of_its_request(ledger, file):
    filed = file(0, uses=0, remember=5000.0)
    ledger.rule(filed, YES, 100.0, 100.0)
    for now, status in (
        (900.0, ApprovalStatus.GRANTED),
        (5099.0, ApprovalStatus.GRANTED),
        (5100.0, ApprovalStatus.EXPIRED),
    ):
        ledger.advance(now)
        assert filed.status is status


def test_it_keeps_nothing_once_it_is_cleared(ledger, file):
    end(ledger, file(0))
    file(1)
    ledger.clear()
    assert (len(ledger), ledger.wakes, list(ledger.newest(0.0))) == (0, math.inf, [])
    assert file(1) is not None
