"""What the shared store promises beyond what every store does: keys, round trips, replicas, loss of data."""

from __future__ import annotations

import asyncio
import math

import pytest
from msgspec import structs

from authz.errors import StoreError
from authz.model import ApprovalStatus, Ruling
from authz.state.store import Attempt, Owed
from authz.state.valkey.keys import PREFIX
from authz.state.valkey.store import ValkeyStore

KINDS = ["sliding_window", "fixed_window", "token_bucket"]
SECRET = "tellmenot"


def everything(charge, limit, ask):
    """A charge of each kind and a request, with the caller's text wherever there may be some."""
    limits = [limit(100, 60.0, f"{SECRET}-{kind}", kind, 100) for kind in KINDS]
    charges = [charge(one, SECRET, tool=SECRET, args_path=SECRET) for one in limits]
    charges += [charge(one, SECRET, session=SECRET) for one in limits]
    charges.append(charge(limits[0], SECRET, anonymous=True))
    return Owed(tuple(charges), ask(SECRET, SECRET))


async def test_no_key_has_a_callers_text_or_is_long_and_each_has_an_end(on_server, single, charge, limit, ask):
    store = on_server(timed=False)
    owed = everything(charge, limit, ask)
    (standing,) = (await store.discharge(Attempt([owed], b"one"))).standings
    await store.submit(standing.id, Ruling("carol", True, (0,)))
    assert (await store.discharge(Attempt([owed], b"one"))).paid
    await store.discharge(Attempt([owed]))
    await store.beat(SECRET)
    keys = single.lifetimes()
    assert len(keys) > 20
    for key, left in keys.items():
        assert key.startswith(PREFIX)
        assert len(key) <= 56
        assert SECRET.encode() not in key
        assert left > 0


async def test_the_counter_of_a_window_ends_soon_after_it(on_server, single, charge, limit):
    store = on_server(timed=False)
    for kind in KINDS:
        await store.discharge(Attempt([Owed((charge(limit(3, 60.0, kind, kind, 3)),))], b"one"))
    left = sorted(single.lifetimes().values())  # a bucket is full again in 20 s, an aligned window ends any time
    assert len(left) == 4
    assert left[-1] > 60_000
    assert left[-1] <= 61_000


async def test_a_charge_takes_one_round_trip_however_many_limits_and_requests_there_are(
    on_server, single, charge, limit, ask
):
    connection = single.connect()
    store = on_server(connection)
    attempt = Attempt([everything(charge, limit, ask)] * 2, b"one")
    (standing, _) = (await store.discharge(attempt)).standings
    assert connection.asked == ["approve"]
    await store.submit(standing.id, Ruling("carol", True, (0,)))
    del connection.asked[:]
    await store.discharge(Attempt([Owed(everything(charge, limit, ask).charges)], b"two"))
    await store.discharge(attempt)
    assert connection.asked == ["discharge", "approve"]


async def test_without_memory_nothing_is_done(on_server, single, charge, limit, ask):
    store = on_server()
    owed = everything(charge, limit, ask)
    server = single.all[0]
    server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        for attempt in (Attempt([owed], b"one"), Attempt([Owed(owed.charges)], b"two")):
            with pytest.raises(StoreError, match="maxmemory"):
                await store.discharge(attempt)
        assert single.lifetimes() == {}
    finally:
        server.command("CONFIG", "SET", "maxmemory", "0")


async def test_data_and_scripts_may_be_lost_at_any_time(on_server, single, charge, limit, ask):
    store = on_server()
    owed = everything(charge, limit, ask)
    for lose in ("FLUSHALL", "SCRIPT FLUSH"):
        (standing,) = (await store.discharge(Attempt([owed], b"one"))).standings
        await store.submit(standing.id, Ruling("carol", True, (0,)))
        single.all[0].command(*lose.split())
        (again,) = (await store.discharge(Attempt([owed], b"one"))).standings
        assert again.status == ("pending" if lose == "FLUSHALL" else "granted")
    assert await store.changes() > 1_000_000  # counted from the time on


@pytest.mark.parametrize("session", ["", "s"])
async def test_a_key_of_another_type_or_form_is_an_error(on_server, single, charge, session):
    store = on_server()
    one = Attempt([Owed((charge(session=session),))])
    await store.discharge(one)
    (key,) = single.lifetimes()
    server = single.all[0]
    server.command("DEL", key)
    server.command("LPUSH", key, "x")
    server.command("EXPIRE", key, 60)
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await store.discharge(one)
    server.command("DEL", key)
    server.command(*(["HSET", key, "c", "?"] if session else ["SET", key, "?"]))
    server.command("EXPIRE", key, 60)
    with pytest.raises(StoreError, match=r"data string too short|not a sliding window"):
        await store.discharge(one)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_text_of_another_algorithm_is_an_error(on_server, single, charge, limit, kind):
    store = on_server()
    one = Attempt([Owed((charge(limit(3, 60.0, "calls", kind, 3)),))])
    await store.discharge(one)
    (key,) = single.lifetimes()
    single.all[0].command("SET", key, b"\x09" + b"\0" * 60, "EX", "60")
    with pytest.raises(StoreError, match=r"not a (sliding window|fixed window|token bucket)"):
        await store.discharge(one)


