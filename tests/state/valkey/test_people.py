"""What people see of the shared store: requests, counters, replicas; all of it bounded."""

from __future__ import annotations

import pytest

from authz.errors import StoreError
from authz.model import ApprovalStatus, Limit, Ruling
from authz.state.approvals import HISTORY
from authz.state.store import Attempt, Owed
from authz.state.valkey.admission import Admission

YES = Ruling("carol", True, (0,), "fine", 7.0, "192.0.2.7")


@pytest.fixture
def store(on_server):
    return on_server()


async def file(store, request):
    """The id of a request that is filed."""
    (standing,) = (await store.discharge(Attempt([Owed((), request)]))).standings
    assert standing.filed
    return standing.id


async def test_a_record_has_all_that_was_asked_word_for_word(store, ask):
    request = ask(
        params='{"a":"\u202e \U0001f600 \\ud800"}' + " " * 64_000,
        by=(("group:dba",), (), ("carol", "dave")),
        reason_required=True,
        categories=("Destructive",),
        risk="High",
        remember=60.0,
        uses=0,
    )
    id_ = await file(store, request)
    record = await store.record(id_)
    assert (record.id, record.request, record.status, record.used) == (id_, request, ApprovalStatus.PENDING, 0)
    assert (record.requested_at, record.expires_at, record.ended_at) == (1000.0, 1900.0, 0.0)
    said = Ruling("carol", True, (1, 2), "line\nbreak \u2028", 7.5, "192.0.2.7")
    assert (await store.submit(id_, said)).rulings == (said,)


async def test_what_nobody_asked_is_unknown(store):
    for id_ in ("0" * 32, "", "\u00e9", "x" * 10_000):
        assert await store.record(id_) is None
        assert await store.submit(id_, YES) is None


async def test_what_ended_is_shown_for_a_day_however_often_it_is_asked_again(store, ask, clock):
    for at in range(20):  # more than a digest remembers
        id_ = await file(store, ask(timeout=1.0))
        if at % 2:
            await store.submit(id_, YES)
            assert (await store.discharge(Attempt([Owed((), ask(timeout=1.0))]))).paid
        clock.now += 15.0
    statuses = [record.status for record in await store.records()]
    assert statuses == [ApprovalStatus.USED, ApprovalStatus.EXPIRED] * 8 + [ApprovalStatus.USED]
    clock.now += HISTORY
    assert await store.records() == ()


async def test_no_more_than_a_thousand_that_ended_are_kept(store, ask, clock):
    for at in range(1_040):
        await file(store, ask("x", f"who{at}", timeout=1.0))
        clock.now += 2.0
    assert await store.changes() > 0
    last = await file(store, ask("x", "last"))
    await store.submit(last, Ruling("carol", False))
    records = await store.records(most=5_000)
    assert (len(records), records[0].id) == (1_000, last)
    assert len(await store.records(most=3)) == 3


async def test_no_more_than_a_thousand_wait(store, ask, clock):
    for at in range(1_000):
        await file(store, ask("x", f"who{at}"))
    clock.now += 10
    full = await store.discharge(Attempt([Owed((), ask("x", "one more"))]))
    assert (full.standings, full.exhausted[0].name, full.retry_after) == ((None,), "approvals-pending", 890.0)
    (record,) = await store.records(most=1)
    await store.submit(record.id, Ruling("carol", False))
    await file(store, ask("x", "one more"))


async def test_a_record_that_cannot_be_read_is_an_error(store, single, ask):
    id_ = await file(store, ask())
    (key,) = [key for key in single.lifetimes() if b"}d" in key]
    single.all[0].command("SET", key, b"\1\0\0\0{", "EX", "60")
    with pytest.raises(StoreError, match=rf"^request {id_}: expected a record, got JSONDecodeError"):
        await store.record(id_)
    single.all[0].command("DEL", key)
    assert await store.record(id_) is None
    assert await store.records() == ()


