"""An ASGI application and an address -> a listener in this event loop (uvicorn), bounded in connections and time.

Takes no signal: when to stop is the program's to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from authz.app.phrases import reason
from authz.app.settings.values import Address
from authz.envoy import listen
from authz.errors import SettingsError

MAX_HEAD = 16 * 1024  # bytes of request line and headers, as on the operators' listener
HEAD_TIME = 15.0  # seconds for them to arrive
IDLE_TIME = 75.0  # nginx's keep-alive timeout
CONNECTIONS = 160  # at once: 64 open pages (`watch`), their own connections, and programs
STOP_TIME = 1.0  # seconds for answers under way when the listener stops


class Listener:
    """One listener. `start` gives the address that was bound, with the port that the system chose for 0."""

    def __init__(self, app: ASGIApp, address: Address, *, socket_mode: int, head_time: float = HEAD_TIME) -> None:
        self._address = address
        self._socket_mode = socket_mode
        self._published: tuple[int, int] | None = None
        protocol = type("Protocol", (_Protocol,), {"head_time": head_time, "open": {}})
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(IDLE_TIME),
            timeout_graceful_shutdown=int(STOP_TIME),
            h11_max_incomplete_event_size=MAX_HEAD,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    def bind(self) -> tuple[Address, socket.socket]:
        """Take the address; raises SettingsError."""
        if self._address.path:
            return self._address, self._bind_path(self._address.path)
        host, port = self._address.host, self._address.port
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            bound = socket.socket(family, kind, protocol)
            try:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.bind(place)
            except OSError:
                bound.close()
                raise
        except OSError as error:
            raise SettingsError(f"approvals: cannot listen on {self._address}: {reason(error)}") from error
        return Address(host, bound.getsockname()[1]), bound

    async def start(self, bound: socket.socket) -> None:
        """Answer on a socket that `bind` gave."""
        self._task = asyncio.create_task(self._server.serve([bound]))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Stop listening and end every connection, those in the middle of an answer after a second."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None
        if self._published is not None:
            listen.remove(self._address.path, self._published)
            self._published = None

    def _bind_path(self, path: str) -> socket.socket:
        """A unix socket under a name that nobody knows, then renamed: nobody meets one with other permissions."""
        try:
            listen.require_free(path)
            fresh = listen.private(path)
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                with listen.permissions(self._socket_mode):
                    bound.bind(fresh)
                os.chmod(fresh, self._socket_mode)
                bound.listen()
                self._published = listen.publish(fresh, path)
            except (OSError, SettingsError):
                bound.close()
                raise
        except OSError as error:
            raise SettingsError(f"approvals: unix:{path}: cannot be bound: {reason(error)}") from error
        except SettingsError as error:
            raise SettingsError(str(error).replace("listen:", "approvals:", 1)) from error
        return bound


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a limit on how long a request's head may take, and on connections: it has neither.

    Its `limit_concurrency` refuses requests and keeps the connections, so that whoever opens many without a word would
    keep everybody out, and take the file descriptors that the proxy's connections need. Here a connection beyond
    `CONNECTIONS` takes the place of the oldest of those whose client has not yet sent all of a request.
    """

    head_time = HEAD_TIME
    open: dict[_Protocol, None]  # of one listener, the oldest first
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.open) >= CONNECTIONS:
            oldest = next((one for one in self.open if one.owes), self)
            self.open.pop(oldest, None)
            oldest.transport.abort()
            if oldest is self:
                return
        self.open[self] = None
        self._wait_for_head()

    @property
    def owes(self) -> bool:
        """Whether the next word is the client's: no answer is under way."""
        return self.cycle is None or self.cycle.response_complete or self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait_for_head()  # the rest of a head, or after an answer the first bytes of another
        else:
            self._has_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.pop(self, None)
        self._has_head()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_time, self._late)

    def _has_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        self._head_timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.abort()
