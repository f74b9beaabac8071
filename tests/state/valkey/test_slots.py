"""Counters in several slots of a cluster: all are charged or none is, whatever fails and whoever is faster."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from authz.errors import StoreError
from authz.model import Ruling
from authz.state.store import Attempt, Owed

YES = Ruling("carol", True, (0,))


@pytest.fixture
def connection(nodes):
    return nodes.connect()


@pytest.fixture
def store(on_cluster, connection):
    return on_cluster(connection)


@pytest.fixture
def two(charge, limit):
    """One charge in the slot of who asks and one in that of a limit over all callers."""

    def make(own=3, shared=3, *, window=60.0):
        mine = charge(limit(own, window, "own"))
        everybodys = limit(shared, window, "everybody's")
        return mine, type(mine)(everybodys, (("server", "bank"),))

    return make


async def left(store, *charges):
    """How many calls each limit still lets through."""
    peeked = await store.discharge(Attempt([Owed(charges)], peek=True))
    return {quota.limit.name: quota.remaining for quota in peeked.quotas}


async def test_one_slot_is_one_call_and_two_are_two(store, connection, two):
    mine, everybodys = two()
    await store.discharge(Attempt([Owed((mine, mine))]))
    assert connection.asked == ["discharge"]
    assert (await store.discharge(Attempt([Owed((mine, everybodys))]))).paid
    assert connection.asked == ["discharge"] * 3


@pytest.mark.parametrize(("own", "shared", "who"), [(1, 3, "own"), (3, 1, "everybody's")])
async def test_a_slot_that_refuses_leaves_the_others_as_they_were(store, two, own, shared, who):
    charges = two(own, shared)
    attempt = Attempt([Owed(charges)], b"one")
    assert (await store.discharge(attempt)).paid
    for key in (b"two", b"three"):
        refused = await store.discharge(Attempt([Owed(charges)], key))
        assert not refused.paid
        assert [limit.name for limit in refused.exhausted] == [who]
        assert {quota.limit.name: quota.remaining for quota in refused.quotas} == {
            "own": own - 1,
            "everybody's": shared - 1,
        }
    assert await left(store, *charges) == {"own": own - 1, "everybody's": shared - 1}
    assert (await store.discharge(attempt)).paid  # a repeat


async def test_what_was_given_back_is_not_known_as_paid(store, two, clock):
    mine, everybodys = two(1, 3, window=5.0)
    assert (await store.discharge(Attempt([Owed((mine,))]))).paid
    assert not (await store.discharge(Attempt([Owed((mine, everybodys))], b"one"))).paid
    clock.now += 5.0
    assert (await store.discharge(Attempt([Owed((mine, everybodys))], b"one"))).paid
    assert await left(store, mine, everybodys) == {"own": 0, "everybody's": 2}


@pytest.mark.parametrize("lost", [False, True])
async def test_a_slot_that_does_not_answer_leaves_no_charge_but_perhaps_its_own(store, connection, two, lost):
    charges = two()
    connection.broken_after, connection.lost = 1, lost
    with pytest.raises(StoreError, match="broken by the test"):
        await store.discharge(Attempt([Owed(charges)]))
    # The give-back failed as well: a charge may stand for a call that did not run, never the other way round.
    assert connection.asked == ["discharge", "discharge", "undo"]
    connection.broken_after = None
    assert await left(store, *charges) == {"own": 2 if lost else 3, "everybody's": 3 if lost else 2}


async def test_two_replicas_with_64_calls_each_let_exactly_max_through(on_cluster, two):
    stores = [on_cluster(timed=False), on_cluster(timed=False)]
    charges = two(1000, 100)
    ran = await asyncio.gather(*[stores[at % 2].discharge(Attempt([Owed(charges)])) for at in range(128)])
    assert sum(discharge.paid for discharge in ran) == 100
    assert await left(stores[0], *charges) == {"own": 900, "everybody's": 0}


async def test_when_the_slot_of_who_asks_refuses_others_may_be_refused_meanwhile_and_never_too_many_pass(
    on_cluster, two
):
    store = on_cluster(timed=False)
    charges = two(20, 50)
    ran = await asyncio.gather(*[store.discharge(Attempt([Owed(charges)])) for _ in range(100)])
    assert sum(discharge.paid for discharge in ran) == 20
    assert await left(store, *charges) == {"own": 0, "everybody's": 30}


# ------------------------------------------------------------------------------------------------------ approvals


@pytest.fixture
def asked(two, ask):
    """What a call owes in three slots: that of its request, its own and everybody's."""

    def make(own=3, shared=3, **more):
        return Owed(two(own, shared), ask(**more))

    return make


