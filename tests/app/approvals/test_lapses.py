"""What expires is told of once: as a request that nobody decided, or as a yes that no call used."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from approval_office import Office, asked
from prometheus_client import CollectorRegistry

from authz.app.approvals import lapses
from authz.app.approvals.lapses import Lapses
from authz.app.approvals.metrics import ApprovalMetrics
from authz.app.approvals.watch import Watch
from authz.model import ApprovalRecord, ApprovalStatus, Ruling
from authz.state.store import Attempt, Owed

YES = Ruling("dana", True, (0,))
NO = Ruling("dana", False)


class Looking:
    """A watch over the office's store that looks when told, and what it has told of."""

    def __init__(self, office: Office) -> None:
        self.pending: list[float] = []
        self.told: Counter[str] = Counter()
        self._watch = Watch(office.store, self.pending.append, lambda lapse: self.told.update([lapse.value]))

    async def look(self) -> dict[str, int]:
        """Everything told of so far, after one more look."""
        await self._watch._look()
        return dict(self.told)


@pytest.fixture
async def looking(office: Office) -> Looking:
    watch = Looking(office)
    await watch.look()
    return watch


async def test_a_request_that_nobody_decides_is_told_of_once(office: Office, looking: Looking):
    await office.file_request()
    assert await looking.look() == {}
    office.now += 900
    assert [await looking.look() for _ in range(3)] == [{"request": 1}] * 3
    assert looking.pending == [0.0, 1.0, 0.0]


async def test_what_came_and_went_between_two_looks_is_told_of(office: Office, looking: Looking):
    await office.file_request(asked(timeout=1.0))
    office.now += 2
    assert await looking.look() == {"request": 1}


async def test_a_yes_that_no_call_used_is_told_of_as_that(office: Office, looking: Looking):
    record = await office.file_request()
    await office.store.submit(record.id, YES)
    await looking.look()
    office.now += 900
    assert await looking.look() == {"grant": 1}


async def test_what_was_denied_or_used_does_not_expire(office: Office, looking: Looking):
    denied = await office.file_request()
    once = await office.file_request(asked(tool="once"))
    often = await office.file_request(asked(tool="often", uses=0, remember=600.0))
    await office.store.submit(denied.id, NO)
    for record in (once, often):
        await office.store.submit(record.id, YES)
        assert (await office.store.discharge(Attempt((Owed((), record.request),)))).paid
    await looking.look()
    office.now += 3600
    assert await office.status(often.id) == "expired"
    assert await looking.look() == {}


async def test_what_had_expired_before_is_history(office: Office):
    await office.file_request()
    office.now += 900
    watch = Looking(office)
    assert await watch.look() == {}
    await office.file_request()
    office.now += 900
    assert await watch.look() == {"request": 1}


async def test_one_that_is_older_than_all_that_are_listed_is_told_of_too(office: Office, looking: Looking, monkeypatch):
    await office.file_request()
    for tool in ("a", "b", "c"):
        await office.store.submit((await office.file_request(asked(tool=tool))).id, NO)
    await looking.look()
    monkeypatch.setattr("authz.app.approvals.desk.LISTED", 2)
    office.now += 900
    assert await looking.look() == {"request": 1}


async def test_one_that_the_store_has_forgotten_is_nothing(office: Office, looking: Looking, monkeypatch):
    await office.file_request()
    await looking.look()
    office.now += 3 * 24 * 3600
    assert await office.store.records() == ()
    assert await looking.look() == {}


def test_only_so_many_are_remembered(monkeypatch):
    monkeypatch.setattr(lapses, "REMEMBERED", 2)
    told: list[str] = []
    one = ApprovalRecord("1", asked(), ApprovalStatus.EXPIRED, 0.0, 900.0, ended_at=900.0)
    seen = Lapses(told.append)
    assert seen.look([]) == frozenset()
    for id_ in ("1", "2", "3", "3", "1"):
        seen.look([replace(one, id=id_)])
    assert len(told) == 4


def test_the_metric_has_both_kinds_from_the_beginning():
    registry = CollectorRegistry()
    metrics = ApprovalMetrics(registry)
    metrics.expired(lapses.Lapse.GRANT)
    name = "mcp_authz_approvals_expired_total"
    assert [registry.get_sample_value(name, {"what": what}) for what in ("request", "grant")] == [0.0, 1.0]
