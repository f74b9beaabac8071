"""What every store promises (authz/state/store.py, policies/README.md 5 and 6), whichever it is."""

from __future__ import annotations

import math

import pytest
from msgspec import structs

from authz.errors import StoreError
from authz.model import Discharge, Quota, Ruling
from authz.state.store import Attempt, Owed


async def test_an_attempt_that_owes_nothing_is_paid(pay):
    assert await pay() == Discharge(paid=True, standings=(None,))
    assert await pay.batch() == Discharge(paid=True)


async def test_a_limit_lets_max_calls_through_and_refuses_the_next(pay, charge, limit):
    assert [(await pay(charge())).quotas[0].remaining for _ in range(3)] == [2, 1, 0]
    assert await pay(charge()) == Discharge(
        paid=False, exhausted=(limit(),), retry_after=60.0, quotas=(Quota(limit(), 0, 60.0),), standings=(None,)
    )


async def test_there_is_no_double_burst_at_a_window_edge(pay, charge, clock):
    clock.now = 59.0
    assert await pay.count(charge(), 3) == 3
    clock.now = 60.5
    assert not (await pay(charge())).paid
    clock.now = 119.5
    assert (await pay(charge())).paid


async def test_a_call_counts_for_the_window_and_not_at_its_end(pay, charge, limit, clock):
    one = charge(limit(1))
    assert (await pay(one)).paid
    clock.now += 59.999
    refused = await pay(one)
    assert not refused.paid
    assert refused.retry_after == pytest.approx(0.001)
    clock.now = 1060.0
    assert (await pay(one)).paid


async def test_the_time_to_retry_is_exact(pay, charge, limit, clock):
    for step in (0.1, 0.2, 0.3):
        clock.now += step
        assert (await pay(charge())).paid
    refused = await pay(charge(cost=2.0))
    start = clock.now
    clock.now = math.nextafter(start + refused.retry_after, 0.0)
    assert not (await pay(charge(cost=2.0))).paid
    clock.now = start + refused.retry_after
    assert (await pay(charge(cost=2.0))).paid


async def test_a_refused_call_consumes_nothing(pay, charge, clock):
    assert await pay.count(charge(), 20) == 3
    clock.now += 60
    assert await pay.count(charge(), 20) == 3


async def test_a_batch_above_the_limit_is_refused_whole_and_consumes_nothing(pay, charge):
    refused = await pay.batch(*[[charge()]] * 5)
    assert (refused.paid, refused.retry_after, refused.quotas[0].remaining) == (False, math.inf, 3)
    assert (await pay.batch(*[[charge()]] * 3)).quotas[0].remaining == 0
    assert not (await pay(charge())).paid


async def test_several_charges_of_one_counter_add_up_within_a_message(pay, charge):
    assert (await pay(charge(), charge())).quotas[0].remaining == 1
    assert not (await pay(charge(), charge())).paid
    assert (await pay(charge())).paid


async def test_all_limits_are_charged_or_none(pay, charge, limit):
    narrow, wide = limit(1, name="narrow"), limit(5, name="wide")
    assert (await pay(charge(narrow))).paid
    for order in ((narrow, wide), (wide, narrow)):
        refused = await pay(*map(charge, order))
        assert (refused.paid, refused.exhausted) == (False, (narrow,))
        assert {quota.limit.name: quota.remaining for quota in refused.quotas} == {"narrow": 0, "wide": 5}


async def test_the_time_to_retry_is_that_of_the_last_limit_to_open(pay, charge, limit, clock):
    short, long = charge(limit(1, 10.0, "short")), charge(limit(1, 600.0, "long"))
    await pay(long)
    clock.now += 5
    await pay(short)
    refused = await pay(short, long)
    assert [exhausted.name for exhausted in refused.exhausted] == ["short", "long"]
    assert refused.retry_after == 595.0


async def test_a_cost_above_the_whole_limit_never_passes_and_harms_nothing(pay, charge):
    for cost in (3.5, 9223372036854775808.0, 1e308):
        refused = await pay(charge(cost=cost))
        assert (refused.paid, refused.retry_after, refused.quotas[0].remaining) == (False, math.inf, 3)
    assert (await pay.batch([charge(cost=1e308)], [charge(cost=1e308)])).retry_after == math.inf
    assert (await pay(charge(cost=3.0))).paid


