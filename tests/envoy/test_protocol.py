"""What a peer can do to a listener, frame by frame, and what it must not bring about; the same for both transports."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RESET,
    SETTINGS,
    Peer,
    call,
    frame,
    header,
    message,
    whole,
)

from authz.app.settings.values import Address
from authz.envoy.codec import REFUSAL
from authz.envoy.limits import MIB, Limits
from authz.envoy.service import Methods
from authz.envoy.transport import Carrier, GrpcServer, Transport, carrier

PATH = "a.sock"
CHECK = "/envoy.service.auth.v3.Authorization/Check"
WATCH = "/grpc.health.v1.Health/Watch"
SECRET = "the-password-is-swordfish"
OK, CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 1, 4, 8, 12, 13
CANCEL = struct.pack(">I", 8)  # RFC 9113 7


async def true(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds, within 10 seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


class Echo:
    """A check that answers with what it was asked; `hold` ones wait for the gate, or for their end."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.ended: list[bytes] = []
        self.gate = asyncio.Event()

    async def check(self, data: bytes, caller: str) -> bytes:
        self.begun.append(data[:20])
        try:
            if data.startswith(b"hold"):
                await self.gate.wait()
            if data.startswith(b"raise"):
                raise RuntimeError(SECRET)
            if data.startswith(b"panic"):
                raise BaseException(SECRET)  # noqa: TRY002 - as a Rust extension does
            return data[:20]
        finally:
            self.ended.append(data[:20])

    async def until(self, seen: list[bytes], number: int) -> None:
        await true(lambda: len(seen) >= number)


@pytest.fixture(params=[Transport.NATIVE, Transport.GRPCIO])
def transport(request: pytest.FixtureRequest) -> Transport:
    found: Transport = request.param
    return found


@pytest.fixture
async def echo(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Echo:
    monkeypatch.chdir(tmp_path_factory.mktemp("p"))
    return Echo()


@pytest.fixture
async def server(echo: Echo, transport: Transport) -> AsyncIterator[GrpcServer]:
    server = GrpcServer([Address(path=PATH)], echo.check, transport=transport)
    await server.start()
    server.set_serving(True)
    yield server
    await server.stop(0)


@contextlib.asynccontextmanager
async def peer(**settings: Any) -> AsyncIterator[Peer]:
    found = await Peer.on(PATH, **settings)
    try:
        yield found
    finally:
        found.close()


async def served() -> None:
    """Somebody else is answered, at once."""
    async with asyncio.timeout(2), peer() as other:
        await other.send(whole(1, CHECK, b"well-behaved"))
        assert (await other.answer()).data == message(b"well-behaved")


def memory() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_call_is_answered(server: GrpcServer) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"a"))
        answer = await one.answer()
        assert (answer.status, answer.data) == (OK, message(b"a"))


async def test_a_method_that_is_not_there_is_unimplemented(server: GrpcServer) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK + "s", b"a"))
        assert (await one.answer()).status == UNIMPLEMENTED


async def test_a_message_above_the_limit_is_refused_and_one_below_is_not(server: GrpcServer, echo: Echo) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"unix:{PATH}", options=options) as channel:
        method = channel.unary_unary(CHECK)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(b"x" * (16 * MIB + 1), timeout=20)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert echo.begun == []
        assert await method(b"x" * 16 * MIB, timeout=20) == b"x" * 20
    await served()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="counts memory in /proc")
async def test_a_length_that_is_announced_and_never_sent_takes_no_memory(server: GrpcServer, echo: Echo) -> None:
    before = memory()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            one = await stack.enter_async_context(peer())
            await one.send(call(1, CHECK), frame(DATA, 0, 1, b"\0\xff\xff\xff\xff" + b"x" * 1000))
        await served()
        assert memory() - before < 64 * MIB
    assert echo.begun == [b"well-behaved"]


async def test_a_flood_of_half_open_streams_keeps_nobody_waiting(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        with contextlib.suppress(ConnectionError, TimeoutError):
            for start in range(0, 5000, 500):
                await one.send(*(call(1 + 2 * i, CHECK) for i in range(start, start + 500)))
        await served()
    assert echo.begun == [b"well-behaved"]


async def test_at_most_so_many_calls_of_one_connection_are_in_flight(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        with contextlib.suppress(ConnectionError, TimeoutError):
            for start in range(0, 3000, 100):
                await one.send(*(whole(1 + 2 * i, CHECK, b"hold") for i in range(start, start + 100)))
        await served()
        assert len(echo.begun) <= 1 + 1024
    echo.gate.set()


async def test_a_rapid_reset_leaves_no_call_behind(server: GrpcServer, echo: Echo) -> None:
    tasks = len(asyncio.all_tasks())
    async with peer() as one:
        with contextlib.suppress(ConnectionError, TimeoutError):
            for start in range(0, 5000, 100):
                ids = range(1 + 2 * start, 1 + 2 * start + 200, 2)
                await one.send(*(whole(i, CHECK, b"hold") + frame(RESET, 0, i, CANCEL) for i in ids))
        await served()
    await echo.until(echo.ended, len(echo.begun))
    await true(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_who_resets_a_stream_cancels_that_call_only(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"hold 1"), whole(3, CHECK, b"hold 3"))
        await echo.until(echo.begun, 2)
        await one.send(frame(RESET, 0, 1, CANCEL))
        await echo.until(echo.ended, 1)
        assert echo.ended == [b"hold 1"]
        echo.gate.set()
        assert (await one.answer(3)).data == message(b"hold 3")


async def test_who_hangs_up_cancels_the_calls(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"hold"), whole(3, CHECK, b"hold"))
        await echo.until(echo.begun, 2)
    await echo.until(echo.ended, 2)


async def test_a_deadline_ends_the_call(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"hold", ("grpc-timeout", "50m")))
        answer = await one.answer()
        assert answer.status in (DEADLINE_EXCEEDED, CANCELLED) or answer.reset is not None
        await echo.until(echo.ended, 1)
        assert not echo.gate.is_set()