class Babble:
    """A server that replies something else."""

    cluster = False

    async def run(self, script, keys, args):
        """Nonsense."""
        return [b"\0"] if script.name == "approve" else b"\0"

    async def close(self):
        """Nothing."""


async def test_a_reply_that_cannot_be_read_is_an_error(charge, ask):
    store = ValkeyStore(Babble())
    for owed, name in ((Owed((charge(),)), "discharge"), (Owed((charge(),), ask()), "approve")):
        with pytest.raises(StoreError, match=rf"^{name}.lua: expected the states of 1 charges, got "):
            await store.discharge(Attempt([owed]))
    with pytest.raises(StoreError, match=r"^limits: expected their names, got "):
        await store.usage()


async def test_a_request_with_too_many_entries_is_an_error(on_server, ask):
    with pytest.raises(StoreError, match=r"^tools\.transfer: expected at most 255 entries in by, got 256$"):
        await on_server().discharge(Attempt([Owed((), ask(by=((),) * 256))]))


# ------------------------------------------------------------------------------------------------------- replicas


@pytest.mark.parametrize("session", ["", "s"])
async def test_of_two_replicas_with_64_calls_at_once_exactly_max_pass(on_server, charge, limit, session):
    stores = [on_server(timed=False), on_server(timed=False)]
    one = Attempt([Owed((charge(limit(100), session=session),))])

    async def caller(store):
        return sum([(await store.discharge(one)).paid for _ in range(3)])

    assert sum(await asyncio.gather(*[caller(store) for store in stores for _ in range(64)])) == 100


async def test_of_200_claims_at_two_replicas_one_succeeds(on_server, charge, limit, ask):
    stores = [on_server(timed=False), on_server(timed=False)]
    one = Attempt([Owed((charge(limit(1000)),), ask())])
    (standing,) = (await stores[0].discharge(one)).standings
    await stores[1].submit(standing.id, Ruling("carol", True, (0,)))
    ran = await asyncio.gather(*[stores[at % 2].discharge(one) for at in range(200)])
    assert sum(discharge.paid for discharge in ran) == 1
    assert [record.used for record in await stores[0].records()] == [0, 1]


async def test_a_request_asked_again_at_another_replica_is_charged_once(on_server, charge):
    first, second = on_server(timed=False), on_server(timed=False)
    one = Attempt([Owed((charge(),))], b"one")
    assert [(await store.discharge(one)).quotas[0].remaining for store in (first, second, first)] == [2, 2, 2]


async def test_the_servers_time_counts(on_server, charge, limit):
    store = on_server(timed=False)
    one = Attempt([Owed((charge(limit(1, 0.3)),))])
    assert (await store.discharge(one)).paid
    refused = await store.discharge(one)
    assert not refused.paid
    assert 0.0 < refused.retry_after <= 0.3
    await asyncio.sleep(0.31)
    assert (await store.discharge(one)).paid


# ----------------------------------------------------------------------------------- a clock that goes back, memory


@pytest.mark.parametrize("kind", KINDS)
async def test_a_clock_that_goes_back_frees_nothing_and_blocks_for_a_window_at_most(on_server, charge, limit, kind):
    now = [1_000_000.0]
    store = on_server(clock=lambda: now[0])
    one = Attempt([Owed((charge(limit(2, 60.0, "calls", kind, 2)),))])
    for _ in range(2):
        await store.discharge(one)
    now[0] -= 500_000.0
    refused = await store.discharge(one)
    assert not refused.paid
    assert refused.retry_after <= 60.0
    now[0] += refused.retry_after
    assert (await store.discharge(one)).paid


@pytest.mark.parametrize("more", [{}, {"remember": 60.0, "uses": 0}])
async def test_a_clock_that_goes_back_lets_no_request_wait_and_no_yes_count_longer(on_server, ask, more):
    now = [1_000_000.0]
    store = on_server(clock=lambda: now[0])
    asked = Attempt([Owed((), ask(timeout=60.0, **more))])
    (standing,) = (await store.discharge(asked)).standings
    now[0] -= 500_000.0
    for late in (0.0, 10.0):
        now[0] += late
        (waits,) = (await store.discharge(asked)).standings
        assert (waits.id, waits.status, waits.expires_in) == (standing.id, ApprovalStatus.PENDING, 60.0 - late)
    await store.submit(standing.id, Ruling("carol", True, (0,)))
    now[0] -= 500_000.0
    (granted,) = (await store.discharge(Attempt(asked.parts, peek=True))).standings
    assert (granted.status, granted.expires_in) == (ApprovalStatus.GRANTED, 60.0)
    now[0] += 60.0
    (anew,) = (await store.discharge(asked)).standings
    assert (anew.id != standing.id, anew.status) == (True, ApprovalStatus.PENDING)
    assert (await store.record(standing.id)).status is ApprovalStatus.EXPIRED