@pytest.mark.parametrize("cost", [0.0, -1.0, math.nan, math.inf, -math.inf])
async def test_a_cost_that_is_no_positive_number_is_an_error_and_charges_nothing(pay, charge, cost):
    with pytest.raises(StoreError) as caught:
        await pay(charge(), charge(cost=cost))
    assert str(caught.value) == f"calls: expected a finite cost above 0, got {cost!r}"
    assert (await pay(charge())).quotas[0].remaining == 2


async def test_fractional_costs_add_up(pay, charge, limit):
    tenth = charge(limit(1), cost=0.1)
    assert await pay.count(tenth, 11) == 10


async def test_fractions_of_one_instant_add_up_exactly(pay, charge, limit):
    assert await pay.count(charge(limit(7), cost=0.7), 11) == 10


async def test_callers_limits_and_windows_have_counters_of_their_own(pay, charge, limit):
    assert await pay.count(charge(), 4) == 3
    for other in (
        charge(who="bob"),
        charge(anonymous=True),
        charge(tool="x"),
        charge(limit(name="other")),
        charge(limit(window=30.0)),
        charge(structs.replace(limit(), window=61.0)),
    ):
        assert await pay.count(other, 4) == 3


async def test_descriptors_are_tuples_and_no_joined_text(pay, charge):
    one, other = charge(who="a", tool="b"), charge(who='a"), ("tool", "b')
    assert await pay.count(one, 4) == await pay.count(other, 4) == 3


async def test_a_changed_max_keeps_the_counter(pay, charge, limit):
    assert await pay.count(charge(limit(5)), 4) == 4
    lower = await pay(charge(limit(2)))
    assert (lower.paid, lower.quotas[0].remaining) == (False, 0)
    assert (await pay(charge(limit(6)))).quotas[0].remaining == 1


async def test_quotas_say_when_a_whole_window_is_free_again(pay, charge, clock):
    await pay(charge())
    clock.now += 20
    assert (await pay(charge())).quotas[0].reset == 60.0
    clock.now += 20
    assert (await pay(charge(), peek=True)).quotas[0].reset == 40.0


async def test_a_peek_says_what_would_happen_and_pays_nothing(pay, charge, limit):
    for _ in range(5):
        assert await pay(charge(), peek=True) == Discharge(True, quotas=(Quota(limit(), 3, 0.0),), standings=(None,))
    assert await pay.count(charge(), 4) == 3
    peeked = await pay(charge(), peek=True)
    assert (peeked.paid, peeked.exhausted, peeked.retry_after) == (False, (limit(),), 60.0)


# -------------------------------------------------------------------------------------------------------- algorithms

ALGORITHMS = ["sliding_window", "fixed_window", "token_bucket"]


@pytest.fixture(params=ALGORITHMS)
def three(request, limit):
    """Three calls at once and three in 60 s, by every algorithm."""
    return limit(3, 60.0, "calls", request.param, 3)


async def test_three_pass_at_once_whatever_the_algorithm(pay, charge, three):
    assert [(await pay(charge(three))).quotas[0].remaining for _ in range(3)] == [2, 1, 0]
    refused = await pay(charge(three))
    assert (refused.paid, refused.exhausted, refused.quotas[0].remaining) == (False, (three,), 0)
    assert await pay.count(charge(three, who="bob"), 4) == 3


async def test_after_the_time_to_retry_a_call_passes_and_not_before(pay, charge, three, clock):
    clock.now += 7
    await pay.count(charge(three), 3)
    refused = await pay(charge(three, cost=0.5))
    start = clock.now
    clock.now = start + refused.retry_after - 0.01
    assert not (await pay(charge(three, cost=0.5))).paid
    clock.now = start + refused.retry_after
    assert (await pay(charge(three, cost=0.5))).paid


async def test_what_is_refused_or_peeked_consumes_nothing_whatever_the_algorithm(pay, charge, three):
    for _ in range(5):
        assert (await pay(charge(three), peek=True)).paid
        assert not (await pay(charge(three, cost=3.5))).paid
        assert not (await pay.batch([charge(three, cost=2.0)], [charge(three, cost=1.25)])).paid
    assert await pay.count(charge(three), 4) == 3


async def test_a_cost_above_the_whole_never_passes_whatever_the_algorithm(pay, charge, three):
    assert (await pay(charge(three, cost=3.5))).retry_after == math.inf
    assert (await pay(charge(three, cost=3.0))).paid


async def test_tenths_add_up_to_one_whatever_the_algorithm(pay, charge, limit):
    for algorithm in ALGORITHMS:
        assert await pay.count(charge(limit(1, 3600.0, "calls", algorithm, 1), cost=0.1), 11) == 10