async def test_a_call_that_was_filed_counts_once_when_it_runs(store, asked):
    owed = asked(1, 1)
    (standing,) = (await store.discharge(Attempt([owed]))).standings
    assert standing.filed
    assert await left(store, *owed.charges) == {"own": 0, "everybody's": 0}
    await store.submit(standing.id, YES)
    assert (await store.discharge(Attempt([owed], peek=True))).paid
    assert (await store.discharge(Attempt([owed], b"one"))).paid
    assert (await store.discharge(Attempt([owed], b"one"))).paid
    assert await left(store, *owed.charges) == {"own": 0, "everybody's": 0}


async def test_a_request_whose_charges_do_not_fit_is_not_filed(store, asked, two):
    owed = asked(3, 1)
    assert (await store.discharge(Attempt([Owed(two(3, 1))]))).paid
    refused = await store.discharge(Attempt([owed]))
    assert (refused.standings, [limit.name for limit in refused.exhausted]) == ((None,), ["everybody's"])
    assert await left(store, *owed.charges) == {"own": 2, "everybody's": 0}
    assert await store.records() == ()


@pytest.mark.parametrize("fails_at", range(8))
async def test_a_filing_that_fails_midway_frees_nothing_and_can_be_made_again(store, connection, asked, fails_at):
    owed = asked()
    connection.broken_after = fails_at
    with contextlib.suppress(StoreError):
        await store.discharge(Attempt([owed]))
    connection.broken_after = None
    (standing,) = (await store.discharge(Attempt([owed]))).standings
    await store.submit(standing.id, YES)
    assert (await store.discharge(Attempt([owed]))).paid
    assert all(remaining <= 2 for remaining in (await left(store, *owed.charges)).values())
    assert [record.used for record in await store.records()] == [1]


async def test_whoever_is_cancelled_between_two_slots_leaves_a_charge(store, connection, two):
    charges = two()
    started = asyncio.Event()

    async def stall(script):
        if len(connection.asked) == 2:
            started.set()
            await asyncio.sleep(60)

    connection.before = stall
    task = asyncio.create_task(store.discharge(Attempt([Owed(charges)])))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    connection.before = None
    assert connection.asked == ["discharge", "discharge"]  # its deadline is over, so nothing more is asked
    assert await left(store, *charges) == {"own": 3, "everybody's": 2}


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("fails_at", range(12))
async def test_a_claim_that_fails_midway_never_runs_twice_nor_frees_anything(store, connection, asked, fails_at, lost):
    owed = asked(2, 2)
    (standing,) = (await store.discharge(Attempt([owed]))).standings
    await store.submit(standing.id, YES)
    connection.broken_after, connection.lost = fails_at, lost
    paid = 0
    with contextlib.suppress(StoreError):
        paid += (await store.discharge(Attempt([owed]))).paid
    connection.broken_after = None
    paid += (await store.discharge(Attempt([owed]))).paid
    record = await store.record(standing.id)
    assert paid <= record.used <= 1
    ran = sum([(await store.discharge(Attempt([Owed(owed.charges)]))).paid for _ in range(3)])
    assert paid + ran <= 2


