"""Bytes on a connection -> the answer, for requests that no client library would send: HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events

LOOPBACK = "127.0.0.1"
Headers = Sequence[tuple[str, str]]


def send(port: int, data: bytes, *, timeout: float = 10.0) -> tuple[int, bytes]:
    """Send `data`, read to the end; gives the status (0 where the connection was closed without one) and the body.

    Reads while it sends: a proxy may answer, and close, before it has taken all.
    """
    received = bytearray()
    deadline = time.monotonic() + timeout
    with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
        connection.settimeout(0.02)
        view = memoryview(data)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                if view:
                    with contextlib.suppress(TimeoutError):
                        view = view[connection.send(view) :]
                        if view:
                            continue
                with contextlib.suppress(TimeoutError):
                    chunk = connection.recv(65536)
                    received += chunk
                    if not chunk or _complete(bytes(received)):
                        break
    return _parse(bytes(received))


def _parse(data: bytes) -> tuple[int, bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/1.") else 0
    if status == 100:
        return _parse(body)
    return status, body


def _complete(data: bytes) -> bool:
    """Whether a whole answer with a content-length is here."""
    head, end, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if end and line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


def send_h2(port: int, headers: Headers, body: bytes, *, timeout: float = 10.0) -> tuple[int, bytes]:
    """One POST over HTTP/2 with prior knowledge, the body in frames as large as allowed; as `send`."""
    status, received, ended = 0, bytearray(), False
    deadline = time.monotonic() + timeout
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    with socket.create_connection((LOOPBACK, port), timeout=timeout) as transport:
        transport.settimeout(0.02)
        connection.initiate_connection()
        connection.send_headers(1, headers, end_stream=not body)
        view = memoryview(body)
        with contextlib.suppress(ConnectionError):
            while not ended and time.monotonic() < deadline:
                while view and status == 0:
                    size = min(len(view), connection.local_flow_control_window(1), connection.max_outbound_frame_size)
                    if size == 0:
                        break
                    connection.send_data(1, bytes(view[:size]), end_stream=size == len(view))
                    view = view[size:]
                transport.settimeout(timeout)
                transport.sendall(connection.data_to_send())
                transport.settimeout(0.02)
                try:
                    data = transport.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    break
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = int(dict(event.headers)[b":status"])
                    elif isinstance(event, h2.events.DataReceived):
                        received += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, 1)
                    elif isinstance(
                        event, h2.events.StreamEnded | h2.events.StreamReset | h2.events.ConnectionTerminated
                    ):
                        ended = True
    return status, bytes(received)
