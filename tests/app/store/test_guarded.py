"""The deadline, the breaker and what is fallen back on, before a store that fails in every way it can."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from faulty import Faulty, attempt, guarding, limit, soon, timeout

from authz.app.store import guarded
from authz.app.store.breaker import CONSECUTIVE, Breaker
from authz.app.store.failures import Cause, StoreFailure
from authz.app.store.fallback import Outcome
from authz.errors import StoreError
from authz.model import OnStoreError
from authz.model.approvals import Ruling

GONE = StoreFailure("db:1: connection refused", Cause.CONNECTION)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Probes follow each other at once, so that no test waits for one."""
    monkeypatch.setattr(guarded, "PROBE", 0.01)


async def open_breaker(guard, shared):
    """Have calls fail until it opens."""
    shared.failure = timeout()
    for _ in range(CONSECUTIVE):
        await guard.discharge(attempt(limit(100)))
    assert not guard.up


async def test_while_the_store_answers_its_answer_is_the_answer():
    times: list[float] = []
    shared = Faulty(beats=[4])
    async with guarding(shared, observe=times.append) as guard:
        discharge = await guard.discharge(attempt())
        assert discharge.paid
        assert not discharge.degraded
        assert (guard.up, guard.problem, guard.replicas) == (True, "", 4)
        assert guard.outcomes == {"shared": 1, "local": 0, "denied": 0, "allowed": 0}
        assert len(times) == 1
        assert guard.describe() == {"store": "valkey://db/0", "up": True, "problem": "", "replicas": 4}
    assert shared.closed


async def test_a_call_waits_no_longer_than_the_deadline_and_is_judged_locally():
    async with guarding(Faulty()) as guard:
        guard._shared.hung = True
        started = time.perf_counter()
        discharge = await guard.discharge(attempt())
        assert 0.019 <= time.perf_counter() - started < 0.1
        assert (discharge.paid, discharge.degraded) == (True, True)
        assert guard.failures[Cause.TIMEOUT] == 1
        assert guard.outcomes[Outcome.LOCAL] == 1


async def test_failures_in_a_row_stop_the_asking_and_a_probe_starts_it_again():
    shared = Faulty()
    async with guarding(shared) as guard:
        await open_breaker(guard, shared)
        asked = shared.asked
        assert (await guard.discharge(attempt(limit(100)))).degraded
        assert shared.asked == asked
        shared.failure = None
        await soon(lambda: guard.up)
        assert not (await guard.discharge(attempt())).degraded


async def test_a_success_between_failures_keeps_the_breaker_closed():
    shared = Faulty()
    async with guarding(shared) as guard:
        for _ in range(3):
            shared.failure = timeout()
            for _ in range(CONSECUTIVE - 1):
                await guard.discharge(attempt(limit(100)))
            shared.failure = None
            await guard.discharge(attempt())
        assert guard.up


async def test_a_lost_connection_is_probed_at_once_and_the_probe_decides():
    shared = Faulty()
    async with guarding(shared) as guard:
        shared.failure = GONE
        assert (await guard.discharge(attempt())).degraded
        await soon(lambda: not guard.up, within=1.0)  # long before the next beat
        assert guard.problem == "state valkey://db/0: db:1: connection refused"


async def test_what_the_replica_has_paid_counts_when_it_judges_alone():
    shared = Faulty()
    async with guarding(shared) as guard:
        for _ in range(2):
            assert (await guard.discharge(attempt())).paid
        await guard.discharge(attempt(peek=True))
        shared.failure = timeout()
        assert (await guard.discharge(attempt())).paid
        refused = await guard.discharge(attempt())
        assert (refused.paid, refused.exhausted) == (False, (limit(),))
        assert refused.retry_after > 50


async def test_a_request_that_was_paid_is_not_charged_again_when_the_replica_judges_alone():
    shared = Faulty()
    async with guarding(shared) as guard:
        await guard.discharge(attempt(limit(1), key=b"k"))
        shared.failure = timeout()
        assert (await guard.discharge(attempt(limit(1), key=b"k"))).paid
        assert not (await guard.discharge(attempt(limit(1), key=b"other"))).paid


