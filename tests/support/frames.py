"""HTTP/2 frame by frame over a unix socket, for peers that no library would be: half requests, floods, silence."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# RFC 9113 6: types of frames, and their flags
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS = 4
INITIAL_WINDOW = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: str, value: str) -> bytes:
    """A literal that no table remembers; the value has less than 16,000 bytes."""
    value_size = (
        bytes([len(value)])
        if len(value) < 127
        else bytes([127, (len(value) - 127) & 127 | 128, (len(value) - 127) >> 7])
    )
    return b"\x00" + bytes([len(name)]) + name.encode() + value_size + value.encode()


def call(stream: int, method: str, *more: tuple[str, str], end: int = END_HEADERS) -> bytes:
    """The headers of a gRPC call."""
    usual = ((":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "authz"))
    headers = (*usual, ("te", "trailers"), ("content-type", "application/grpc"), *more)
    return frame(HEADERS, end, stream, b"".join(header(*one) for one in headers))


def message(data: bytes, compressed: int = 0) -> bytes:
    """A gRPC message, https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md"""
    return bytes([compressed]) + struct.pack(">I", len(data)) + data


def whole(stream: int, method: str, data: bytes, *more: tuple[str, str], compressed: int = 0) -> bytes:
    """A complete call; its message must be small."""
    return call(stream, method, *more) + frame(DATA, END_STREAM, stream, message(data, compressed))


@dataclass
class Answer:
    """What came back on one stream: the status of HTTP, that of gRPC, None where none came."""

    http: int | None = None
    status: int | None = None
    text: str = ""
    data: bytes = b""
    reset: int | None = None
    closed: bool = False
    raw: bytearray = field(default_factory=bytearray)


class Peer:
    """A connection. Acknowledges settings and pings while it reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = hpack.Decoder()
        self._said_all = False

    @classmethod
    async def on(cls, path: str, *, window: int = (1 << 31) - 1) -> Peer:
        peer = cls(*await asyncio.open_unix_connection(path))
        peer.writer.write(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, window)))
        return peer

    async def send(self, *frames: bytes) -> None:
        """Raises TimeoutError where the other side does not read."""
        self.writer.write(b"".join(frames))
        await asyncio.wait_for(self.writer.drain(), 5)

    def say_all(self) -> None:
        """Close the sending side."""
        self.writer.write_eof()
        self._said_all = True

    async def frames(self) -> AsyncIterator[tuple[int, int, int, bytes]]:
        """Type, flags, stream, payload, until the connection ends."""
        try:
            while True:
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3]))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
                if kind in (SETTINGS, PING) and not flags & ACK and not self._said_all:
                    self.writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
                yield kind, flags, stream, payload
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    async def answer(self, stream: int = 1) -> Answer:
        """What `stream` gets, within 10 seconds."""
        found = Answer()
        async with asyncio.timeout(10):
            async for kind, flags, of, payload in self.frames():
                headers = dict(self._decoder.decode(payload)) if kind == HEADERS else {}
                if of != stream:
                    continue
                found.raw += payload
                if kind == DATA:
                    found.data += payload
                if kind == RESET:
                    found.reset = int.from_bytes(payload)
                if ":status" in headers:
                    found.http = int(headers[":status"])
                if "grpc-status" in headers:
                    found.status, found.text = int(headers["grpc-status"]), headers.get("grpc-message", "")
                if kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM):
                    return found
        found.closed = True
        return found

    async def ended(self) -> None:
        """Return when the other side has closed the connection, within 10 seconds."""
        async with asyncio.timeout(10):
            async for _ in self.frames():
                pass

    def close(self) -> None:
        self.writer.transport.abort()
