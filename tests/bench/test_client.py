"""The load generator's own client against real servers: what it believes, and what it does not."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from authz.app.settings.values import Address
from authz.envoy.transport import GrpcServer, Transport
from tests.bench.client import Connection, LoadError

Handler = Callable[[bytes, str], Awaitable[bytes]]
TRANSPORTS = ["native", "grpcio"]


async def served(path: Path, transport: str, handler: Handler, use: Callable[[], None]) -> None:
    """`use` in a thread, while a server answers by `handler`."""
    server = GrpcServer([Address(path=str(path))], handler, transport=Transport(transport))
    await server.start()
    try:
        await asyncio.to_thread(use)
    finally:
        await server.stop(1)


async def echo(data: bytes, caller: str) -> bytes:
    return data


def answers(connection: Connection, number: int) -> list[bytes]:
    found: dict[int, bytes] = {}
    while len(found) < number:
        found.update(connection.receive())
    return [found[stream] for stream in sorted(found)]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_each_message_gets_the_answer_to_itself(tmp_path, transport):
    asked = [b"%d" % number * (number + 1) for number in range(100)]

    def use() -> None:
        with Connection(tmp_path / "s") as connection:
            connection.send(asked)
            assert answers(connection, 100) == asked

    await served(tmp_path / "s", transport, echo, use)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_messages_larger_than_every_window_arrive_whole(tmp_path, transport):
    asked = [bytes([number]) * 300_000 for number in range(5)]

    def use() -> None:
        with Connection(tmp_path / "s") as connection:
            connection.send(asked)
            assert answers(connection, 5) == asked

    await served(tmp_path / "s", transport, echo, use)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_error_of_grpc_is_no_answer(tmp_path, transport):
    def use() -> None:
        with Connection(tmp_path / "s") as connection:
            connection.send([bytes(17 << 20)])  # more than a server takes
            with pytest.raises(LoadError, match=r"expected (grpc-)?status (0|200), got|was reset|was closed"):
                answers(connection, 1)

    await served(tmp_path / "s", transport, echo, use)


def ask_one(path: Path) -> None:
    with Connection(path) as connection:
        connection.send([b"x"])
        answers(connection, 1)


def serve_bytes(path: Path, answer: bytes) -> threading.Thread:
    """A server that says `answer` to whoever comes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        with listener, listener.accept()[0] as line:
            line.recv(65536)
            line.sendall(answer)
            line.shutdown(socket.SHUT_WR)
            while line.recv(65536):
                pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (b"", "the connection was closed"),
        (b"\0\0\x08\x07\0\0\0\0\0" + bytes(8), "the server goes away"),
        (b"\0\0\x04\x03\0\0\0\0\x01" + bytes(3) + b"\x02", "stream 1 was reset with code 2"),
        (b"\0\0\x01\x01\x04\0\0\0\x01\x88" + b"\0\0\x01\x01\x05\0\0\0\x01\x88", "got a block out of turn"),
        (b"\0\0\x02\x01\x04\0\0\0\x01\x20\x8d", "expected status 200, got"),
        (b"\0\0\x01\x01\0\0\0\0\x01\x88", "expected one plain header block"),
        (b"\0\0\x01\x01\x04\0\0\0\x01\xbe", "expected headers, got .*index"),
        (b"\0\0\x01\0\x01\0\0\0\x01x", "expected data without padding"),
    ],
)
def test_what_the_protocol_does_not_foresee_is_no_answer(tmp_path, frames, message):
    settings = b"\0\0\0\x04\0\0\0\0\0"
    server = serve_bytes(tmp_path / "s", settings + frames)
    with pytest.raises(LoadError, match=message):
        ask_one(tmp_path / "s")
    server.join()


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    with listener, pytest.raises(LoadError, match="no answer in time"):
        Connection(tmp_path / "s", timeout=0.05)
