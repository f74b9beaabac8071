"""Whatever happens in between, a check is answered, and with a denial unless the engine allowed it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from authz.envoy.authorization import Authorization
from authz.envoy.codec import REFUSAL, encode
from authz.envoy.lane import Lane
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.errors import MalformedMessage, StoreError
from authz.model import HttpRequest, Reason, Reply

Build = Callable[..., pb.CheckRequest]


def narrow_lane() -> Lane:
    """A lane whose places are counted in these tests."""
    return Lane(max_waiting=8, per_source=2)


class Panic(BaseException):
    """As a Rust extension raises it: not an Exception."""


@pytest.fixture
def authorization(engine: Any) -> Authorization:
    return Authorization(engine, narrow_lane())


def raises(error: BaseException) -> Callable[[HttpRequest], Any]:
    async def answer(request: HttpRequest) -> Reply:
        raise error

    return answer


def returns(value: Any) -> Callable[[HttpRequest], Any]:
    async def answer(request: HttpRequest) -> Any:
        return value

    return answer


async def test_the_engine_decides(authorization: Authorization, engine: Any, check_request: Build) -> None:
    data = check_request(b"{}").SerializeToString()
    assert await authorization.check(data, "192.0.2.1") == encode(Reply(allowed=True))
    assert (engine.asked[0].body, engine.asked[0].caller, engine.asked[0].wire) == (b"{}", "192.0.2.1", data)
    denial = Reply(allowed=False, status=200, body=b"{}", metadata={"rule": "r"})
    engine.answer = returns(denial)
    assert await authorization.check(data, "") == encode(denial)
    assert engine.refused == []


async def test_a_check_that_cannot_be_read_is_refused_as_malformed(authorization: Authorization, engine: Any) -> None:
    sent = pb.CheckResponse.FromString(await authorization.check(b"\xff", ""))
    assert (sent.status.code, sent.denied_response.body) == (7, '{"reason": "malformed"}')
    ((reason, request, error),) = engine.refused
    assert (reason, request, type(error)) == (Reason.MALFORMED, None, MalformedMessage)


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (StoreError("no store"), Reason.STATE_UNAVAILABLE, "no store"),
        (RuntimeError("broken"), Reason.INTERNAL, "broken"),
        (MemoryError(), Reason.INTERNAL, ""),
        (RecursionError("too deep"), Reason.INTERNAL, "too deep"),
        (Panic("index out of bounds"), Reason.INTERNAL, "check: Panic: index out of bounds"),
        (asyncio.CancelledError("inside"), Reason.INTERNAL, "check: CancelledError: inside"),
    ],
)
async def test_an_engine_that_raises_denies(
    authorization: Authorization, engine: Any, check_request: Build, error: BaseException, reason: Reason, text: str
) -> None:
    engine.answer = raises(error)
    sent = pb.CheckResponse.FromString(await authorization.check(check_request().SerializeToString(), ""))
    assert (sent.status.code, sent.denied_response.body) == (7, f'{{"reason": "{reason}"}}')
    ((refused, request, cause),) = engine.refused
    assert (refused, request, str(cause)) == (reason, engine.asked[0], text)


@pytest.mark.parametrize(
    "garbage",
    [None, True, b"", pb.CheckResponse(), Reply(allowed=True, metadata={"x": object()}), Reply(True, headers=[("x",)])],  # type: ignore[list-item]
)
async def test_an_engine_that_answers_with_garbage_denies(
    authorization: Authorization, engine: Any, check_request: Build, garbage: Any
) -> None:
    engine.answer = returns(garbage)
    sent = pb.CheckResponse.FromString(await authorization.check(check_request().SerializeToString(), ""))
    assert (sent.status.code, sent.denied_response.body) == (7, '{"reason": "internal"}')


def broken(reason: Reason) -> Reply:
    raise Panic(reason)


@pytest.mark.parametrize("refusal", [broken, lambda _: None, lambda _: Reply(allowed=True)])
async def test_an_engine_that_cannot_even_refuse_denies(
    authorization: Authorization, engine: Any, caplog: pytest.LogCaptureFixture, refusal: Callable[[Reason], Any]
) -> None:
    engine.refusal = refusal
    assert await authorization.check(b"\xff", "") == REFUSAL
    assert caplog.messages[0].startswith("check: expected a denial for malformed, got an ")


async def test_only_the_cancellation_of_the_call_itself_gets_through(
    authorization: Authorization, engine: Any, check_request: Build
) -> None:
    engine.answer = lambda request: asyncio.Event().wait()
    task = asyncio.create_task(authorization.check(check_request().SerializeToString(), ""))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.refused == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_the_end_of_the_program_is_not_held_up(engine: Any, check_request: Build, error: BaseException) -> None:
    def refusal(reason: Reason) -> Reply:
        raise error

    engine.answer, engine.refusal = raises(error), refusal
    for data in (check_request().SerializeToString(), b"\xff"):  # from the decision, from the refusal
        with pytest.raises(type(error)):
            Authorization(engine, narrow_lane()).check(data, "").send(None)


async def test_large_bodies_take_turns_and_small_ones_pass_them(
    authorization: Authorization, engine: Any, check_request: Build
) -> None:
    gate = asyncio.Event()

    async def answer(request: HttpRequest) -> Reply:
        if len(request.body) > 1000:
            await gate.wait()
        return Reply(allowed=True)

    engine.answer = answer
    large = [check_request(b"x" * 100_000, source=f"192.0.2.{i % 5}").SerializeToString() for i in range(20)]
    tasks = [asyncio.create_task(authorization.check(data, "")) for data in large]
    await asyncio.sleep(0)
    # one is being read, eight wait undecoded, the others were told so at once
    assert len([request for request in engine.asked if request.body]) == 1
    for _ in range(50):
        assert await authorization.check(check_request(b"").SerializeToString(), "") == encode(Reply(allowed=True))
    busy = [request for reason, request, _ in engine.refused if reason is Reason.BUSY]
    assert busy == [None] * 11
    gate.set()
    codes = [pb.CheckResponse.FromString(answer) for answer in await asyncio.gather(*tasks)]
    assert sorted(sent.status.code for sent in codes) == [0] * 9 + [8] * 11


async def test_a_large_check_that_is_called_off_leaves_the_lane(engine: Any, check_request: Build) -> None:
    lane = narrow_lane()
    authorization = Authorization(engine, lane)
    engine.answer = lambda request: asyncio.Event().wait()
    data = check_request(b"x" * 100_000).SerializeToString()
    tasks = [asyncio.create_task(authorization.check(data, "")) for _ in range(3)]
    await asyncio.sleep(0)
    assert lane.waiting == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert lane.waiting == 0


async def test_hosts_of_one_ipv6_network_share_their_turns(engine: Any, check_request: Build) -> None:
    engine.answer = lambda request: asyncio.Event().wait()
    authorization = Authorization(engine, narrow_lane())
    large = [check_request(b"x" * 100_000, source=f"2001:db8:1:2::{i}").SerializeToString() for i in range(10)]
    tasks = [asyncio.create_task(authorization.check(data, "")) for data in large]
    await asyncio.sleep(0)
    assert len(engine.refused) == 7  # one has the turn, two wait
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