async def test_a_request_asked_twice_is_charged_once_whatever_the_algorithm(pay, charge, three):
    assert [(await pay(charge(three), key=b"one")).quotas[0].remaining for _ in range(3)] == [2, 2, 2]


async def test_sessions_are_bound_whatever_the_algorithm(pay, charge, three):
    assert sum([(await pay(charge(three, session=f"s{i}"))).paid for i in range(100)]) == 13
    assert sum([await pay.count(charge(three, who="bob", session=f"s{i}"), 4) for i in range(11)]) == 30


async def test_another_algorithm_is_another_counter(pay, charge, limit):
    for algorithm in ALGORITHMS:
        assert await pay.count(charge(limit(3, 60.0, "calls", algorithm, 3)), 4) == 3


async def test_a_changed_max_keeps_the_counter_whatever_the_algorithm(pay, charge, limit):
    for algorithm in ALGORITHMS:
        assert await pay.count(charge(limit(5, 60.0, "calls", algorithm, 5)), 4) == 4
        lower = await pay(charge(limit(2, 60.0, "calls", algorithm, 2)))
        assert (lower.paid, lower.quotas[0].remaining) == (False, 0)
        assert (await pay(charge(limit(6, 60.0, "calls", algorithm, 6)))).quotas[0].remaining == 1


async def test_a_limit_scaled_down_for_a_share_counts_on_the_same_counter(pay, charge, three):
    await pay(charge(three))
    share = structs.replace(three, max=1, burst=1)
    assert not (await pay(charge(share))).paid
    assert (await pay(charge(three))).quotas[0].remaining == 1


async def test_a_fixed_window_ends_at_its_multiple_of_utc(pay, charge, limit, clock):
    fixed = charge(limit(3, 60.0, "calls", "fixed_window"))
    clock.now = 1000.0  # 40 s into its minute
    assert await pay.count(fixed, 3) == 3
    refused = await pay(fixed)
    assert (refused.retry_after, refused.quotas[0].reset) == (20.0, 20.0)
    clock.now = 1019.999
    assert not (await pay(fixed)).paid
    clock.now = 1020.0
    assert (await pay(fixed, peek=True)).quotas == (Quota(fixed.limit, 3, 0.0),)
    assert await pay.count(fixed, 4) == 3
    assert (await pay(fixed)).retry_after == 60.0


async def test_a_day_begins_at_midnight_utc(pay, charge, limit, clock):
    day = charge(limit(1, 86400.0, "spend", "fixed_window"))
    clock.now = 86399.0
    assert (await pay(day)).paid
    assert (await pay(day)).retry_after == 1.0
    clock.now = 86400.0
    assert (await pay(day)).paid
    assert (await pay(day)).retry_after == 86400.0


async def test_a_token_bucket_starts_full_and_fills_continuously(pay, charge, limit, clock):
    bucket = charge(limit(60, 60.0, "calls", "token_bucket", 5))
    assert await pay.count(bucket, 9) == 5
    assert (await pay(bucket)).retry_after == 1.0
    assert (await pay(structs.replace(bucket, cost=4.0))).retry_after == 4.0
    clock.now += 0.5
    refused = await pay(bucket)
    assert (refused.retry_after, refused.quotas) == (0.5, (Quota(bucket.limit, 0, 4.5),))
    clock.now += 2.0
    assert (await pay(bucket)).quotas == (Quota(bucket.limit, 1, 3.5),)
    clock.now += 600.0
    assert await pay.count(bucket, 9) == 5


async def test_a_bucket_is_bound_by_its_burst_and_not_by_max(pay, charge, limit):
    narrow, wide = limit(60, 60.0, "narrow", "token_bucket", 2), limit(1, 60.0, "wide", "token_bucket", 4)
    assert (await pay(charge(narrow, cost=2.5))).retry_after == math.inf
    assert await pay.count(charge(wide), 9) == 4
    assert (await pay(charge(wide))).retry_after == 60.0


async def test_another_pace_counts_from_now_on(pay, charge, limit, clock):
    slow, fast = limit(6, 60.0, "calls", "token_bucket", 6), limit(60, 60.0, "calls", "token_bucket", 6)
    await pay.count(charge(slow), 6)
    clock.now += 10  # one token
    assert (await pay(charge(fast), peek=True)).quotas[0].remaining == 1
    clock.now += 2
    assert (await pay(charge(fast), peek=True)).quotas[0].remaining == 3


# ------------------------------------------------------------------------------------------------------- sessions