async def test_a_person_who_is_faster_is_the_answer(store, connection, asked):
    owed = asked()
    (standing,) = (await store.discharge(Attempt([owed]))).standings
    await store.submit(standing.id, YES)
    others = connection.asked.count("approve")

    async def meanwhile(script):
        # Between the look and the claim somebody else uses the grant.
        if script.name == "away" and connection.before is not None:
            connection.before = None
            assert (await store.discharge(Attempt([owed]))).paid

    connection.before = meanwhile
    (anew,) = (await store.discharge(Attempt([owed]))).standings
    assert (anew.status, anew.filed) == ("pending", True)
    assert anew.id != standing.id
    assert connection.asked.count("approve") > others + 4
    assert await left(store, *owed.charges) == {"own": 1, "everybody's": 1}


async def test_a_request_filed_meanwhile_is_joined(store, connection, asked):
    owed = asked()
    filed = []

    async def meanwhile(script):
        if script.name == "index":
            connection.before = None
            filed.extend((await store.discharge(Attempt([owed]))).standings)

    connection.before = meanwhile
    (joined,) = (await store.discharge(Attempt([owed]))).standings
    assert (joined.id, joined.filed) == (filed[0].id, False)
    assert await left(store, *owed.charges) == {"own": 2, "everybody's": 2}
    assert len(await store.records()) == 1


async def test_a_request_granted_meanwhile_is_claimed(store, connection, asked):
    owed = asked()

    async def meanwhile(script):
        if script.name == "index":
            connection.before = None
            (standing,) = (await store.discharge(Attempt([owed]))).standings
            await store.submit(standing.id, YES)

    connection.before = meanwhile
    assert (await store.discharge(Attempt([owed]))).paid
    assert await left(store, *owed.charges) == {"own": 2, "everybody's": 2}


async def test_requests_that_never_stay_as_they_are_are_an_error(store, connection, asked):
    owed = asked(100, 100)

    async def meanwhile(script):
        if script.name in ("away", "index"):
            connection.before = None
            discharge = await store.discharge(Attempt([owed]))
            if script.name == "index" and not discharge.paid:
                await store.submit(discharge.standings[0].id, YES)
            connection.before = meanwhile

    connection.before = meanwhile
    with pytest.raises(StoreError, match=r"^requests for approval: expected them to stay as they are, got changes 5"):
        await store.discharge(Attempt([owed]))


async def test_the_index_that_is_full_refuses(store, ask, charge, clock):
    for at in range(200):
        who = f"a{at}"
        assert (await store.discharge(Attempt([Owed((), ask("x", who, anonymous=True))]))).standings[0].filed
    clock.now += 100
    full = await store.discharge(Attempt([Owed((charge(),), ask("x", "one more", anonymous=True))]))
    assert ([limit.name for limit in full.exhausted], full.retry_after) == (["approvals-pending"], 800.0)
    assert (await store.discharge(Attempt([Owed((), ask("x", "verified"))]))).standings[0].filed


async def test_parts_of_a_batch_that_do_not_ask_are_told_how_their_limits_stand(store, asked, two):
    owed, free = asked(), Owed(two(5, 5))
    filed = await store.discharge(Attempt([owed, free]))
    assert (filed.paid, filed.standings[0].filed, filed.standings[1]) == (False, True, None)
    assert await left(store, *owed.charges) == {"own": 2, "everybody's": 2}


async def test_counters_are_listed_and_reset_on_all_nodes(store, two, asked):
    owed = asked()
    (standing,) = (await store.discharge(Attempt([owed]))).standings
    await store.submit(standing.id, YES)
    assert sorted(usage.limit.name for usage in await store.usage()) == ["approvals-requests", "everybody's", "own"]
    assert await store.reset("bank") == 2
    assert (await store.discharge(Attempt([Owed(owed.charges)]))).paid
    assert (await store.discharge(Attempt([owed]))).paid  # and nothing is taken back
    assert await left(store, *owed.charges) == {"own": 1, "everybody's": 1}