async def test_changes_grow_even_when_they_were_lost(store, single, ask, clock):
    seen = [await store.changes()]
    for step in range(6):
        if step == 3:
            single.flush()
            clock.now += 1.0
        else:
            await file(store, ask("x", f"who{step}"))
        seen.append(await store.changes())
    assert seen == sorted(set(seen))


# ------------------------------------------------------------------------------------------------------- counters


async def test_usage_says_whose_each_counter_is(store, charge, limit):
    kinds = [limit(5, 60.0, kind, kind, 5) for kind in ("sliding_window", "fixed_window", "token_bucket")]
    for one in kinds:
        await store.discharge(Attempt([Owed((charge(one, "d'artagnan\n\u00e9", cost=2.0, tool="x"),))]))
    for at in range(12):
        await store.discharge(Attempt([Owed((charge(kinds[0], session=f"s{at}", anonymous=True),))]))
    usages = await store.usage()
    assert {usage.limit.name: (usage.used, usage.max) for usage in usages if not usage.anonymous} == {
        one.name: (2.0, 5.0) for one in kinds
    }
    assert {usage.descriptor for usage in usages if not usage.anonymous} == {
        (("principal", "d'artagnan\n\u00e9"), ("tool", "x"))
    }
    family = {(usage.session, usage.shared): (usage.used, usage.max) for usage in usages if usage.anonymous}
    assert family.pop(("", True)) == (2.0, 5.0)
    assert family.pop(("", False)) == (12.0, 50.0)
    assert family == {(f"s{at}", False): (1.0, 5.0) for at in range(10)}
    assert all(0.0 < usage.resets_in <= 60.0 for usage in usages)


async def test_the_counter_of_further_values_is_listed_without_a_value(on_server, charge):
    store = on_server(max_values=1)
    for value in ("x", "y", "z"):
        await store.discharge(Attempt([Owed((charge(tool=value),))]))
    assert {(usage.descriptor, usage.shared, usage.used) for usage in await store.usage()} == {
        ((("principal", "alice"), ("tool", "x")), False, 1.0),
        ((("principal", "alice"),), True, 2.0),
    }
    assert await store.reset("bank", "calls") == 2
    assert await store.usage() == ()


async def test_a_replica_lists_what_others_have_told_of(on_server, single, charge, limit):
    busy, idle = on_server(), on_server()
    await busy.discharge(Attempt([Owed((charge(),))]))
    assert await idle.usage() == ()
    assert await busy.beat() == 1
    (usage,) = await idle.usage()
    assert usage.limit == limit()
    assert await idle.reset("bank") == 1
    single.flush()
    await busy.discharge(Attempt([Owed((charge(),))]))
    for _ in range(2):  # it finds that they are lost, and tells again
        await busy.beat()
    assert len(await idle.usage()) == 1


async def test_a_limit_that_has_changed_is_told_again(on_server, charge, limit):
    busy, idle = on_server(), on_server()
    for most in (3, 7):
        await busy.discharge(Attempt([Owed((charge(limit(most)),))]))
        await busy.beat()
        assert [usage.max for usage in await idle.usage()] == [most]


async def test_a_walk_over_many_keys_ends(on_server, single, charge, limit):
    store = on_server()
    await store.discharge(Attempt([Owed((charge(),))]))
    for at in range(3_000):
        single.all[0].command("SET", f"other:{at}", "x", "EX", "60")
    assert await store.usage(most=1) in ((), await store.usage())
    assert len(await store.usage()) == 1


async def test_a_counter_that_a_walk_comes_by_twice_is_listed_once(on_server, single, charge, monkeypatch):
    connection = single.connect()
    store = on_server(connection)
    await store.discharge(Attempt([Owed((charge(),))]))
    scan = connection.scan

    async def twice(match):
        async for page in scan(match):
            yield page
            yield page

    monkeypatch.setattr(connection, "scan", twice)
    assert len(await store.usage()) == 1