async def test_each_session_of_a_principal_has_its_own_counter(pay, charge):
    for session in "abc":
        assert await pay.count(charge(session=session), 4) == 3
    assert await pay.count(charge(session="a", who="bob"), 4) == 3


async def test_rotating_the_session_id_does_not_win(pay, charge):
    paid = [(await pay(charge(session=f"s{i}"))).paid for i in range(100)]
    assert sum(paid) == 13  # ten sessions called once, the others share one counter of three
    assert await pay.count(charge(who="bob", session="s0"), 4) == 3


async def test_all_sessions_of_a_principal_together_get_ten_times_max(pay, charge):
    paid = 0
    for i in range(11):
        paid += await pay.count(charge(session=f"s{i}"), 4)
    assert paid == 30
    refused = await pay(charge(session="s0"))
    assert refused.exhausted == (charge().limit,)
    assert [quota.remaining for quota in refused.quotas] == [0]


async def test_the_place_of_a_session_is_free_when_its_window_is_empty(pay, charge, limit, clock):
    for i in range(10):
        await pay(charge(session=f"s{i}"))
        clock.now += 1
    assert await pay.count(charge(session="late"), 4) == 3
    clock.now = 1060.0  # s0 has left, and with it three calls of sessions without a counter are still counted
    assert not (await pay(charge(session="late"))).paid
    clock.now = 1070.0  # now these have left too
    assert await pay.count(charge(session="late"), 4) == 3


async def test_a_session_gets_no_second_window_by_getting_a_counter(pay, charge, clock):
    for i in range(10):
        await pay(charge(session=f"s{i}"))
    clock.now += 50
    assert await pay.count(charge(session="late"), 4) == 3
    clock.now += 10
    assert await pay.count(charge(session="late"), 4) == 0


async def test_sessions_in_one_batch_are_told_apart(pay, charge):
    assert (await pay.batch(*[[charge(session=f"s{i}")] for i in range(13)])).paid
    assert not (await pay(charge(session="s12"))).paid
    assert (await pay(charge(session="s9"))).paid


async def test_a_refused_batch_takes_no_sessions_place(pay, charge):
    assert not (await pay.batch(*[[charge(session=f"s{i}")] for i in range(10)], [charge(session="s0")] * 3)).paid
    for i in range(10):
        assert await pay.count(charge(session=f"t{i}"), 2) == 2


async def test_a_long_session_id_is_a_session_like_any_other(pay, charge):
    one, other = charge(session="x" * 60_000), charge(session="x" * 60_000 + "\ud800")
    assert await pay.count(one, 4) == await pay.count(other, 4) == 3


# -------------------------------------------------------------------------------------------------------- repeats


async def test_a_request_asked_twice_is_charged_once(pay, charge, clock):
    for _ in range(20):
        clock.now += 0.4
        paid = await pay(charge(), key=b"one")
        assert paid.paid
        assert paid.quotas[0].remaining == 2
    assert (await pay(charge(), key=b"two")).quotas[0].remaining == 1


async def test_a_request_asked_again_after_ten_seconds_is_charged_again(pay, charge, clock):
    await pay(charge(), key=b"one")
    clock.now += 9.999
    assert (await pay(charge(), key=b"one")).quotas[0].remaining == 2
    clock.now = 1010.0
    assert (await pay(charge(), key=b"one")).quotas[0].remaining == 1
    clock.now = 1019.0
    assert (await pay(charge(), key=b"one")).quotas[0].remaining == 1


async def test_requests_without_a_key_are_never_repeats(pay, charge):
    assert await pay.count(charge(), 4) == 3


async def test_a_repeat_passes_when_the_limit_is_exhausted_meanwhile(pay, charge, limit):
    await pay(charge(), key=b"one")
    await pay.count(charge(), 2)
    assert (await pay(charge(), key=b"one")).paid
    assert (await pay(charge(limit(1)), key=b"one")).paid
    assert (await pay(charge(), key=b"one", peek=True)).paid
    assert not (await pay(charge(), key=b"two")).paid


async def test_a_refused_request_is_not_remembered(pay, charge, clock):
    await pay.count(charge(), 2)
    clock.now += 55
    await pay(charge())
    assert not (await pay(charge(), key=b"one")).paid
    clock.now += 5
    assert (await pay(charge(), key=b"one")).quotas[0].remaining == 1
    assert (await pay(charge(), key=b"one", peek=True)).quotas[0].remaining == 1


async def test_a_peek_is_not_remembered(pay, charge):
    await pay(charge(), key=b"one", peek=True)
    assert (await pay(charge(), key=b"one")).quotas[0].remaining == 2


