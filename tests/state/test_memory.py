"""What is the embedded store's own: bounded tables, the clock, what it tells of itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from authz.errors import StoreError
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed


@pytest.fixture
def build(clock, payer):
    """A store with these bounds, ready to be paid."""
    return lambda **bounds: payer(MemoryStore(clock, **bounds))


def test_it_knows_no_event_loop():
    code = "import sys, authz.state.memory; print([m for m in sys.modules if m.split('.')[0] in ('asyncio', 'grpc')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - own code
    assert done.stdout == "[]\n"


def test_it_never_suspends(run, charge):
    assert run(MemoryStore().discharge(Attempt([Owed((charge(),))]))).paid


async def test_a_closed_store_says_so_and_is_empty(build, charge):
    pay = build()
    await pay(charge(), key=b"one")
    await pay.store.close()
    assert (pay.store.size, pay.store.repeats_size, pay.store.requests_size) == (0, 0, 0)
    with pytest.raises(StoreError) as caught:
        await pay()
    assert str(caught.value) == "memory store: expected it open, got a call after close"


# ---------------------------------------------------------------------------------------------------------- clock


async def test_a_clock_that_goes_back_neither_refills_nor_locks(build, charge, clock):
    pay = build()
    assert await pay.count(charge(), 4) == 3
    clock.now -= 3600
    assert (await pay(charge())).retry_after == 60.0
    clock.now += 59.5
    assert not (await pay(charge())).paid
    clock.now -= 1e6
    assert not (await pay(charge())).paid
    clock.now += 0.5
    assert await pay.count(charge(), 4) == 3


async def test_a_clock_that_starts_anew_goes_on_from_where_it_was(build, charge, clock):
    clock.now = 1e9
    pay = build()
    await pay.count(charge(), 3)
    clock.now = 0.0
    assert not (await pay(charge())).paid
    clock.now = 60.0
    assert (await pay(charge())).paid


async def test_a_wall_clock_set_later_moves_no_window(clock, payer, charge, limit):
    wall = [86_390.0]
    pay = payer(MemoryStore(clock, wall=lambda: wall[0]))
    one = charge(limit(1, 86400.0, "spend", "fixed_window"))
    assert (await pay(one)).paid
    wall[0] += 1e6
    assert (await pay(one)).retry_after == 10.0
    clock.now += 9.999
    assert not (await pay(one)).paid
    clock.now = 1010.0
    assert (await pay(one)).paid


async def test_people_read_the_wall_clock_as_it_is_and_ids_as_they_are_made(clock, payer, ask):
    wall, ids = [5000.0], iter("abc")
    pay = payer(MemoryStore(clock, wall=lambda: wall[0], new_id=lambda: next(ids)))
    assert (await pay(ask())).standings[0].id == "a"
    wall[0], clock.now = 7000.0, clock.now + 1
    record = await pay.rule("a")
    assert (record.requested_at, record.ended_at, record.expires_at) == (5000.0, 7000.0, 5900.0)
    wall[0], clock.now = 0.0, clock.now + 898
    assert (await pay(ask())).paid


# ---------------------------------------------------------------------------------------------------------- mirror


async def test_what_another_store_has_paid_is_counted_without_judging(build, charge, limit):
    pay = build()
    for _ in range(5):
        pay.store.note(Attempt([Owed((charge(),)), Owed((charge(limit(9, name="wide"), session="s"),))]))
    assert {(u.limit.name, u.session, u.used) for u in await pay.store.usage()} == {
        ("calls", "", 5.0),
        ("wide", "", 5.0),
        ("wide", "s", 5.0),
    }
    refused = await pay(charge())
    assert (refused.paid, refused.quotas[0].remaining) == (False, 0)


@pytest.mark.parametrize("algorithm", ["sliding_window", "fixed_window", "token_bucket"])
async def test_a_replica_goes_on_with_its_share_from_what_it_knew(build, charge, limit, algorithm):
    pay = build()
    whole = limit(9, 3600.0, "calls", algorithm, 9)
    share = structs.replace(whole, max=3, burst=3)
    pay.store.note(Attempt([Owed((charge(whole),))]))
    assert await pay.count(charge(share), 5) == 2
    pay.store.note(Attempt([Owed((charge(whole, cost=4.0),))]))
    assert not (await pay(charge(share))).paid
    assert (await pay(charge(whole))).quotas[0].remaining == 1


async def test_a_noted_request_is_a_repeat_here_too(build, charge, clock):
    pay = build()
    for _ in range(3):
        pay.store.note(Attempt([Owed((charge(),))], b"one"))
    assert (await pay(charge(), key=b"one")).quotas[0].remaining == 2
    clock.now += 10
    assert (await pay(charge(), key=b"one")).quotas[0].remaining == 1


async def test_a_noted_approval_is_no_grant(build, ask, charge):
    pay = build()
    await pay.granted(ask())
    pay.store.note(Attempt([Owed((charge(),), ask())], b"one"))
    pay.store.note(Attempt([Owed((), ask())]))
    assert [record.used for record in await pay.store.records()] == [0]
    assert (await pay(ask(), key=b"one")).paid
    assert not (await pay(ask())).paid


async def test_what_cannot_be_counted_cannot_be_noted(build, charge):
    pay = build()
    with pytest.raises(StoreError, match=r"^calls: expected a finite cost above 0, got nan$"):
        pay.store.note(Attempt([Owed((charge(cost=float("nan")),))]))
    await pay.store.close()
    with pytest.raises(StoreError, match=r"^memory store: expected it open, got a call after close$"):
        pay.store.note(Attempt([Owed((charge(),))]))


# ---------------------------------------------------------------------------------------------------------- bounds


async def test_a_flood_of_callers_does_not_reset_a_counter(build, charge):
    pay = build(max_counters=50)
    assert await pay.count(charge(who="victim"), 3) == 3
    for i in range(500):
        await pay(charge(who=f"u{i}"))
    assert not (await pay(charge(who="victim"))).paid
    assert pay.store.size == 51


async def test_newcomers_to_a_full_table_share_one_counter_of_the_limit(build, charge, limit):
    pay = build(max_counters=2)
    for who in ("a", "b"):
        assert (await pay(charge(who=who))).paid
    assert [(await pay(charge(who=f"u{i}"))).paid for i in range(10)] == [True] * 3 + [False] * 7
    assert await pay.count(charge(limit(name="other"), "c"), 4) == 3
    assert await pay.count(charge(who="a"), 4) == 2
    assert (pay.store.overflowed, pay.store.overflows, pay.store.size) == (14, {"calls": 10, "other": 4}, 4)


async def test_newcomers_in_one_batch_share_it_too(build, charge):
    pay = build(max_counters=2)
    assert not (await pay.batch(*[[charge(who=f"u{i}")] for i in range(6)])).paid
    assert pay.store.size == 0
    assert (await pay.batch(*[[charge(who=f"u{i}")] for i in range(5)])).paid
    assert pay.store.size == 3


async def test_who_shared_a_counter_does_not_begin_anew_with_one_of_its_own(build, charge, clock):
    pay = build(max_counters=1)
    await pay(charge(who="a"))
    clock.now += 59
    assert await pay.count(charge(who="late"), 4) == 3
    clock.now += 1
    assert (await pay(charge(who="late"))).retry_after == 59.0
    clock.now += 59
    assert await pay.count(charge(who="late"), 4) == 3


async def test_the_same_holds_for_sessions_of_who_shared_a_counter(build, charge, clock):
    pay = build(max_counters=2)
    await pay(charge(who="a"))
    await pay(charge(who="b"))
    clock.now += 59
    assert await pay.count(charge(who="late", session="s"), 4) == 3
    clock.now += 1
    for session in "st":
        assert (await pay(charge(who="late", session=session))).retry_after == 59.0
    clock.now += 59
    assert await pay.count(charge(who="late", session="s"), 4) == 3


async def test_a_session_without_room_in_a_full_table_shares_its_principals_counter(build, charge):
    pay = build(max_counters=3)
    assert (await pay(charge(session="s"))).paid
    await pay(charge(who="bob"))
    assert [await pay.count(charge(session=session), 4) for session in "tus"] == [3, 0, 2]
    assert pay.store.overflowed == 0
    assert await pay.count(charge(who="carol", session="s"), 4) == 3
    assert pay.store.overflowed == 4


async def test_anonymous_callers_fill_a_table_of_their_own(build, charge):
    pay = build(max_anonymous=5)
    for i in range(100):
        await pay(charge(who=f"10.0.0.{i}", anonymous=True))
    assert (pay.store.anonymous_size, pay.store.size) == (6, 0)
    assert not (await pay(charge(who="10.0.1.1", anonymous=True))).paid
    assert await pay.count(charge(), 4) == 3
    assert pay.store.overflows == {"calls": 96}


async def test_anonymous_repeats_do_not_push_out_those_of_verified_callers(build, charge, limit):
    pay = build(max_repeats=5)
    await pay(charge(), key=b"mine")
    for i in range(20):
        await pay(charge(limit(100), anonymous=True), key=b"%d" % i)
    assert pay.store.repeats_size == 6
    assert (await pay(charge(), key=b"mine")).quotas[0].remaining == 2


@pytest.mark.parametrize("part", ["tool", "args_name"])
async def test_one_caller_cannot_fill_the_table_by_choosing_values(build, charge, part):
    pay = build(max_counters=20, max_values=5)
    paid = [(await pay(charge(**{part: f"v{i}"}))).paid for i in range(30)]
    assert paid == [True] * 8 + [False] * 22
    assert pay.store.size == 6
    assert await pay.count(charge(who="bob", **{part: "v0"}), 4) == 3
    assert await pay.count(charge(**{part: "v0"}), 4) == 2
    assert pay.store.overflowed == 0


async def test_values_that_have_expired_make_room_for_others(build, charge, clock):
    pay = build(max_values=2)
    for value in ("a", "b", "c", "c"):
        await pay(charge(tool=value))
    clock.now += 30
    await pay(charge(tool="c"))
    clock.now += 30  # a, b and two calls of c have left
    assert await pay.count(charge(tool="c"), 4) == 2
    clock.now += 60
    for value in ("d", "e", "f"):
        assert await pay.count(charge(tool=value), 4) == 3
    assert await pay.count(charge(tool="g"), 4) == 0


async def test_expired_counters_are_given_up_a_few_at_each_call(build, charge, limit, clock):
    pay = build(max_counters=100)
    for i in range(20):
        await pay(charge(who=f"u{i}"), charge(limit(5, 600.0, "long"), who=f"u{i}"))
    sizes = [pay.store.size]
    clock.now += 60
    for _ in range(6):
        await pay(charge(limit(99, 600.0, "other"), who="x"), peek=True)
        sizes.append(pay.store.size)
    assert sizes == [40, 36, 32, 28, 24, 20, 20]


async def test_a_counter_in_use_since_is_not_given_up(build, charge, clock):
    pay = build()
    await pay(charge())
    clock.now += 30
    await pay(charge())
    clock.now += 30
    assert (await pay(charge())).quotas[0].remaining == 1
    assert pay.store.size == 1


async def test_sessions_are_given_up_with_their_principal(build, charge, clock):
    pay = build()
    for i in range(12):
        await pay(charge(session=f"s{i}"))
    assert pay.store.size == 12
    clock.now += 60
    await pay(charge(who="x"), peek=True)
    assert pay.store.size == 0


async def test_a_refused_call_does_not_take_back_the_place_of_its_session(build, charge, clock):
    pay = build(sessions=2)
    await pay.batch([charge(session="s")], [charge(session="t")])
    clock.now += 50
    await pay(charge(session="u"))
    clock.now += 10  # s and t have left, u's call is still counted for all who come
    assert not (await pay(charge(session="s", cost=9.0))).paid
    assert [await pay.count(charge(session=session), 1 + i) for i, session in enumerate("vwx")] == [1, 2, 2]


async def test_a_session_keeps_its_place_against_newcomers_of_the_same_batch(build, charge, clock):
    pay = build(sessions=2)
    await pay(charge(session="s"))
    clock.now += 30
    await pay(charge(session="t"))
    clock.now += 30
    assert (await pay.batch([charge(session="s")], [charge(session="v")])).paid
    assert await pay.count(charge(session="s"), 4) == 2


async def test_places_that_one_batch_has_filled_become_free(build, charge, clock):
    pay = build(sessions=2)
    await pay.batch(*[[charge(session=session)] for session in "stu"])
    clock.now += 30
    await pay(charge(session="s"))
    assert pay.store.size == 4
    clock.now += 30
    assert [await pay.count(charge(session=session), 1 + i) for i, session in enumerate("xy")] == [1, 2]
    assert pay.store.size == 4
    assert [(u.session, u.used) for u in await pay.store.usage()] == [("", 4.0), ("s", 1.0), ("", 2.0), ("x", 1.0)]


async def test_refused_and_peeked_attempts_leave_nothing(build, charge):
    pay = build()
    for i in range(50):
        await pay(charge(who=f"u{i}", session="s", cost=9.0, tool="t"))
        await pay(charge(who=f"u{i}", cost=9.0, anonymous=True))
        await pay(charge(who=f"u{i}", session="s", tool="t"), peek=True)
    assert (pay.store.size, pay.store.anonymous_size) == (0, 0)
    assert await pay.store.usage() == ()


async def test_a_repeat_whose_counter_has_gone_makes_none(build, charge, limit, clock):
    pay = build()
    short = charge(limit(3, 5.0))
    await pay(short, key=b"one")
    clock.now += 6
    assert (await pay(short, key=b"one")).quotas[0].remaining == 3
    assert pay.store.size == 0


MOVES = st.tuples(
    st.integers(0, 40).map(lambda n: n / 2),  # seconds
    st.integers(0, 5),  # who
    st.sampled_from(["", "", "s", "t", "u"]),
    st.sampled_from([{}, {}, {"tool": "a"}, {"tool": "b"}, {"tool": "c"}]),
    st.sampled_from([1, 1, 2, 3]),  # parts
    st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(MOVES, max_size=60))
def test_whatever_overflows_nobody_gets_more_than_max_and_memory_is_bounded(
    run, limit, charge, payer, clock_type, moves
):
    clock = clock_type()
    store = MemoryStore(clock, max_counters=4, max_anonymous=3, sessions=2, max_values=2)
    pay = payer(store)
    log = []
    for step, who, session, parts, times, anonymous in moves:
        clock.now += step
        one = charge(limit(4, 20.0), f"u{who}", session=session, anonymous=anonymous, **parts)
        if run(pay.batch(*[[one]] * times)).paid:
            log += [(clock.now, one)] * times
        live = [paid for then, paid in log if then + 20.0 > clock.now]
        for paid in live:
            assert live.count(paid) <= 4
            principal = [c for c in live if (c.descriptor, c.anonymous) == (paid.descriptor, paid.anonymous)]
            assert len([c for c in principal if c.session]) <= 2 * 4
        assert store.size <= 4 * 2 + 1
        assert store.anonymous_size <= 3 * 2 + 1
    clock.now += 20.0
    for _ in range(5):
        run(pay(charge(cost=99.0)))
    assert (store.size, store.anonymous_size) == (0, 0)


# ----------------------------------------------------------------------------------------------------------- usage


async def test_usage_tells_who_has_used_what(build, charge, limit, clock):
    pay = build(sessions=1, max_values=1, max_anonymous=1)
    await pay(charge(limit(5, name="plain"), cost=2.0))
    clock.now += 10
    for session in "ab":
        await pay(charge(session=session))
    for value in "xy":
        await pay(charge(limit(name="chosen"), tool=value))
    for who in ("10.0.0.1", "10.0.0.2"):
        await pay(charge(limit(name="anonymous"), who, anonymous=True))
    await pay(charge(limit(9, 1.0, "gone")))
    clock.now += 10
    alice = (("principal", "alice"),)
    told = [
        (u.limit.name, u.descriptor, u.session, u.anonymous, u.shared, u.used, u.max, u.resets_in)
        for u in await pay.store.usage()
    ]
    assert told == [
        ("plain", alice, "", False, False, 2.0, 5, 40.0),
        ("calls", alice, "", False, False, 2.0, 3, 50.0),
        ("calls", alice, "a", False, False, 1.0, 3, 50.0),
        ("calls", alice, "", False, True, 1.0, 3, 50.0),
        ("chosen", (*alice, ("tool", "x")), "", False, False, 1.0, 3, 50.0),
        ("chosen", alice, "", False, True, 1.0, 3, 50.0),
        ("anonymous", (("principal", "10.0.0.1"),), "", True, False, 1.0, 3, 50.0),
        ("anonymous", (), "", True, True, 1.0, 3, 50.0),
    ]
    assert len(await pay.store.usage(3)) == 3
    assert [u.limit.name for u in await pay.store.usage(1, limit="anonymous")] == ["anonymous"]


async def test_usage_passes_over_any_number_of_counters_that_are_empty(pay, charge, limit, clock):
    for who in range(50):
        await pay(charge(limit(9, 1.0), f"p{who}"))
    clock.now += 0.5
    await pay(charge(limit(9, 30.0, "live")))
    clock.now += 1.0
    assert [u.limit.name for u in await pay.store.usage(1)] == ["live"]
