"""What every store promises of approvals (authz/state/store.py, policies/README.md 5), whichever it is."""

from __future__ import annotations

import asyncio
import dataclasses
import math

import pytest

from authz.model import ApprovalStatus, Discharge, Quota, Ruling, Standing
from authz.state.approvals import FILING_LIMIT, HISTORY, PENDING_LIMIT
from authz.state.store import Attempt, Owed

PENDING, GRANTED, DENIED = ApprovalStatus.PENDING, ApprovalStatus.GRANTED, ApprovalStatus.DENIED
USED, EXPIRED = ApprovalStatus.USED, ApprovalStatus.EXPIRED


def statuses(discharge):
    """How each part stands, by name."""
    return [standing and standing.status.value for standing in discharge.standings]


async def left(pay, charge):
    return (await pay(charge, peek=True)).quotas[0].remaining


# --------------------------------------------------------------------------------------------------------- filing


async def test_a_call_that_nobody_has_granted_files_a_request(pay, ask, clock):
    asked = await pay(ask())
    (standing,) = asked.standings
    assert asked == Discharge(paid=False, standings=(Standing(standing.id, PENDING, 900.0, filed=True),))
    record = await pay.store.record(standing.id)
    assert (record.id, record.request, record.status) == (standing.id, ask(), PENDING)
    assert (record.requested_at, record.expires_at) == (clock.now, clock.now + 900.0)
    assert (record.rulings, record.used, record.ended_at) == ((), 0, 0.0)


async def test_ids_are_128_bits_in_hexadecimal(pay, ask):
    ids = [(await pay(ask(f"call {i}"))).standings[0].id for i in range(3)]
    assert [len(bytes.fromhex(one)) for one in ids] == [16] * 3
    assert len(set(ids)) == 3


async def test_the_same_call_asked_again_joins_the_request(pay, ask, charge, clock):
    (first,) = (await pay(charge(), ask())).standings
    clock.now += 30
    again = await pay(charge(), ask())
    assert again.standings == (Standing(first.id, PENDING, 870.0),)
    assert (again.paid, again.exhausted, again.quotas[0].remaining) == (False, (), 2)
    assert len(await pay.store.records()) == 1


async def test_filing_counts_against_the_limits_of_its_part_and_joining_does_not(pay, ask, charge):
    for _ in range(5):
        await pay(charge(), ask())
    assert await left(pay, charge()) == 2


async def test_an_exhausted_limit_files_nothing(pay, ask, charge, limit):
    await pay.count(charge(), 3)
    refused = await pay(charge(), ask())
    assert refused == Discharge(
        paid=False, exhausted=(limit(),), retry_after=60.0, quotas=(Quota(limit(), 0, 60.0),), standings=(None,)
    )
    assert await pay.store.records() == ()


async def test_a_request_that_is_pending_is_joined_though_the_limit_is_exhausted(pay, ask, charge):
    await pay(charge(), ask())
    await pay.count(charge(), 2)
    again = await pay(charge(), ask())
    assert (statuses(again), again.exhausted, again.retry_after) == (["pending"], (), 0.0)


async def test_a_peek_files_and_charges_nothing(pay, ask, charge):
    changes = await pay.store.changes()
    peeked = await pay(charge(), ask(), peek=True)
    assert (peeked.paid, peeked.standings) == (False, (Standing("", PENDING, 900.0),))
    assert (await pay.store.records(), await pay.store.changes()) == ((), changes)
    assert await pay.count(charge(), 4) == 3
    refused = await pay(charge(), ask(), peek=True)
    assert (refused.exhausted, refused.standings) == ((charge().limit,), (None,))


async def test_the_charge_of_another_part_of_a_batch_is_not_charged_while_one_waits(pay, ask, charge, limit):
    other = charge(limit(name="other"))
    asked = await pay.batch([charge(), ask()], [other])
    assert statuses(asked) == ["pending", None]
    assert {quota.limit.name: quota.remaining for quota in asked.quotas} == {"calls": 2, "other": 3}