@pytest.mark.parametrize(("replicas", "admitted"), [(1, 10), (3, 3), (10, 1), (40, 1)])
async def test_a_replica_alone_admits_its_share(replicas, admitted):
    shared = Faulty(beats=[replicas])
    async with guarding(shared) as guard:
        shared.failure = timeout()
        answers = [await guard.discharge(attempt(limit(10))) for _ in range(12)]
        assert sum(answer.paid for answer in answers) == admitted
        # What callers are told of is the limit as the policy has it.
        assert answers[-1].exhausted == (limit(10),)
        assert answers[-1].quotas[0].limit == limit(10)


async def test_where_nobody_knows_how_many_replicas_there_are_each_admits_all():
    async with guarding(Faulty(failure=GONE)) as guard:
        assert guard.replicas is None
        assert sum([(await guard.discharge(attempt(limit(10)))).paid for _ in range(12)]) == 10


async def test_a_limit_that_says_deny_denies_and_one_that_says_allow_is_not_counted():
    async with guarding(Faulty(failure=GONE)) as guard:
        deny, allow = limit(5, OnStoreError.DENY, "spend"), limit(1, OnStoreError.ALLOW, "loose")
        with pytest.raises(StoreError, match=r"^spend: the shared store does not answer, and on_store_error is deny$"):
            await guard.discharge(attempt(limit(), deny))
        assert [(await guard.discharge(attempt(allow))).paid for _ in range(3)] == [True] * 3
        both = [(await guard.discharge(attempt(limit(1), allow))).paid for _ in range(2)]
        assert both == [True, False]
        assert guard.outcomes == {"shared": 0, "local": 2, "denied": 1, "allowed": 3}


async def test_what_is_denied_for_one_limit_is_charged_to_none():
    async with guarding(Faulty(failure=GONE)) as guard:
        for _ in range(5):
            with pytest.raises(StoreError):
                await guard.discharge(attempt(limit(1), limit(1, OnStoreError.DENY, "spend")))
        assert (await guard.discharge(attempt(limit(1)))).paid


async def test_claims_and_filings_never_fall_back():
    async with guarding(Faulty(failure=GONE)) as guard:
        for each in (OnStoreError.LOCAL, OnStoreError.ALLOW):
            with pytest.raises(StoreError) as caught:
                await guard.discharge(attempt(limit(3, each), ask=True))
            assert str(caught.value) == "approvals are known to the shared store alone, which does not answer"


async def test_a_mistake_in_the_attempt_is_no_failure_of_the_store():
    async with guarding(Faulty(failure=None)) as guard:
        guard._shared.failure = StoreError("calls: expected a finite cost above 0, got 0.0")
        for _ in range(2 * CONSECUTIVE):
            with pytest.raises(StoreError, match="expected a finite cost"):
                await guard.discharge(attempt())
        assert guard.up


@pytest.mark.parametrize("cause", [Cause.READONLY, Cause.OOM, Cause.OTHER, Cause.TIMEOUT])
async def test_every_kind_of_failure_is_counted_and_opens_the_breaker(cause):
    shared = Faulty()
    async with guarding(shared) as guard:
        shared.failure = StoreFailure("db:1: no", cause)
        for _ in range(CONSECUTIVE):
            assert (await guard.discharge(attempt(limit(100)))).degraded
        assert not guard.up
        assert guard.failures[cause] == CONSECUTIVE


async def test_it_starts_while_the_store_is_away_and_finds_it_later(caplog):
    caplog.set_level(logging.INFO, "mcp_authz.state")
    shared = Faulty(failure=GONE)
    async with guarding(shared) as guard:
        assert not guard.up
        shared.failure = None
        await soon(lambda: guard.up)
    assert caplog.records[0].getMessage() == (
        "state valkey://db/0: db:1: connection refused: until it answers again each limit does what its "
        "on_store_error says"
    )
    assert caplog.records[1].getMessage().startswith("state valkey://db/0: answers again, after 0.")
    assert len(caplog.records) == 2


async def test_each_change_is_one_line_and_not_each_call(caplog):
    caplog.set_level(logging.INFO, "mcp_authz.state")
    shared = Faulty()
    async with guarding(shared) as guard:
        await open_breaker(guard, shared)
        for _ in range(50):
            await guard.discharge(attempt(limit(100)))
        await soon(lambda: shared.probes > 5)
        shared.failure = None
        await soon(lambda: guard.up)
        for _ in range(50):
            await guard.discharge(attempt())
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["connected", "no answer", "answers again"]