async def test_a_repeat_that_owes_more_is_charged_the_difference(pay, charge, limit):
    other = charge(limit(name="other"))
    await pay(charge(), key=b"one")
    assert {q.limit.name: q.remaining for q in (await pay(charge(), other, key=b"one")).quotas} == {
        "calls": 2,
        "other": 2,
    }
    for _ in range(2):
        again = await pay.batch([charge(), other], [charge()], key=b"one")
        assert {q.limit.name: q.remaining for q in again.quotas} == {"calls": 1, "other": 2}


async def test_a_repeat_by_another_caller_is_charged(pay, charge):
    await pay(charge(), key=b"one")
    assert (await pay(charge(who="bob"), key=b"one")).quotas[0].remaining == 2
    assert not (await pay.batch(*[[charge(who="bob")]] * 4, key=b"one")).paid


# ------------------------------------------------------------------------------------------------- usage and reset


async def test_usage_tells_who_has_used_what(pay, charge, limit):
    await pay(charge(cost=2.0), charge(limit(9, 30.0, "other")))
    assert {(u.limit.name, u.descriptor, u.used, u.max, u.resets_in) for u in await pay.store.usage()} == {
        ("calls", (("principal", "alice"),), 2.0, 3, 60.0),
        ("other", (("principal", "alice"),), 1.0, 9, 30.0),
    }
    assert len(await pay.store.usage(1)) == 1


async def test_usage_is_of_one_server_and_one_limit_before_it_is_bounded(pay, charge, limit):
    elsewhere = structs.replace(limit(name="rare"), key=("shop", "rare"), server="shop")
    for who in ("alice", "bob", "carol"):
        await pay(charge(who=who), charge(limit(name="rare"), who=who))
    await pay(charge(elsewhere))

    async def listed(*most, **named):
        return sorted((u.limit.server, u.limit.name) for u in await pay.store.usage(*most, **named))

    assert await listed(1, server="shop") == await listed(1, server="shop", limit="rare") == [("shop", "rare")]
    assert await listed(limit="rare") == [("bank", "rare")] * 3 + [("shop", "rare")]
    assert await listed(2, server="bank", limit="rare") == [("bank", "rare")] * 2
    assert await listed(server="bank", limit="rarer") == await listed(server="none") == []


async def test_usage_of_a_fixed_window_and_of_a_bucket(pay, charge, limit, clock):
    await pay(charge(limit(5, 60.0, "fixed", "fixed_window")))
    await pay(charge(limit(60, 60.0, "bucket", "token_bucket", 5), cost=4.0))
    clock.now += 1
    assert {(u.limit.name, u.used, u.max, u.resets_in) for u in await pay.store.usage()} == {
        ("fixed", 1.0, 5, 19.0),
        ("bucket", 3.0, 5, 3.0),
    }


async def test_a_reset_forgets_the_counters_of_one_limit_of_one_server(pay, charge, limit):
    other, elsewhere = limit(name="other"), structs.replace(limit(), key=("shop", "calls"), server="shop")
    for one in (charge(), charge(who="bob"), charge(other), charge(elsewhere)):
        await pay.count(one, 3)
    assert await pay.store.reset("bank", "calls") == 2
    assert [await pay.count(charge(who=who), 4) for who in ("alice", "bob")] == [3, 3]
    assert await pay.count(charge(other), 1) == await pay.count(charge(elsewhere), 1) == 0


async def test_a_reset_of_all_limits_of_a_server(pay, charge, limit):
    await pay(charge(), charge(limit(name="other"), anonymous=True), charge(session="s"))
    assert await pay.store.reset("shop") == 0
    assert await pay.store.reset("bank") == 4  # a session's is counted with the one that caps its principal's
    assert await pay.store.usage() == ()
    assert await pay.store.reset("bank") == 0
    assert await pay.count(charge(session="s"), 4) == 3


# ---------------------------------------------------------------------------------------------------------- close


async def test_a_closed_store_cannot_tell(pay, charge, store):
    await store.close()
    for attempt in (Attempt([Owed((charge(),))]), Attempt([])):
        with pytest.raises(StoreError, match=r"store: expected it open, got a call after close$"):
            await store.discharge(attempt)
    for asked in (
        store.usage(),
        store.reset("bank"),
        store.records(),
        store.record("1"),
        store.submit("1", Ruling("carol", True)),
        store.changes(),
    ):
        with pytest.raises(StoreError, match=r"store: expected it open, got a call after close$"):
            await asked
    await store.close()