async def test_what_the_parts_to_be_filed_owe_must_fit_together(pay, ask, charge):
    four = [[charge(), ask(f"call {i}")] for i in range(4)]
    refused = await pay.batch(*four)
    assert (statuses(refused), refused.exhausted) == ([None] * 4, (charge().limit,))
    assert await pay.store.records() == ()
    filed = await pay.batch(*four[:3])
    assert [standing.filed for standing in filed.standings] == [True] * 3
    assert await left(pay, charge()) == 0


async def test_parts_whose_request_waits_stand_as_they_are_when_others_cannot_be_filed(pay, ask, charge):
    (first,) = (await pay(charge(), ask())).standings
    await pay.count(charge(), 2)
    refused = await pay.batch([charge(), ask()], [charge(), ask("other")])
    assert refused.standings == (Standing(first.id, PENDING, 900.0), None)


async def test_the_same_call_twice_in_a_batch_files_one_request(pay, ask, charge):
    first, second = (await pay.batch([charge(), ask()], [charge(), ask()])).standings
    assert (first.id, first.filed, second.filed) == (second.id, True, False)
    assert await left(pay, charge()) == 2


async def test_another_digest_is_another_request(pay, ask):
    await pay.granted(ask())
    assert statuses(await pay(ask(who="bob"))) == statuses(await pay(ask("other"))) == ["pending"]


# --------------------------------------------------------------------------------------------------------- bounds


async def test_an_owner_has_at_most_20_pending_requests(pay, ask, clock):
    for i in range(20):
        assert (await pay(ask(f"call {i}", timeout=900.0 + i))).standings[0].filed
    clock.now += 300
    refused = await pay(ask("one more"))
    assert (refused.exhausted, refused.retry_after, refused.standings) == ((PENDING_LIMIT,), 600.0, (None,))
    assert statuses(await pay(ask("call 7"))) == ["pending"]
    assert (await pay(ask(who="bob"))).standings[0].filed
    clock.now += 600
    assert (await pay(ask("one more"))).standings[0].filed


async def test_a_request_that_has_ended_makes_room(pay, ask):
    ids = [(await pay(ask(f"call {i}"))).standings[0].id for i in range(20)]
    await pay.rule(ids[3], granted=False)
    await pay.rule(ids[4])
    assert (await pay(ask("a"))).standings[0].filed
    assert (await pay(ask("b"))).standings[0].filed
    assert (await pay(ask("c"))).exhausted == (PENDING_LIMIT,)


async def test_a_batch_above_the_bound_says_when_to_retry(pay, ask):
    refused = await pay.batch(*[[ask(f"call {i}")] for i in range(21)])
    assert refused.exhausted == (PENDING_LIMIT,)
    assert 0.0 < refused.retry_after < math.inf


async def test_an_owner_files_at_most_60_requests_in_ten_minutes(pay, ask, clock):
    for i in range(60):
        (standing,) = (await pay(ask(f"call {i}"))).standings
        assert standing.filed
        await pay.rule(standing.id, granted=False)
        clock.now += 1
    refused = await pay(ask("one more"))
    assert (refused.exhausted, refused.retry_after, refused.standings) == ((FILING_LIMIT,), 540.0, (None,))
    assert (await pay(ask(who="bob"))).standings[0].filed
    clock.now += 540
    assert (await pay(ask("one more"))).standings[0].filed


async def test_who_runs_a_call_has_still_filed_its_request(pay, ask):
    for i in range(60):
        await pay.granted(ask(f"call {i}"))
        assert (await pay(ask(f"call {i}"))).paid
    assert (await pay(ask("one more"))).exhausted == (FILING_LIMIT,)


# --------------------------------------------------------------------------------------------------------- rulings


