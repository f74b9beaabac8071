"""Messages -> one gRPC method over a unix socket and back, in as few instructions as Python allows.

A load generator that costs more than what it loads measures itself. This one reads every answer all the same: it asks
the server for header blocks without a dynamic table, so that an equal block is an equal meaning, and decodes each block
once. Speaks what RFC 9113 wants of a client of one method; anything unforeseen is a LoadError.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import hpack

METHOD = "/envoy.service.auth.v3.Authorization/Check"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 32
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">BHBBI")
_MOST = 2**31 - 1
_REFILL = 2**29  # bytes of answers after which the server may send as many again
_CHUNK = 1 << 18


class LoadError(Exception):
    """The answer is not what the protocol or the question wants; the text says what it is."""


class Connection:
    """One HTTP/2 connection; blocks while nothing arrives."""

    def __init__(self, path: Path, *, timeout: float = 10.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._rest = b""
        self._stream = -1
        self._window = self._stream_window = 65535
        self._max_frame = 16384
        self._received = 0
        self._bodies: dict[int, bytes] = {}
        self._good: dict[bytes, bool] = {}  # header block -> whether it ends a call well
        self._outbox: deque[tuple[bytes, int, int]] = deque()  # frame, its stream, what it takes of the windows
        self._large: dict[int, int] = {}  # what is left of the windows of streams whose message exceeds theirs
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._decoder.max_allowed_table_size = self._decoder.header_table_size = 0
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _MOST)  # no dynamic table, no push, any window
        window = struct.pack(">I", _MOST - 65535)
        self._ready = False
        try:
            self._write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, window))
            while not self._ready:
                self.receive()
        except BaseException:
            self.close()
            raise
        headers = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", METHOD),
            (":authority", "mcp_authz"),
            ("te", "trailers"),
            ("grpc-timeout", "5000m"),
            ("content-type", "application/grpc"),
            ("x-envoy-internal", "true"),
            ("x-forwarded-for", "192.0.2.2"),
            ("x-envoy-expected-rq-timeout-ms", "5000"),
        )
        # The first block fills the server's table, every further one names its entries: as Envoy does it.
        self._blocks = [self._encoder.encode(headers), self._encoder.encode(headers)]

    def send(self, messages: Iterable[bytes]) -> list[int]:
        """Ask each; gives their streams in order. What the server has no room for leaves with a later `receive`."""
        streams = []
        for message in messages:
            self._stream += 2
            streams.append(self._stream)
            self._ask(self._stream, message)
        self._flush()
        return streams

    def receive(self) -> list[tuple[int, bytes]]:
        """Wait for something; the calls that ended well by it, by stream, each with its message. Raises LoadError."""
        try:
            chunk = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise LoadError("no answer in time") from None
        except OSError as error:
            raise LoadError(f"the connection was closed: {error}") from error
        if not chunk:
            raise LoadError("the connection was closed")
        data = self._rest + chunk if self._rest else chunk
        at, end, done = 0, len(data), []
        bodies, good, unpack = self._bodies, self._good, _HEAD.unpack_from
        while end - at >= 9:
            high, low, kind, flags, stream = unpack(data, at)
            stop = at + 9 + (high << 16 | low)
            if stop > end:
                break
            payload = data[at + 9 : stop]
            at = stop
            if kind == _HEADERS:
                last = good.get(payload)
                if last is None:
                    last = self._read_headers(payload, flags)
                if last != bool(flags & _END_STREAM):
                    raise LoadError(f"expected headers, a message, trailers, got a block out of turn: flags {flags:#x}")
                if last:
                    self._large.pop(stream, None)
                    done.append((stream, _message(bodies.pop(stream, b""))))
            elif kind == _DATA:
                if flags & _PADDED or flags & _END_STREAM:
                    raise LoadError(f"expected data without padding and with trailers after it, got flags {flags:#x}")
                bodies[stream] = bodies[stream] + payload if stream in bodies else payload
                self._received += len(payload)
            else:
                self._control(kind, flags, stream, payload)
        self._rest = data[at:]
        if self._received > _REFILL:
            self._write(_frame(_WINDOW, 0, 0, struct.pack(">I", self._received)))
            self._received = 0
        if self._outbox:
            self._flush()
        return done

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise LoadError(f"the connection was closed: {error}") from error

    def _ask(self, stream: int, message: bytes) -> None:
        body = b"\0" + len(message).to_bytes(4, "big") + message
        headers = _frame(_HEADERS, _END_HEADERS, stream, self._blocks[stream != 1])
        size = len(body)
        if size <= self._max_frame:
            self._outbox.append((headers + _frame(_DATA, _END_STREAM, stream, body), stream, size))
            return
        if size > self._stream_window:
            self._large[stream] = self._stream_window
        self._outbox.append((headers, stream, 0))
        for at in range(0, size, self._max_frame):
            part = body[at : at + self._max_frame]
            flags = _END_STREAM if at + self._max_frame >= size else 0
            self._outbox.append((_frame(_DATA, flags, stream, part), stream, len(part)))

    def _flush(self) -> None:
        ready = []
        while self._outbox and self._outbox[0][2] <= self._window:
            frame, stream, size = self._outbox[0]
            if stream in self._large:
                if size > self._large[stream]:
                    break  # the others wait, too: what is asked leaves in order
                self._large[stream] -= size
            self._outbox.popleft()
            self._window -= size
            ready.append(frame)
        if ready:
            self._write(b"".join(ready))

    def _read_headers(self, block: bytes, flags: int) -> bool:
        """Whether a new block is trailers that say OK; False for the headers before a message."""
        if not flags & _END_HEADERS or flags & (_PADDED | _PRIORITY):
            raise LoadError(f"expected one plain header block, got flags {flags:#x}")
        try:
            headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        except hpack.HPACKError as error:
            raise LoadError(f"expected headers, got {block!r}: {error}") from error
        if flags & _END_STREAM:
            if headers.get("grpc-status") != "0":
                raise LoadError(f"expected grpc-status 0, got {headers}")
        elif headers.get(":status") != "200":
            raise LoadError(f"expected status 200, got {headers}")
        self._good[block] = bool(flags & _END_STREAM)
        return self._good[block]

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
            elif stream in self._large:
                self._large[stream] += int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            self._settle(payload)
            self._write(_frame(_SETTINGS, _ACK, 0, b""))
            self._ready = True
        elif kind == _PING and not flags & _ACK:
            self._write(_frame(_PING, _ACK, 0, payload))
        elif kind == _RESET:
            raise LoadError(f"stream {stream} was reset with code {int.from_bytes(payload, 'big')}")
        elif kind == _GOAWAY:
            raise LoadError(f"the server goes away: {payload!r}")

    def _settle(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == 1:
                self._encoder.header_table_size = min(value, 4096)
            elif name == 4:
                self._stream_window = value
            elif name == 5:
                self._max_frame = min(value, 1 << 20)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def _message(body: bytes) -> bytes:
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise LoadError(f"expected one plain message, got {body[:20]!r}")
    return body[5:]