async def test_a_request_behind_pages_of_others_is_found(store, ask, clock):
    ids = []
    for at in range(110):
        ids.append(await file(store, ask(f"call {at}", f"who{at}")))
        if at:
            await store.submit(ids[-1], Ruling("carol", False))
        clock.now += 1
    for pending, at in ((True, 0), (None, 1), (False, 1)):
        (one,) = await store.records(most=1, pending=pending, wanted=lambda record: record.id in ids[:2])
        assert one.id == ids[at]


async def test_where_no_limit_is_so_named_no_key_is_looked_at(on_server, charge):
    store = on_server()
    await store.discharge(Attempt([Owed((charge(),))]))
    store._server.asked.clear()
    assert await store.usage(server="bank", limit="none") == ()
    assert store._server.asked == ["limits"]


async def test_no_more_limits_are_kept_than_some_thousand(on_server, charge):
    store = on_server()
    for at in range(10_010):
        limit = Limit(f"l{at}", ("bank", f"l{at}"), 3, 60.0, "bank")
        store._overview.note(limit)
    await store.beat()
    assert len(store._overview._limits) < 100


async def test_replicas_are_counted_for_15_seconds(on_server, clock):
    stores = [on_server() for _ in range(3)]
    assert [await store.beat() for store in stores] == [1, 2, 3]
    assert await stores[0].beat("named") == 4
    clock.now += 14.0
    assert await stores[1].beat() == 4
    clock.now += 2.0
    assert await stores[1].beat() == 1


async def test_a_broken_list_of_limits_is_an_error(on_server, single):
    store = on_server()
    await store.beat()
    (key,) = [key for key in single.lifetimes() if key.endswith(b"}il")]
    single.all[0].command("HSET", key, "mark", "{}")
    with pytest.raises(StoreError, match=r"^limits: expected their names, got KeyError"):
        await store.usage()


# ------------------------------------------------------------------------------------------------------ admission


def test_a_place_is_free_when_nobody_has_asked_for_it_for_a_window():
    now = [0.0]
    admission = Admission(2, lambda: now[0])
    assert [admission.admits(key, 10.0) for key in (b"a", b"b", b"c", b"a")] == [True, True, False, True]
    now[0] = 5.0
    assert admission.admits(b"a", 10.0)
    now[0] = 10.0
    assert [admission.admits(key, 10.0) for key in (b"c", b"d")] == [True, False]
    now[0] = 100.0
    assert admission.admits(b"e", 10.0)
    assert len(admission) == 1
    assert admission.overflowed == 2


async def test_a_list_moves_no_parameters_and_a_record_keeps_them_as_they_are(store, single, ask):
    params = '{"a":"' + "\U0001f600" * 10_000 + '"}'
    id_ = await file(store, ask(params=params))
    (key,) = [key for key in single.lifetimes() if b"}d" in key]
    assert single.all[0].command("STRLEN", key) < len(params.encode()) + 1_000
    (listed,) = await store.records()
    assert (listed.id, listed.request) == (id_, ask(params=""))
    (listed,) = await store.records(pending=True, wanted=lambda record: record.request.tool == "transfer")
    assert listed.request == ask(params="")
    assert (await store.record(id_)).request == ask(params=params)


@pytest.mark.parametrize("servers", ["single", "nodes"])
async def test_requests_that_nobody_decides_are_let_go_like_others(request, on_server, on_cluster, ask, clock, servers):
    store = (on_server if servers == "single" else on_cluster)()
    for at in range(1_060):
        await file(store, ask("x", f"who{at}", timeout=1.0, params="x" * 100))
        clock.now += 2.0
    assert len(await store.records(most=5_000)) <= 1_001
    keys = request.getfixturevalue(servers).lifetimes()
    lengths = {
        key[-2:]: server.command({b"w": "HLEN"}.get(key[-1:], "ZCARD"), key)
        for server in request.getfixturevalue(servers).all
        for key in server.command("KEYS", "*}i[wef]")
    }
    assert all(length <= 1_001 for length in lengths.values()), lengths
    assert len(lengths) == 3
    if servers == "single":  # in a cluster a record lasts as long as it may be shown
        assert sum(b"}d" in key for key in keys) <= 1_001