async def test_a_yes_grants_and_the_next_call_runs_once(pay, ask, charge, clock):
    id_ = await pay.granted(charge(), ask(), comment="go ahead")
    clock.now += 30
    ran = await pay(charge(), ask())
    assert (ran.paid, ran.standings) == (True, (Standing(id_, GRANTED, 870.0, False, "carol", "go ahead"),))
    record = await pay.store.record(id_)
    assert (record.status, record.used, record.ended_at) == (USED, 1, 1000.0)
    assert record.rulings == (Ruling("carol", True, (0,), "go ahead", 5.0, "192.0.2.7"),)
    (anew,) = (await pay(charge(), ask())).standings
    assert (anew.filed, anew.id != id_, anew.status) == (True, True, PENDING)


async def test_a_no_sticks_to_the_call_until_it_expires(pay, ask, charge, clock):
    (standing,) = (await pay(charge(), ask())).standings
    clock.now += 100
    record = await pay.rule(standing.id, granted=False, comment="not today")
    assert (record.status, record.ended_at) == (DENIED, 1100.0)
    denied = await pay(charge(), ask())
    assert denied.standings == (Standing(standing.id, DENIED, 800.0, False, "carol", "not today"),)
    assert (denied.paid, denied.exhausted, denied.quotas[0].remaining) == (False, (), 3)
    clock.now += 799.999
    assert statuses(await pay(charge(), ask())) == ["denied"]
    clock.now = 1900.0
    assert (await pay(charge(), ask())).standings[0].filed
    assert (await pay.store.record(standing.id)).status is DENIED


async def test_a_no_to_one_part_stops_the_batch_and_files_nothing(pay, ask, charge):
    (no,) = (await pay(ask("no"))).standings
    await pay.rule(no.id, granted=False)
    yes = await pay.granted(ask("yes"))
    denied = await pay.batch([charge(), ask("new")], [ask("yes")], [ask("no")], [charge()])
    assert statuses(denied) == ["pending", "granted", "denied", None]
    assert (denied.standings[0], denied.exhausted) == (Standing("", PENDING, 900.0), ())
    assert len(await pay.store.records()) == 2
    assert await left(pay, charge()) == 3
    assert (await pay.store.record(yes)).used == 0


async def test_every_entry_must_be_satisfied_by_one_or_by_several(pay, ask):
    asked = ask(by=(("group:dba",), ("group:finance", "dave")))
    (standing,) = (await pay(asked)).standings
    assert (await pay.rule(standing.id, who="carol", satisfies=(0,))).status is PENDING
    assert (await pay.rule(standing.id, who="erin", satisfies=(0,))).status is PENDING
    assert statuses(await pay(asked)) == ["pending"]
    record = await pay.rule(standing.id, who="dave", satisfies=(1,))
    assert (record.status, [ruling.approver for ruling in record.rulings]) == (GRANTED, ["carol", "erin", "dave"])
    (other,) = (await pay(dataclasses.replace(asked, digest=b"other"))).standings
    assert (await pay.rule(other.id, who="frank", satisfies=(0, 1))).status is GRANTED


async def test_a_no_after_a_yes_ends_it_and_a_yes_after_a_no_does_nothing(pay, ask):
    (standing,) = (await pay(ask(by=(("a",), ("b",))))).standings
    await pay.rule(standing.id, who="a")
    assert (await pay.rule(standing.id, granted=False, who="b")).status is DENIED
    after = await pay.rule(standing.id, who="b", satisfies=(0, 1))
    assert (after.status, len(after.rulings)) == (DENIED, 2)


async def test_a_no_does_not_take_back_a_yes_that_was_enough(pay, ask):
    id_ = await pay.granted(ask())
    after = await pay.rule(id_, granted=False)
    assert (after.status, len(after.rulings)) == (GRANTED, 1)
    assert (await pay(ask())).paid


async def test_a_ruling_on_an_unknown_request_says_so(pay):
    assert await pay.rule("0" * 32) is None
    assert await pay.store.record("0" * 32) is None


async def test_a_ruling_after_the_time_is_over_does_nothing(pay, ask, clock):
    (standing,) = (await pay(ask())).standings
    clock.now += 900
    after = await pay.rule(standing.id)
    assert (after.status, after.rulings, after.ended_at) == (EXPIRED, (), 1900.0)
    assert (await pay(ask())).standings[0].filed


