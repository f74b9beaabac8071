"""The service on both transports, over a unix socket and TCP: limits, identity of the caller, draining."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from authz.app.settings.values import Address, address
from authz.envoy.authorization import Authorization
from authz.envoy.codec import encode
from authz.envoy.lane import Lane
from authz.envoy.limits import limits
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.envoy.peer import caller_of
from authz.envoy.transport import GrpcServer, Transport
from authz.errors import SettingsError
from authz.model import HttpRequest, Reply

Build = Callable[..., pb.CheckRequest]
MIB = 1 << 20
CHECK = "/envoy.service.auth.v3.Authorization/Check"
HEALTH = "/grpc.health.v1.Health/"
ALLOWED = encode(Reply(allowed=True))


@pytest.fixture(params=[Transport.NATIVE, Transport.GRPCIO])
def transport(request: pytest.FixtureRequest) -> Transport:
    found: Transport = request.param
    return found


def narrow_lane() -> Lane:
    """A lane whose places are counted in these tests."""
    return Lane(max_waiting=8, per_source=2)


@pytest.fixture(autouse=True)
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in, so that the paths of sockets are short."""
    place = tmp_path_factory.mktemp("t")
    monkeypatch.chdir(place)
    return place


@dataclass
class Endless:
    """A check that is never decided: when it began, and when it was given up."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: HttpRequest) -> Reply:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        raise AssertionError("this wait has no end")


@pytest.fixture
async def endless(engine: Any) -> Endless:
    found = Endless()
    engine.answer = found.answer
    return found


@pytest.fixture(params=["unix:a.sock", "127.0.0.1:0", "[::1]:0"])
async def server(request: pytest.FixtureRequest, engine: Any, transport: Transport) -> AsyncIterator[GrpcServer]:
    if "[" in request.param and not socket.has_ipv6:
        pytest.skip("needs IPv6")
    server = serving(engine, transport, address(request.param))
    await server.start()
    server.set_serving(True)
    yield server
    await server.stop(0)


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[Any]:
    async with connect(server) as channel:
        yield channel


def connect(server: GrpcServer, bound: int = 0) -> Any:
    # without a pool of its own it would share connections, and back-off, with the tests before
    return grpc.aio.insecure_channel(server.bound[bound], options=[("grpc.use_local_subchannel_pool", 1)])


def serving(engine: Any, transport: Transport, *addresses: Address, **settings: Any) -> GrpcServer:
    check = Authorization(engine, narrow_lane()).check
    return GrpcServer(addresses, check, transport=transport, **settings)


async def on_unix(engine: Any, transport: Transport, path: str = "a.sock", **settings: Any) -> GrpcServer:
    server = serving(engine, transport, Address(path=path), **settings)
    await server.start()
    return server


async def soon(awaitable: Awaitable[Any]) -> Any:
    """What a test waits for, or an error where it would hang."""
    return await asyncio.wait_for(awaitable, 20)


async def ask(channel: Any, request: pb.CheckRequest) -> bytes:
    return bytes(await channel.unary_unary(CHECK)(request.SerializeToString(), timeout=20))


async def test_a_check_is_answered_and_the_caller_known(
    server: GrpcServer, channel: Any, engine: Any, check_request: Build
) -> None:
    assert await ask(channel, check_request()) == ALLOWED
    family = {"u": "unix", "1": "127.0.0.1", "[": "::1"}[server.bound[0][0]]
    assert engine.asked[0].caller == family


async def test_a_port_that_the_system_chose_is_told(server: GrpcServer) -> None:
    (bound,) = server.bound
    assert bound == "unix:a.sock" or int(bound.rpartition(":")[2]) > 0


async def test_too_large_a_body_gets_the_denial_of_the_service_and_no_rpc_error(
    channel: Any, engine: Any, check_request: Build
) -> None:
    async def answer(request: HttpRequest) -> Reply:
        return Reply(allowed=False, status=413, body=b'{"too":"large"}')

    engine.answer = answer
    sent = pb.CheckResponse.FromString(await ask(channel, check_request(b"x" * (5 * MIB))))
    assert (sent.status.code, sent.denied_response.status.code) == (7, 413)
    assert sent.denied_response.body == '{"too":"large"}'


@pytest.mark.parametrize(("body", "limit"), [(4 * MIB, 16 * MIB), (15 * MIB, 16 * MIB), (64 * MIB, 65 * MIB)])
def test_the_limit_of_a_message_is_above_that_of_a_body(body: int, limit: int) -> None:
    assert limits(body).message == limit


async def test_an_engine_that_raises_is_a_denial_and_no_rpc_error(
    channel: Any, engine: Any, check_request: Build
) -> None:
    async def answer(request: HttpRequest) -> Reply:
        raise RuntimeError("broken")

    engine.answer = answer
    sent = pb.CheckResponse.FromString(await ask(channel, check_request()))
    assert (sent.status.code, sent.denied_response.body) == (7, '{"reason": "internal"}')


async def test_bytes_that_are_no_check_are_a_denial(channel: Any) -> None:
    sent = pb.CheckResponse.FromString(await channel.unary_unary(CHECK)(b"\xff\xff", timeout=20))
    assert (sent.status.code, sent.denied_response.body) == (7, '{"reason": "malformed"}')


async def test_twenty_large_bodies_keep_no_small_call_waiting(channel: Any, engine: Any, check_request: Build) -> None:
    reading = asyncio.Event()
    gate = asyncio.Event()

    async def answer(request: HttpRequest) -> Reply:
        if request.body:
            reading.set()
            await gate.wait()
        return Reply(allowed=True)

    engine.answer = answer
    large = [
        asyncio.create_task(ask(channel, check_request(b"[" * (2 * MIB), source=f"192.0.2.{i % 4}"))) for i in range(20)
    ]
    await soon(reading.wait())
    for _ in range(20):
        assert await ask(channel, check_request(b"")) == ALLOWED
    for _ in range(11):  # the rest are told that there is no place
        await soon(engine.refusing.acquire())
    assert len([request for request in engine.asked if request.body]) == 1
    gate.set()
    codes = sorted(pb.CheckResponse.FromString(answer).status.code for answer in await asyncio.gather(*large))
    assert codes == [0] * 9 + [8] * 11


async def test_a_proxy_that_hangs_up_cancels_the_check(
    channel: Any, engine: Any, endless: Endless, check_request: Build
) -> None:
    call = channel.unary_unary(CHECK)(check_request().SerializeToString())
    await soon(endless.started.wait())
    call.cancel()
    await soon(endless.ended.wait())
    assert engine.refused == []


async def test_health_says_whether_calls_are_served(server: GrpcServer, channel: Any) -> None:
    check = channel.unary_unary(HEALTH + "Check")
    assert await check(b"", timeout=20) == b"\x08\x01"
    server.set_serving(False)
    assert await check(b"", timeout=20) == b"\x08\x02"
    assert await check(b"\x0a\x05other", timeout=20) == b"\x08\x03"


async def test_health_can_be_watched_until_the_service_stops(server: GrpcServer, channel: Any) -> None:
    watch = aiter(channel.unary_stream(HEALTH + "Watch")(b"", timeout=20))
    assert await anext(watch) == b"\x08\x01"
    stopping = asyncio.create_task(server.stop(20))
    assert [status async for status in watch] == [b"\x08\x02"]
    await soon(stopping)


async def test_what_is_not_served_is_unimplemented(channel: Any) -> None:
    for method in (HEALTH + "List", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/x/Check"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(method)(b"", timeout=20)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_stopping_answers_the_calls_in_flight_and_takes_no_more(
    server: GrpcServer, channel: Any, engine: Any, check_request: Build
) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    async def answer(request: HttpRequest) -> Reply:
        started.set()
        await gate.wait()
        return Reply(allowed=True)

    engine.answer = answer
    call = asyncio.create_task(ask(channel, check_request()))
    await soon(started.wait())
    stopping = asyncio.create_task(server.stop(20))
    waiting = asyncio.create_task(server.wait())
    await asyncio.sleep(0)
    async with connect(server) as late:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(late, check_request())
    # on a connection from before the stop the call is CANCELLED, else there is nobody to connect to
    assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    gate.set()
    assert await call == ALLOWED
    await soon(asyncio.gather(stopping, waiting))


async def test_calls_that_outlast_the_grace_are_cancelled(
    server: GrpcServer, channel: Any, endless: Endless, check_request: Build
) -> None:
    call = asyncio.create_task(ask(channel, check_request()))
    await soon(endless.started.wait())
    await soon(server.stop(0.01))
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    await soon(endless.ended.wait())


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o666])
async def test_a_socket_has_its_mode_and_is_removed_at_the_end(engine: Any, transport: Transport, mode: int) -> None:
    server = await on_unix(engine, transport, socket_mode=mode)
    assert stat.S_IMODE(os.lstat("a.sock").st_mode) == mode
    await server.stop(0)
    assert "a.sock" not in os.listdir()


async def test_a_stale_socket_is_replaced(engine: Any, transport: Transport, check_request: Build) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind("a.sock")
        killed.listen()
    server = await on_unix(engine, transport)
    async with connect(server) as channel:
        assert await ask(channel, check_request()) == ALLOWED
    await server.stop(0)


async def test_a_successor_keeps_its_socket_whatever_its_predecessor_still_lets_go_of(
    engine: Any, transport: Transport, check_request: Build
) -> None:
    first = await on_unix(engine, transport)
    await first.stop(0)
    second = await on_unix(engine, transport)
    del first
    gc.collect()
    async with connect(second) as channel:
        assert await ask(channel, check_request()) == ALLOWED
    assert os.listdir() == ["a.sock"]
    await second.stop(0)


async def test_a_path_is_taken_as_it_is_written(engine: Any, transport: Transport, check_request: Build) -> None:
    server = await on_unix(engine, transport, "a%20b é?#.sock")
    assert os.listdir() == ["a%20b é?#.sock"]
    await server.stop(0)


async def test_a_living_server_keeps_its_socket(engine: Any, transport: Transport, check_request: Build) -> None:
    first = await on_unix(engine, transport)
    with pytest.raises(SettingsError) as refused:
        await on_unix(engine, transport)
    assert str(refused.value) == (
        "listen: unix:a.sock: expected a stale socket or none, got one that another process answers on"
    )
    async with connect(first) as channel:
        assert await ask(channel, check_request()) == ALLOWED
    await first.stop(0)


async def test_a_port_that_is_taken_is_refused_and_nothing_is_left_behind(
    engine: Any, transport: Transport, capfd: Any
) -> None:
    first = serving(engine, transport, address("127.0.0.1:0"))
    (taken,) = await first.start()
    second = serving(engine, transport, Address(path="b.sock"), address(taken))
    with pytest.raises(SettingsError) as refused:
        await second.start()
    assert str(refused.value) == f"listen: {taken}: expected a free port, got one that is in use"
    assert capfd.readouterr().err == ""  # gRPC would write there
    assert os.listdir() == []
    await first.stop(0)


async def test_plain_text_beyond_the_machine_is_refused_before_anything_is_bound(
    engine: Any, transport: Transport
) -> None:
    server = serving(engine, transport, Address(path="a.sock"), address("0.0.0.0:0"))
    with pytest.raises(SettingsError) as refused:
        await server.start()
    assert str(refused.value) == (
        "listen: expected unix:PATH or a loopback address, got '0.0.0.0:0': beyond this machine it needs --tls-cert, "
        "or --plaintext-ok and something else that protects the way, such as a mesh"
    )
    assert "a.sock" not in os.listdir()
    await server.stop(0)


async def test_one_server_listens_on_several_addresses(engine: Any, transport: Transport, check_request: Build) -> None:
    server = serving(engine, transport, Address(path="a.sock"), address("127.0.0.1:0"))
    for bound in range(len(await server.start())):
        async with connect(server, bound) as channel:
            assert await ask(channel, check_request()) == ALLOWED
    await server.stop(0)


@pytest.mark.parametrize(
    ("peer", "caller"),
    [("ipv4:10.0.0.1:50000", "10.0.0.1"), ("ipv6:%5B2001:db8::1%5D:50000", "2001:db8::1"), ("unix:", "unix"), ("", "")],
)
def test_the_caller_is_an_address_without_its_port(peer: str, caller: str) -> None:
    assert caller_of(peer) == caller