async def test_a_clock_that_goes_back_spoils_no_window_of_buckets_or_fractions(on_server, charge, limit):
    now = [1_000_000.0]
    store = on_server(clock=lambda: now[0])
    for cost, most in ((1.0, 500), (0.5, 2)):
        one = charge(limit(most, 60.0, f"of {most}"), cost=cost)
        while (paid := await store.discharge(Attempt([Owed((one,))]))).paid:
            now[0] += 0.01
        now[0] -= 1000.0
        refused = await store.discharge(Attempt([Owed((one,))]))
        assert (refused.paid, refused.retry_after) == (False, 60.0), paid
        now[0] += 60.0
        assert (await store.discharge(Attempt([Owed((one,))]))).paid


async def test_a_counter_is_bounded_however_many_calls_it_counts(on_server, single, charge, limit, clock):
    store = on_server()
    for name, cost in (("calls", 1.0), ("fractions", 0.25)):
        one = Attempt([Owed((charge(limit(100_000, 60.0, name), cost=cost),))])
        for _ in range(3000):
            await store.discharge(one)
            clock.now += 0.03
    sizes = [single.all[0].command("STRLEN", key) for key in single.lifetimes()]
    assert len(sizes) == 2
    assert max(sizes) < 16 * 257 + 100


async def test_a_cost_of_any_size_is_counted_and_charges_are_known_again(on_server, charge, limit):
    store = on_server()
    one = charge(limit(10**9))
    for at in range(10_050):  # more than the store keeps encoded
        await store.discharge(Attempt([Owed((structs.replace(one, cost=1.0 + at / 16),))], peek=True))
    assert (await store.discharge(Attempt([Owed((one,))]))).quotas[0].remaining == 10**9 - 1
    assert (await store.discharge(Attempt([Owed((structs.replace(one, cost=1e300),))]))).retry_after == math.inf


# ------------------------------------------------------------------------------------------------- values, anonymous


async def test_a_caller_that_chooses_values_shares_a_counter_after_some(on_server, charge, limit, clock):
    store = on_server(max_values=3)
    one = limit(2)

    async def paid(value, **more):
        return (await store.discharge(Attempt([Owed((charge(one, tool=value, **more),))]))).paid

    assert [await paid(f"t{at}") for at in range(3)] == [True] * 3
    assert [await paid(f"t{at}") for at in range(3, 8)] == [True, True, False, False, False]
    assert await paid("t0")
    assert await paid("t3", who="bob")
    clock.now += 30
    assert not await paid("t9")
    clock.now += 29  # t0 has been used twice
    assert not await paid("t0")
    clock.now += 1  # all have left
    assert [await paid(f"t{at}") for at in range(5, 8)] == [True] * 3


async def test_sessions_of_a_caller_that_chooses_values_do_too(on_server, charge, limit):
    store = on_server(max_values=2, sessions=2)
    one = limit(2)

    async def paid(value, session):
        return (await store.discharge(Attempt([Owed((charge(one, tool=value, session=session),))]))).paid

    assert [await paid(f"t{at}", "s") for at in range(2)] == [True] * 2
    assert [await paid(f"t{at}", "s") for at in range(2, 6)] == [True, True, False, False]
    assert await paid("t0", "s")
    assert not await paid("t0", "s")


async def test_anonymous_callers_beyond_a_replicas_bound_share_one_counter(on_server, charge, limit):
    now = [0.0]
    store = on_server(max_anonymous=2, timer=lambda: now[0])
    one = limit(2)

    async def paid(who, anonymous=True):
        return (await store.discharge(Attempt([Owed((charge(one, who, anonymous=anonymous),))]))).paid

    assert [await paid(f"a{at}") for at in range(2)] == [True] * 2
    assert [await paid(f"a{at}") for at in range(2, 6)] == [True, True, False, False]
    assert store.overflowed == 4
    assert await paid("a0")
    assert await paid("a9", anonymous=False)
    (shared,) = [usage for usage in await store.usage() if usage.shared]
    assert (shared.anonymous, shared.descriptor, shared.used) == (True, (), 2.0)
    now[0] += 30.0
    assert not await paid("a0")
    now[0] += 30.0  # a1's place is free, a0's is not
    assert [await paid("new"), await paid("newer")] == [True, False]
    now[0] += 61.0
    assert await paid("newest")