# ---------------------------------------------------------------------------------------------------------- grants


async def test_a_grant_ends_with_the_time_of_its_request(pay, ask, clock):
    (standing,) = (await pay(ask())).standings
    clock.now += 800
    await pay.rule(standing.id)
    clock.now += 99.999
    assert statuses(await pay(ask(), peek=True)) == ["granted"]
    clock.now = 1900.0
    assert (await pay(ask())).standings[0].filed
    record = await pay.store.record(standing.id)
    assert (record.status, record.ended_at, record.expires_at) == (EXPIRED, 1800.0, 1900.0)


@pytest.mark.parametrize("remember", [60.0, 3600.0])
async def test_a_grant_that_is_remembered_ends_that_long_after_the_yes(pay, ask, clock, remember):
    asked = ask(uses=0, remember=remember)
    (standing,) = (await pay(asked)).standings
    clock.now += 100
    record = await pay.rule(standing.id)
    assert record.expires_at == clock.now + remember
    for i in range(9):
        clock.now = 1100 + i * remember / 9
        assert (await pay(asked)).paid
    record = await pay.store.record(standing.id)
    assert (record.status, record.used) == (GRANTED, 9)
    clock.now = 1100 + remember
    assert (await pay(asked)).standings[0].filed
    assert (await pay.store.record(standing.id)).status is EXPIRED


async def test_a_grant_of_three_uses_serves_three_calls(pay, ask):
    id_ = await pay.granted(ask(uses=3))
    assert [(await pay(ask(uses=3))).paid for _ in range(4)] == [True] * 3 + [False]
    assert (await pay.store.record(id_)).used == 3


async def test_an_exhausted_limit_leaves_the_grant(pay, ask, charge, clock):
    id_ = await pay.granted(ask())
    await pay.count(charge(), 3)
    refused = await pay(charge(), ask())
    assert (refused.paid, refused.exhausted, refused.retry_after) == (False, (charge().limit,), 60.0)
    assert refused.standings == (Standing(id_, GRANTED, 900.0, False, "carol"),)
    assert (await pay.store.record(id_)).used == 0
    clock.now += 60
    assert (await pay(charge(), ask())).paid


async def test_a_peek_claims_nothing(pay, ask, charge):
    id_ = await pay.granted(charge(), ask())
    peeked = await pay(charge(), ask(), peek=True)
    assert (peeked.paid, statuses(peeked), peeked.quotas[0].remaining) == (True, ["granted"], 2)
    assert (await pay.store.record(id_)).used == 0
    assert (await pay(charge(), ask())).paid


async def test_each_part_of_a_batch_claims_its_own(pay, ask):
    await pay.granted(ask("a"))
    waits = await pay.batch([ask("a")], [ask("b")])
    assert statuses(waits) == ["granted", "pending"]
    await pay.rule(waits.standings[1].id)
    assert (await pay.batch([ask("a")], [ask("b")])).paid
    assert statuses(await pay.batch([ask("a")], [ask("b")])) == ["pending", "pending"]


async def test_the_same_call_twice_in_a_batch_needs_two_uses(pay, ask, charge):
    once, twice = ask("once"), ask("twice", uses=2)
    id_ = await pay.granted(once)
    refused = await pay.batch([charge(), once], [charge(), once])
    assert (refused.paid, statuses(refused)) == (False, ["granted", "pending"])
    assert [standing.id for standing in refused.standings] == [id_, id_]
    assert await left(pay, charge()) == 3
    assert (await pay(once)).paid
    await pay.granted(twice)
    assert (await pay.batch([twice], [twice])).paid
    assert statuses(await pay(twice)) == ["pending"]


# ------------------------------------------------------------------------------------------ what filing has charged


async def test_a_call_counts_once_at_the_time_it_runs(pay, ask, charge, clock):
    await pay.granted(charge(), ask())
    clock.now += 30
    assert (await pay(charge(), ask())).quotas[0].remaining == 2
    clock.now += 30
    assert await left(pay, charge()) == 2
    clock.now += 30
    assert await left(pay, charge()) == 3


