"""Connections of operators -> pages: HTTP/1.1 by h11, bounded in what is buffered, kept open and waited for.

h11 and not starlette with uvicorn: four read-only pages cost 1 MiB and no start time instead of 9 MiB and 0.12 s.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus

import h11

from authz.app.admin.pages import Answer, Pages, Scrape, State
from authz.app.phrases import reason
from authz.errors import SettingsError

_log = logging.getLogger("mcp_authz.admin")

MAX_HEAD = 16 * 1024  # bytes of request line and headers: h11's default, twice that of nginx
_READ = 4096
_PIECE = 64 * 1024  # bytes written before the client must have taken most of them


class AdminServer:
    """The listener. `idle_timeout` is for a whole request to arrive, `write_timeout` for a piece of an answer to go.

    Beyond `max_connections` a new connection takes the place of the one that has waited longest for a request.
    """

    def __init__(
        self,
        scrape: Scrape,
        state: State,
        *,
        idle_timeout: float = 75.0,
        write_timeout: float = 10.0,
        max_connections: int = 32,
    ) -> None:
        self._pages = Pages(scrape, state)
        self._idle_timeout = idle_timeout
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
                refusal = Answer(
                    error.error_status_hint, b"expected a GET request\n", headers=(("Connection", "close"),)
                )
                await self._send(connection, writer, refusal)
                return
            if request is None:
                return
            self._waiting.pop(writer, None)
            headers = dict(request.headers)
            accept = headers.get(b"accept", b"").decode("latin-1")
            answer = await self._pages.answer(request.method.decode("ascii"), request.target.decode("latin-1"), accept)
            await self._send(connection, writer, answer, head=request.method == b"HEAD")
            # A body is not read, so that there is nothing to bound: the connection ends instead.
            if connection.next_event() is h11.NEED_DATA or connection.our_state is not h11.DONE:
                return
            if connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

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
