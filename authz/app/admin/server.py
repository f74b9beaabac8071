"""Connections of operators -> pages: HTTP/1.1 by h11, bounded in what is buffered, kept open and waited for.

h11 and not starlette with uvicorn, though the approvers' side has these: a service without that side starts 0.12 s
sooner and is 9 MiB smaller, and what bounds a connection here (a slow head or body, an answer that nobody reads, too
many that wait) is nothing that uvicorn has, so it would be our code there too.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from http import HTTPStatus

import h11

from authz.app.admin.exchange import Answer, BodyRefused, Request
from authz.app.admin.limits import Limits
from authz.app.admin.metadata import ResourceMetadata
from authz.app.admin.pages import Pages, Scrape, State
from authz.app.phrases import reason
from authz.errors import SettingsError

_log = logging.getLogger("mcp_authz.admin")

MAX_HEAD = 16 * 1024  # bytes of request line and headers: h11's default, twice that of nginx
_READ = 4096
_PIECE = 64 * 1024  # bytes written before the client must have taken most of them


class AdminServer:
    """The listener; `limits` are pages of their own, None: there are none of limits; so is `metadata`.

    `idle_timeout` is for the head of a request to arrive, `body_timeout` for all of the body where one is wanted,
    `write_timeout` for a piece of an answer to go; all are in seconds.

    Beyond `max_connections` a new connection takes the place of the one that has waited longest for a request.
    """

    def __init__(
        self,
        scrape: Scrape,
        state: State,
        *,
        limits: Limits | None = None,
        metadata: ResourceMetadata | None = None,
        idle_timeout: float = 75.0,
        body_timeout: float = 10.0,
        write_timeout: float = 10.0,
        max_connections: int = 32,
    ) -> None:
        self._pages = Pages(scrape, state, limits, metadata)
        self._idle_timeout = idle_timeout
        self._body_timeout = body_timeout
        self._write_timeout = write_timeout
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._waiting: dict[asyncio.StreamWriter, None] = {}  # without a request, in order of how long

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound (of 0, the one the system chose). Raises SettingsError if it cannot."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_HEAD)
        except OSError as error:
            raise SettingsError(f"admin: cannot listen on {host}:{port}: {reason(error)}") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._open):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None
        self._pages.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._max_connections:
            if not self._waiting:
                writer.transport.abort()
                return
            longest = next(iter(self._waiting))
            self._forget(longest)
            longest.transport.abort()
        self._open.add(writer)
        try:
            await self._converse(h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD), reader, writer)
        except (OSError, h11.ProtocolError) as error:
            _log.debug("admin: connection ended: %s", error)
        except Exception:
            _log.exception("admin: connection failed")
        finally:
            try:
                await self._close(writer)
            finally:
                self._forget(writer)

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        self._waiting.pop(writer, None)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Close once the last answer has gone, or when its time is over."""
        writer.close()
        try:
            async with asyncio.timeout(self._write_timeout):
                await writer.wait_closed()
        except OSError:  # a TimeoutError too
            writer.transport.abort()

    async def _converse(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            self._waiting[writer] = None
            try:
                async with asyncio.timeout(self._idle_timeout):
                    request = await _next_request(connection, reader)
            except h11.RemoteProtocolError as error:
                if writer.is_closing():
                    return  # it had to make room for another, or the client has gone
                refusal = Answer(
                    error.error_status_hint, b"expected a GET request\n", headers=(("Connection", "close"),)
                )
                await self._send(connection, writer, refusal)
                return
            if request is None:
                return
            self._waiting.pop(writer, None)
            answer = await self._pages.answer(self._request(request, connection, reader, writer))
            if connection.their_state is h11.SEND_BODY and _has_body(request):
                # Nobody wanted the body, or not all of it, so there is nothing to bound: the connection ends instead.
                answer = replace(answer, headers=(*answer.headers, ("Connection", "close")))
            await self._send(connection, writer, answer, head=request.method == b"HEAD")
            if connection.our_state is not h11.DONE:
                return
            if connection.their_state is h11.SEND_BODY:
                connection.next_event()  # the end of a message without a body
            if connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    def _request(
        self,
        request: h11.Request,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Request:
        async def read(most: int) -> bytes:
            try:
                async with asyncio.timeout(self._body_timeout):
                    return await _body(request, most, connection, reader, writer)
            except TimeoutError:
                raise BodyRefused(408, f"expected the whole body within {self._body_timeout:g} s") from None
            except h11.RemoteProtocolError as error:
                raise BodyRefused(400, "expected a body as its head says") from error

        method, target = request.method.decode("ascii"), request.target.decode("latin-1")
        return Request(method, target, tuple(request.headers), read)

    async def _send(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer, *, head: bool = False
    ) -> None:
        writer.write(_wire(connection, _head(answer)))
        for start in range(0, 0 if head else len(answer.body), _PIECE):
            writer.write(_wire(connection, h11.Data(data=answer.body[start : start + _PIECE])))
            async with asyncio.timeout(self._write_timeout):
                await writer.drain()
        writer.write(_wire(connection, h11.EndOfMessage()))
        async with asyncio.timeout(self._write_timeout):
            await writer.drain()


async def _next_request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The next request's head; None where the client has gone."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None


def _has_body(request: h11.Request) -> bool:
    """Whether the head says that a body follows."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in request.headers
    )


async def _body(
    request: h11.Request,
    most: int,
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bytes:
    """The body of at most `most` bytes, however it is framed; raises BodyRefused and h11.RemoteProtocolError."""
    too_long = BodyRefused(413, f"expected a body of at most {most} bytes")
    length = dict(request.headers).get(b"content-length", b"0")  # digits, as h11 has checked
    if len(length) > len(str(most)) or int(length) > most:
        raise too_long
    if connection.they_are_waiting_for_100_continue:
        writer.write(_wire(connection, h11.InformationalResponse(status_code=100, headers=[], reason="Continue")))
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > most:
                raise too_long
        else:
            return bytes(body)


def _head(answer: Answer) -> h11.Response:
    headers = [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        *answer.headers,
    ]
    return h11.Response(status_code=answer.status, reason=HTTPStatus(answer.status).phrase, headers=headers)


def _wire(connection: h11.Connection, event: h11.Event) -> bytes:
    return connection.send(event) or b""