async def test_a_message_that_comes_byte_by_byte_is_answered(server: GrpcServer) -> None:
    async with peer() as one:
        for byte in whole(1, CHECK, b"slow"):
            await one.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await one.answer()).data == message(b"slow")


async def test_who_sends_half_a_message_and_hangs_up_starts_no_check(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        await one.send(call(1, CHECK), frame(DATA, 0, 1, message(b"x" * 1000)[:500]))
        await asyncio.sleep(0.05)
    async with peer() as one:
        await one.send(call(1, CHECK)[:20])
    await served()
    assert echo.begun == [b"well-behaved"]


async def test_who_ends_the_stream_within_a_message_starts_no_check(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        await one.send(call(1, CHECK), frame(DATA, END_STREAM, 1, message(b"x" * 1000)[:500]))
        await served()
    assert echo.begun == [b"well-behaved"]


async def test_who_closes_its_sending_side_keeps_nobody_waiting(server: GrpcServer) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"a"))
        one.say_all()
        await one.ended()
        await served()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: authz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # the first bytes of TLS
        bytes(range(256)) * 20,
        PREFACE + bytes(range(255, -1, -1)) * 20,
        PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 2, b"\xff\xff\xff\xff"),
    ],
    ids=["http/1.1", "tls", "bytes", "preface and bytes", "headers that are none"],
)
async def test_what_is_no_http2_is_hung_up_on(server: GrpcServer, echo: Echo, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(PATH)
    one = Peer(reader, writer)
    with contextlib.suppress(ConnectionError):
        await one.send(sent)
    await one.ended()
    one.close()
    await served()
    assert echo.begun == [b"well-behaved"]


async def test_a_thousand_connections_are_all_served(server: GrpcServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(peer()) for _ in range(1000)]
        await served()
        for one in peers[::50]:
            await one.send(whole(1, CHECK, b"a"))
            assert (await one.answer()).data == message(b"a")


async def test_metadata_of_ten_thousand_bytes_is_no_obstacle(server: GrpcServer) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"a", *((f"x-{i}", "v" * 100) for i in range(100))))
        assert (await one.answer()).status == OK


async def test_metadata_above_the_limit_never_reaches_the_check(
    server: GrpcServer, echo: Echo, transport: Transport
) -> None:
    if transport is Transport.GRPCIO:
        pytest.skip("gRPC does not add up what comes in CONTINUATION frames")
    block = b"".join(header(f"x-{i}", "v" * 1000) for i in range(16))
    async with peer() as one:
        await one.send(call(1, CHECK, end=0), *(frame(CONTINUATION, 4 * (i == 4), 1, block) for i in range(5)))
        assert (await one.answer()).http == 431  # RFC 6585 5
    await served()
    assert echo.begun == [b"well-behaved"]


async def test_headers_without_end_take_no_memory(server: GrpcServer) -> None:
    before = memory()
    block = b"".join(header(f"x-{i}", "v" * 1000) for i in range(16))[:16384]
    async with peer() as one:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await one.send(call(1, CHECK, end=0))
            for _ in range(4000):
                await one.send(frame(CONTINUATION, 0, 1, block))
        await served()
    assert memory() - before < 96 * MIB  # 64 MB were sent, and read on this side as well


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0)),
        frame(2, 0, 1, b"\0\0\0\0\1"),
        frame(8, 0, 0, struct.pack(">I", 1)),
        frame(DATA, 0, 1),
    ],
    ids=["pings", "settings", "priorities", "windows", "empty data"],
)
async def test_a_flood_of_small_frames_keeps_nobody_waiting(server: GrpcServer, flood: bytes) -> None:
    async with peer() as one:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await one.send(call(1, CHECK))
            one.reader._limit = 1 << 40  # type: ignore[attr-defined]
            for _ in range(30):
                one.writer.write(flood * 1000)
                await asyncio.wait_for(one.writer.drain(), 0.2)
        await served()