async def test_a_connection_that_cannot_be_made_in_time_is_a_failure(monkeypatch):
    monkeypatch.setattr(guarded, "PATIENT", 0.02)

    async def hang():
        await asyncio.get_running_loop().create_future()

    async with guarding(Faulty(), mend=hang) as guard:
        assert guard.problem == "state valkey://db/0: no connection within 0.02 s"


async def test_whatever_a_probe_raises_the_watch_goes_on(caplog):
    shared = Faulty()
    broken: list[Exception] = []

    async def mend():
        if broken:
            raise broken[0]

    async with guarding(shared, mend=mend) as guard:
        broken.append(RuntimeError("boom"))
        guard._wake.set()
        await soon(lambda: not guard.up)
        assert guard.problem == "state valkey://db/0: RuntimeError: boom"
        assert caplog.records[-1].exc_info
        broken.clear()
        await soon(lambda: guard.up)


async def test_one_late_beat_is_no_more_of_a_sign_than_one_late_call():
    shared = Faulty()
    async with guarding(shared) as guard:
        shared.failure = timeout()
        guard._wake.set()
        await soon(lambda: guard.failures[Cause.TIMEOUT] == 1)
        assert guard.up
        shared.failure = None


async def test_the_caller_may_go_away():
    shared = Faulty()
    async with guarding(shared) as guard:
        shared.hung = True
        call = asyncio.create_task(guard.discharge(attempt()))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert guard.failures[Cause.TIMEOUT] == 0
        shared.hung = False
        assert not (await guard.discharge(attempt())).degraded


async def test_a_deadline_that_passed_while_this_process_was_busy_lets_answers_be_read_first():
    class Late(Faulty):
        async def discharge(self, attempt):
            answer = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.005, answer.set_result, None)
            asyncio.get_running_loop().call_later(0.001, time.sleep, 0.05)
            await answer
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return await super().discharge(attempt)

    async with guarding(Late()) as guard:
        assert not (await guard.discharge(attempt())).degraded


ASKED = {
    "usage": (lambda guard: guard.usage(5, server="bank", limit="calls"), ["usage", 5, "bank", "calls"]),
    "reset": (lambda guard: guard.reset("bank", "calls"), 7),
    "records": (lambda guard: guard.records(most=5, pending=True, wanted=bool), ["records", 5, True, bool]),
    "record": (lambda guard: guard.record("i"), ["record", "i"]),
    "submit": (lambda guard: guard.submit("i", Ruling("bob", True)), ["submit", "i", Ruling("bob", True)]),
    "changes": (lambda guard: guard.changes(), 9),
}


@pytest.mark.parametrize("name", ASKED)
async def test_people_ask_the_shared_store_and_are_told_why_it_cannot_tell(name, monkeypatch):
    for patience in ("PATIENT", "THOROUGH"):
        monkeypatch.setattr(guarded, patience, 0.02)
    ask, answer = ASKED[name]
    shared = Faulty()
    async with guarding(shared) as guard:
        assert await ask(guard) == answer
        shared.hung = True
        with pytest.raises(StoreError, match=r"^no answer within 0.02 s$"):
            await ask(guard)
        shared.hung, shared.failure = False, GONE
        with pytest.raises(StoreError, match=r"^db:1: connection refused$"):
            await ask(guard)
        await soon(lambda: not guard.up)
        with pytest.raises(StoreError, match=r"^db:1: connection refused$"):
            await ask(guard)


async def test_a_reset_forgets_what_this_replica_has_counted_too():
    shared = Faulty()
    async with guarding(shared) as guard:
        await guard.discharge(attempt(limit(1)))
        await guard.reset("bank")
        shared.failure = timeout()
        assert (await guard.discharge(attempt(limit(1)))).paid


async def test_a_closed_store_says_so():
    async with guarding(Faulty()) as guard:
        pass
    for ask in (lambda: guard.discharge(attempt()), guard.changes):
        with pytest.raises(StoreError, match=r"^store: expected it open, got a call after close$"):
            await ask()


async def test_it_can_be_closed_before_it_was_started():
    shared = Faulty()
    async with guarding(shared, start=False) as guard:
        assert not guard.up
    assert shared.closed


def test_a_call_that_was_asked_before_the_breaker_opened_does_not_close_it():
    breaker = Breaker(GONE)
    breaker.succeeded()
    assert not breaker.closed
    assert not breaker.failed(timeout())
    assert breaker.probed(None)
    assert breaker.closed
    assert not breaker.probed(None)
