"""The deadline of a check, what is in flight, and when no more checks come."""

import asyncio

from authz.app.checks import Checks
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.model import Reason, Reply


class Gauge:
    value = 0

    def inc(self) -> None:
        self.value += 1

    def dec(self) -> None:
        self.value -= 1


class Refuser:
    def __init__(self) -> None:
        self.refused: list[Reason] = []

    def refuse(self, reason, request, error=None):
        self.refused.append(reason)
        return Reply(allowed=False, status=503)


async def test_an_answer_in_time_is_passed_on_and_counted_while_it_is_made():
    gauge = Gauge()
    seen = []

    async def check(data, caller):
        seen.append((data, caller, gauge.value))
        return b"answer"

    assert await Checks(check, Refuser(), gauge, 1.0).check(b"question", "unix") == b"answer"
    assert seen == [(b"question", "unix", 1)]
    assert gauge.value == 0


async def test_a_check_that_takes_too_long_is_refused_as_busy():
    gauge, refuser = Gauge(), Refuser()

    async def check(data, caller):
        await asyncio.Event().wait()

    answer = pb.CheckResponse.FromString(await Checks(check, refuser, gauge, 0.001).check(b"", ""))
    assert answer.status.code != 0
    assert answer.denied_response.status.code == 503
    assert (refuser.refused, gauge.value) == ([Reason.BUSY], 0)


async def test_a_check_that_is_cancelled_is_no_longer_in_flight():
    gauge = Gauge()
    arrived = asyncio.Event()

    async def check(data, caller):
        arrived.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(Checks(check, Refuser(), gauge, 60.0).check(b"", ""))
    await arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert gauge.value == 0


async def test_at_once_an_answer_that_waits_for_nothing_needs_no_task():
    gauge, refuser = Gauge(), Refuser()

    async def check(data, caller):
        assert asyncio.current_task() is outer
        return data

    outer = asyncio.current_task()
    assert Checks(check, refuser, gauge, 1.0, at_once=True).check(b"question", "unix") == b"question"
    assert (gauge.value, refuser.refused) == (0, [])


async def test_at_once_an_answer_that_waits_comes_from_a_task_which_goes_on_where_it_waited():
    gauge = Gauge()
    gates = [asyncio.Event(), asyncio.Event()]
    seen = []

    async def check(data, caller):
        for gate in gates:
            await gate.wait()
            seen.append(gauge.value)
        return data

    task = asyncio.ensure_future(Checks(check, Refuser(), gauge, 60.0, at_once=True).check(b"question", "unix"))
    for gate in gates:
        await asyncio.sleep(0)
        gate.set()
    assert await task == b"question"
    assert (seen, gauge.value) == ([1, 1], 0)


async def test_at_once_what_is_waited_for_may_fail_and_the_check_sees_it():
    async def check(data, caller):
        try:
            await waited
        except OSError as error:
            return str(error).encode()

    waited = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(Checks(check, Refuser(), Gauge(), 60.0, at_once=True).check(b"", ""))
    await asyncio.sleep(0)
    waited.set_exception(OSError("away"))
    assert await task == b"away"


async def test_at_once_a_check_that_takes_too_long_is_refused_as_busy_and_ended():
    gauge, refuser = Gauge(), Refuser()
    ended = []

    async def check(data, caller):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(data)

    answer = await Checks(check, refuser, gauge, 0.001, at_once=True).check(b"x", "")
    assert pb.CheckResponse.FromString(answer).denied_response.status.code == 503
    assert (refuser.refused, gauge.value, ended) == ([Reason.BUSY], 0, [b"x"])


async def test_it_is_quiet_once_no_check_begins_and_never_while_they_do():
    async def check(data, caller):
        return b""

    checks = Checks(check, Refuser(), Gauge(), 1.0)
    assert await checks.quiet(0.001, 1.0)

    async def hurry():
        while True:
            await checks.check(b"", "")
            await asyncio.sleep(0)

    task = asyncio.create_task(hurry())
    assert not await checks.quiet(0.01, 0.05)
    task.cancel()