async def test_a_compressed_message_is_read(server: GrpcServer) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, gzip.compress(b"small"), ("grpc-encoding", "gzip"), compressed=1))
        assert (await one.answer()).data == message(b"small")


async def test_a_compressed_message_above_the_limit_never_reaches_the_check(server: GrpcServer, echo: Echo) -> None:
    bomb = gzip.compress(bytes(17 * MIB))
    assert len(bomb) < 60_000
    async with peer() as one:
        sent = message(bomb, 1)
        parts = [frame(DATA, 0, 1, sent[at : at + 16384]) for at in range(0, len(sent), 16384)]
        await one.send(call(1, CHECK, ("grpc-encoding", "gzip")), *parts, frame(DATA, END_STREAM, 1))
        assert (await one.answer()).status == RESOURCE_EXHAUSTED
    await served()
    assert echo.begun == [b"well-behaved"]


@pytest.mark.parametrize("encoding", [(), (("grpc-encoding", "zstd"),), (("grpc-encoding", "gzip"),)])
async def test_what_cannot_be_unpacked_never_reaches_the_check(server: GrpcServer, echo: Echo, encoding: Any) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"not gzip", *encoding, compressed=1))
        answer = await one.answer()
        assert answer.status in (UNIMPLEMENTED, INTERNAL)
    assert echo.begun == []


@pytest.mark.parametrize("cause", [b"raise", b"panic"])
async def test_a_check_that_raises_is_a_denial_without_a_word_of_it(
    server: GrpcServer, cause: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, cause))
        answer = await one.answer()
    assert (answer.status, answer.data) == (OK, message(REFUSAL))
    assert SECRET.encode() not in answer.raw
    assert SECRET in caplog.text


async def broken(request: bytes, caller: str) -> bytes:
    raise RuntimeError(SECRET)


async def broken_stream(request: bytes, caller: str) -> AsyncGenerator[bytes, None]:
    yield b"first"
    raise RuntimeError(SECRET)


@pytest.mark.parametrize("method", ["/a.B/Unary", "/a.B/Stream"])
async def test_any_other_method_that_raises_is_internal_without_a_word_of_it(
    echo: Echo, transport: Transport, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    on: Carrier = carrier(transport, Methods({"a.B/Unary": broken}, {"a.B/Stream": broken_stream}), Limits())
    on.bind_socket(PATH)
    await on.start()
    async with peer() as one:
        await one.send(whole(1, method, b""))
        answer = await one.answer()
    await on.stop(0)
    assert (answer.status, answer.text) == (INTERNAL, "")
    assert SECRET.encode() not in answer.raw
    assert SECRET in caplog.text


async def test_a_watcher_that_does_not_read_keeps_nobody_waiting(server: GrpcServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            one = await stack.enter_async_context(peer(window=0))
            await one.send(whole(1, WATCH, b""))
        await served()
        for turn in range(600):
            server.set_serving(turn % 2 == 1)
            await asyncio.sleep(0)
        await served()
        await asyncio.wait_for(asyncio.to_thread(int), 2)  # and no thread is taken


async def test_a_watcher_that_goes_is_forgotten(server: GrpcServer) -> None:
    await served()
    await asyncio.sleep(0.1)  # until what is left of that call has gone
    tasks = len(asyncio.all_tasks())
    async with peer() as one:
        await one.send(whole(1, WATCH, b""))
        await true(lambda: len(asyncio.all_tasks()) > tasks)
    await true(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_an_idle_service_takes_no_time(server: GrpcServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(50):
            one = await stack.enter_async_context(peer())
            await one.send(whole(1, CHECK, b"a"))
            await one.answer()
        await asyncio.sleep(0.2)
        before = time.process_time()
        await asyncio.sleep(2)
        assert time.process_time() - before < 0.015


async def test_every_answer_that_was_given_before_the_end_arrives(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        await one.send(*(whole(1 + 2 * i, CHECK, b"hold") for i in range(200)))
        await echo.until(echo.begun, 200)
        stopping = asyncio.create_task(server.stop(5))
        await asyncio.sleep(0.05)
        echo.gate.set()
        seen = 0
        async with asyncio.timeout(10):
            async for kind, _, _, payload in one.frames():
                seen += kind == DATA and payload == message(b"hold")
        await stopping
    assert seen == 200


async def test_nobody_can_connect_once_it_stops(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"hold"))
        await echo.until(echo.begun, 1)
        stopping = asyncio.create_task(server.stop(5))
        await asyncio.sleep(0.05)
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            await asyncio.open_unix_connection(PATH)
        echo.gate.set()
        await stopping


async def test_told_to_stop_at_once_while_it_drains_it_stops_at_once(server: GrpcServer, echo: Echo) -> None:
    async with peer() as one:
        await one.send(whole(1, CHECK, b"hold"))
        await echo.until(echo.begun, 1)
        draining = asyncio.create_task(server.stop(60))
        await asyncio.sleep(0.05)
        draining.cancel()
        async with asyncio.timeout(5):
            await server.stop(0)
            await server.wait()
        await echo.until(echo.ended, 1)