@pytest.mark.parametrize("algorithm", ["sliding_window", "fixed_window", "token_bucket"])
async def test_what_it_has_filed_itself_never_makes_the_call_fail(pay, ask, charge, limit, clock, algorithm):
    clock.now = 1020.0
    one = charge(limit(1, 60.0, "calls", algorithm, 1))
    await pay.granted(one, ask())
    clock.now += 59.5
    ran = await pay(one, ask())
    assert (ran.paid, ran.quotas[0].remaining) == (True, 0)
    assert not (await pay(one)).paid


@pytest.mark.parametrize("algorithm", ["sliding_window", "fixed_window", "token_bucket"])
async def test_nothing_is_taken_back_that_has_left_already(pay, ask, charge, limit, clock, algorithm):
    clock.now = 1020.0
    one = charge(limit(1, 60.0, "calls", algorithm, 1))
    await pay.granted(one, ask())
    clock.now += 60
    assert (await pay(one)).paid
    assert (await pay(one, ask())).exhausted == (one.limit,)


async def test_what_others_have_paid_since_is_not_taken_back(pay, ask, charge, limit, clock):
    two = charge(limit(2))
    await pay.granted(two, ask())
    clock.now += 30
    await pay(two)
    clock.now += 30
    await pay(two)
    assert (await pay(two, ask())).exhausted == (two.limit,)


async def test_a_bucket_gives_nothing_back_twice(pay, ask, charge, limit, clock):
    two = charge(limit(60, 60.0, "calls", "token_bucket", 2))
    await pay.granted(two, ask())
    clock.now += 0.5
    await pay(two)
    clock.now += 0.5  # the token that filing took has come back by itself
    await pay(two)
    refused = await pay(two, ask())
    assert (refused.paid, refused.exhausted, refused.retry_after) == (False, (two.limit,), 1.0)


@pytest.mark.parametrize("algorithm", ["sliding_window", "fixed_window", "token_bucket"])
async def test_a_refused_run_leaves_what_filing_has_charged(pay, ask, charge, limit, algorithm):
    one, narrow = charge(limit(2, 60.0, "calls", algorithm, 2)), charge(limit(1, name="narrow"))
    await pay.granted(one, ask())
    await pay(narrow)
    for peek in (False, True):
        refused = await pay(one, narrow, ask(), peek=peek)
        assert (refused.paid, refused.exhausted) == (False, (narrow.limit,))
    assert await left(pay, one) == 1


async def test_a_refused_run_counts_nothing_that_has_left(pay, ask, charge, clock):
    await pay.granted(charge(), ask())
    clock.now += 10
    await pay(charge())
    clock.now += 50
    refused = await pay.batch([charge(), ask()], [charge(cost=2.5)])
    assert (refused.paid, refused.quotas[0].remaining) == (False, 2)


async def test_it_is_taken_back_once(pay, ask, charge, limit):
    one, asked = charge(limit(9)), ask(uses=3)
    await pay.granted(one, asked)
    assert [(await pay(one, asked)).quotas[0].remaining for _ in range(3)] == [8, 7, 6]


async def test_what_a_batch_has_filed_is_taken_back_together(pay, ask, charge):
    parts = [[charge(), ask(f"call {i}")] for i in range(3)]
    for standing in (await pay.batch(*parts)).standings:
        await pay.rule(standing.id)
    ran = await pay.batch(*parts)
    assert (ran.paid, ran.quotas[0].remaining) == (True, 0)


async def test_what_a_denied_request_has_charged_stays_charged(pay, ask, charge):
    (standing,) = (await pay(charge(), ask())).standings
    await pay.rule(standing.id, granted=False)
    await pay(charge(), ask())
    assert await left(pay, charge()) == 2


