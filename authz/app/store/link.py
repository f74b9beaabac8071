"""One connection to Valkey or Redis: any number of commands at once -> their replies, in the order they were sent.

Commands of one turn of the event loop leave in one write. Who stops waiting for a reply disturbs nobody: the reply is
dropped when it comes. Parsing and packing is hiredis's. Knows no script, no topology and no policy of retrying.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import hiredis

from authz.app.phrases import reason
from authz.app.store.address import Place
from authz.app.store.failures import Cause, StoreFailure, refused
from authz.errors import SettingsError

DIAL = 1.0  # seconds to connect, TLS and log-in included: two retransmissions of a lost SYN would take 3 s
MOST = 1_024  # commands without a reply; above the most calls a sidecar has in flight (Envoy's default circuit breaker)
_MORE = object()
_NAME = "mcp-authz"


class Link(asyncio.Protocol):
    """A connection that is open, until `lost` is called once with the reason.

    `stall` is in seconds: while a reply has been due for longer, nothing more is asked, for it would come later still.
    """

    def __init__(self, place: Place, stall: float, lost: Callable[[Link], None] | None = None) -> None:
        self.place = place
        self.closed = False
        self._stall = stall
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._out: list[bytes] = []

    def ask(self, *words: bytes | str | int) -> asyncio.Future[Any]:
        """The reply, where error replies are `hiredis.ReplyError` values; raises StoreFailure where none can come."""
        if self.closed:
            raise StoreFailure(f"{self.place}: not connected", Cause.CONNECTION)
        if len(self._waiting) >= MOST:
            raise StoreFailure(f"{self.place}: expected fewer than {MOST} commands without a reply", Cause.TIMEOUT)
        if self.stalled:
            raise StoreFailure(f"{self.place}: earlier commands have no reply yet", Cause.TIMEOUT)
        future = self._loop.create_future()
        self._waiting.append((future, self._loop.time()))
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(words))  # type: ignore[arg-type] # the stub wants a tuple of one
        return future

    async def command(self, *words: bytes | str | int) -> Any:
        """The reply; raises StoreFailure, also for an error reply."""
        reply = await self.ask(*words)
        if isinstance(reply, hiredis.ReplyError):
            raise refused(self.place, reply)
        return reply

    @property
    def stalled(self) -> bool:
        """Whether a reply has been due for too long."""
        return bool(self._waiting) and self._loop.time() - self._waiting[0][1] > self._stall

    def close(self) -> None:
        """Let go of it now; whoever waits gets StoreFailure."""
        self._end("closed")
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------------------- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                future, _ = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (hiredis.HiredisError, IndexError):
            # After what is no reply, or one to nothing, no later one can be told apart.
            self._end("answered with what is no reply")
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(_why(exc) if isinstance(exc, OSError) else "the server closed the connection")

    def _flush(self) -> None:
        if self._transport is not None and not self.closed:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _end(self, why: str) -> None:
        if self.closed:
            return
        self.closed = True
        for future, _ in self._waiting:
            if not future.done():
                future.set_exception(StoreFailure(f"{self.place}: {why}", Cause.CONNECTION))
        self._waiting.clear()
        if self._lost is not None:
            self._lost(self)


@dataclass(frozen=True, slots=True)
class Dialer:
    """How to open links: all are logged in alike. `password` is asked for at each, so that it may be changed.

    `tls` is read at each link too, None for plain text. `stall` as of `Link`.
    """

    user: str = ""
    password: Callable[[], bytes] | None = None
    database: int = 0
    tls: Callable[[], ssl.SSLContext] | None = None
    stall: float = 0.1

    async def dial(self, place: Place, lost: Callable[[Link], None] | None = None) -> Link:
        """A link to `place`, ready for commands; raises StoreFailure."""
        link = await self._open(place, lost)
        try:
            async with asyncio.timeout(DIAL):
                await self._greet(link)
        except TimeoutError:
            link.close()
            raise StoreFailure(f"{place}: no answer to the log-in within {DIAL:g} s", Cause.TIMEOUT) from None
        except BaseException:
            link.close()
            raise
        return link

    async def look_up(self, place: Place, *words: bytes | str) -> Any:
        """The reply of the sentinel at `place`, on a link of its own; logged in only if it wants that."""
        link = await self._open(place, None)
        try:
            async with asyncio.timeout(DIAL):
                reply = await link.ask(*words)
                if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOAUTH"):
                    await self._log_in(link)
                    reply = await link.ask(*words)
        except TimeoutError:
            raise StoreFailure(f"{place}: no answer within {DIAL:g} s", Cause.TIMEOUT) from None
        finally:
            link.close()
        if isinstance(reply, hiredis.ReplyError):
            raise refused(place, reply)
        return reply

    async def _open(self, place: Place, lost: Callable[[Link], None] | None) -> Link:
        loop = asyncio.get_running_loop()
        stall = self.stall

        def link() -> Link:
            return Link(place, stall, lost)

        try:
            async with asyncio.timeout(DIAL):
                if place.path:
                    return (await loop.create_unix_connection(link, place.path))[1]
                context = await asyncio.to_thread(self.tls) if self.tls else None
                return (await loop.create_connection(link, place.host, place.port, ssl=context))[1]
        except TimeoutError:
            raise StoreFailure(f"{place}: no connection within {DIAL:g} s", Cause.TIMEOUT) from None
        except OSError as error:
            raise StoreFailure(f"{place}: {_why(error)}", Cause.CONNECTION) from error
        except SettingsError as error:
            raise StoreFailure(str(error), Cause.CONNECTION) from error

    async def _greet(self, link: Link) -> None:
        await self._log_in(link)
        if self.database:
            await link.command("SELECT", self.database)
        # By which operators find this service in CLIENT LIST; an ACL may forbid it, which is no reason not to serve.
        await link.ask("CLIENT", "SETNAME", _NAME)

    async def _log_in(self, link: Link) -> None:
        if self.password is None and not self.user:
            return
        try:
            # A user that needs no password takes any.
            password = await asyncio.to_thread(self.password) if self.password else b""
        except SettingsError as error:
            raise StoreFailure(str(error), Cause.CONNECTION) from error
        words: Sequence[bytes | str] = (self.user, password) if self.user else (password,)
        await link.command("AUTH", *words)


def _why(error: OSError) -> str:
    """Why there is no connection, in words; TLS has numbers of its own, which the system's are not."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: its certificate is refused: {error.verify_message.lower()}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return reason(error)