@pytest.mark.parametrize("algorithm", ["sliding_window", "fixed_window", "token_bucket"])
async def test_a_session_takes_back_what_it_has_filed_while_it_shared_a_counter(
    pay, ask, charge, limit, clock, algorithm
):
    two = limit(2, 60.0, "calls", algorithm, 2)
    clock.now = 1020.0
    for i in range(10):
        await pay(charge(two, session=f"s{i}"))
    clock.now += 25
    late = charge(two, session="late")
    await pay.granted(late, ask())
    assert (await pay(late)).paid
    clock.now += 10 if algorithm == "token_bucket" else 35  # a place for its own counter, which counts what it shared
    ran = await pay(late, ask())
    assert (ran.paid, ran.quotas[0].remaining) == (True, 1 if algorithm == "fixed_window" else 0)


async def test_after_a_reset_there_is_nothing_to_take_back(pay, ask, charge):
    await pay.granted(charge(), ask())
    await pay.store.reset("bank")
    await pay(charge())
    assert (await pay(charge(), ask())).quotas[0].remaining == 1


# --------------------------------------------------------------------------------------------------------- repeats


async def test_a_check_asked_twice_claims_and_charges_once(pay, ask, charge, clock):
    id_ = await pay.granted(charge(), ask())
    for _ in range(5):
        clock.now += 1.9
        ran = await pay(charge(), ask(), key=b"one")
        assert (ran.paid, statuses(ran), ran.standings[0].id) == (True, ["granted"], id_)
        assert ran.quotas[0].remaining == 2
    assert (await pay.store.record(id_)).used == 1
    clock.now += 5
    assert statuses(await pay(charge(), ask(), key=b"one")) == ["pending"]


async def test_a_repeat_is_covered_though_the_same_call_was_filed_anew(pay, ask):
    id_ = await pay.granted(ask())
    await pay(ask(), key=b"one")
    (anew,) = (await pay(ask(), key=b"two")).standings
    again = await pay(ask(), key=b"one")
    assert (again.paid, again.standings[0].id) == (True, id_)
    assert statuses(await pay(ask(), key=b"two")) == ["pending"]
    assert (await pay.store.record(anew.id)).status is PENDING


async def test_a_repeat_covers_no_more_than_it_has_claimed(pay, ask):
    asked = ask(uses=2)
    await pay.granted(asked)
    assert (await pay(asked, key=b"one")).paid
    assert (await pay.batch([asked], [asked], key=b"one")).paid
    assert (await pay.batch([asked], [asked], key=b"one")).paid
    assert statuses(await pay.batch([asked], [asked], [asked], key=b"one")) == ["granted", "granted", "pending"]
    assert statuses(await pay(asked, key=b"two")) == ["pending"]


async def test_a_repeat_does_not_stand_for_an_approval(pay, ask, charge):
    await pay(charge(), key=b"one")
    assert statuses(await pay(charge(), ask(), key=b"one")) == ["pending"]


async def test_a_repeat_of_a_check_that_filed_joins(pay, ask, charge):
    (first,) = (await pay(charge(), ask(), key=b"one")).standings
    again = await pay(charge(), ask(), key=b"one")
    assert (again.standings[0].id, again.standings[0].filed, again.quotas[0].remaining) == (first.id, False, 2)


async def test_a_check_that_filed_runs_when_it_is_asked_again_after_the_yes(pay, ask, charge):
    await pay.rule((await pay(charge(), ask(), key=b"one")).standings[0].id)
    assert [(await pay(charge(), ask(), key=b"one")).paid for _ in range(3)] == [True] * 3
    assert statuses(await pay(charge(), ask(), key=b"two")) == ["pending"]


# ---------------------------------------------------------------------------------------------------------- people


async def test_records_are_the_newest_first(pay, ask, clock):
    ids = []
    for i in range(5):
        ids.append((await pay(ask(f"call {i}"))).standings[0].id)
        clock.now += 1
    await pay.rule(ids[1], granted=False)
    assert [record.id for record in await pay.store.records()] == ids[::-1]
    assert [record.id for record in await pay.store.records(most=2)] == ids[:2:-1]


async def test_records_are_chosen_before_they_are_bounded(pay, ask, clock):
    ids = []
    for i in range(5):
        ids.append((await pay(ask(f"call {i}"))).standings[0].id)
        clock.now += 1
    for id_ in ids[2:]:
        await pay.rule(id_, granted=False)

    async def listed(**chosen):
        return [ids.index(record.id) for record in await pay.store.records(**chosen)]

    assert await listed(pending=True) == [1, 0]
    assert await listed(pending=True, most=1) == [1]
    assert await listed(pending=False) == [4, 3, 2]
    assert await listed(pending=False, most=2) == [4, 3]
    assert await listed(wanted=lambda one: one.id == ids[0], most=1) == [0]
    assert await listed(wanted=lambda one: one.id in (ids[0], ids[2]), pending=False, most=1) == [2]
    assert await listed(wanted=lambda one: one.id == ids[0], pending=False) == []
    clock.now += 900
    assert await listed(pending=True) == []
    assert await listed(pending=False) == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("end", ["denied", "used", "expired", "lapsed"])
async def test_what_has_ended_is_shown_for_a_day(pay, ask, clock, end):
    (standing,) = (await pay(ask())).standings
    if end != "expired":
        await pay.rule(standing.id, granted=end != "denied")
    if end == "used":
        await pay(ask())
    ended = 1900.0 if end in ("expired", "lapsed") else 1000.0
    clock.now = ended + HISTORY - 1
    assert [record.id for record in await pay.store.records()] == [standing.id]
    clock.now = ended + HISTORY + 1
    assert await pay.store.records() == ()
    assert await pay.store.record(standing.id) is None
    assert await pay.rule(standing.id) is None


async def test_a_pending_request_is_shown_however_long_it_waits(pay, ask, clock):
    (standing,) = (await pay(ask(timeout=3 * HISTORY))).standings
    clock.now += 2 * HISTORY
    assert [record.id for record in await pay.store.records()] == [standing.id]
    await pay.rule(standing.id, granted=False)
    clock.now += HISTORY - 1
    assert statuses(await pay(ask())) == ["denied"]


async def test_changes_grow_with_all_that_becomes_of_requests(pay, ask, charge, clock):
    seen = [await pay.store.changes()]

    async def grown():
        seen.append(await pay.store.changes())
        return seen[-1] > seen[-2]

    (standing,) = (await pay(ask())).standings
    assert await grown()
    await pay.rule(standing.id)
    assert await grown()
    await pay(ask())
    assert await grown()
    await pay(ask())
    assert await grown()
    clock.now += 900
    assert await grown()
    await pay(charge())
    await pay(ask(), peek=True)
    await pay.rule(standing.id)
    assert not await grown()


# ----------------------------------------------------------------------------------------------------------- races


async def test_of_200_calls_at_once_one_claims_the_grant(pay, ask, charge, limit):
    one = charge(limit(1000))
    id_ = await pay.granted(one, ask())
    attempts = [pay.store.discharge(Attempt([Owed((one,), ask())])) for _ in range(200)]
    ran = await asyncio.gather(*attempts)
    assert sum(discharge.paid for discharge in ran) == 1
    assert len([one for one in ran if one.standings[0].filed]) == 1
    assert sorted(record.used for record in await pay.store.records()) == [0, 1]
    assert (await pay.store.record(id_)).status is USED
    assert await left(pay, one) == 998  # the call that ran and the one request that was filed anew


async def test_of_200_calls_at_once_as_many_pass_as_the_limit_says(pay, charge, limit):
    one = charge(limit(100))
    ran = await asyncio.gather(*[pay(one) for _ in range(200)])
    assert sum(discharge.paid for discharge in ran) == 100


async def test_of_100_approvers_at_once_one_decides(pay, ask):
    (standing,) = (await pay(ask())).standings
    records = await asyncio.gather(*[pay.rule(standing.id, granted=i % 2 == 0, who=f"a{i}") for i in range(100)])
    assert {record.status for record in records} == {records[0].status}
    assert len((await pay.store.record(standing.id)).rulings) == 1
