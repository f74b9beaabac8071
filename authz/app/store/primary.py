"""One primary, at a fixed place or wherever sentinels say, as the shared store's `Server`; and what a cluster shares.

A call never connects: it uses the link there is or fails at once. `mend` makes links, beside the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import hiredis

from authz.app.store.address import Place
from authz.app.store.failures import MOVED_ON, Cause, StoreFailure, refused, word
from authz.app.store.link import Dialer, Link
from authz.state.valkey.server import Script, Server

ASK_AGAIN = 10.0  # seconds between questions to the sentinels while the primary answers
_PAGE = 1_000  # keys that SCAN looks at in one step: well below a millisecond of the server's one thread
_AT_ONCE = 256  # scripts of `run_many` sent together; calls have the rest of the link's room


class Fixed:
    """A primary that is always at one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def primary(self) -> Place:
        """Where it is."""
        return self._place

    async def check(self, link: Link) -> None:
        """Nothing to check: whether it takes what is written will be seen."""

    def elsewhere(self) -> bool:
        """Whether it should be asked again where the primary is, though there is a link to it."""
        return False


class Sentinels:
    """Sentinels that know where the primary `name` is. Who answered last is asked first."""

    def __init__(
        self, dialer: Dialer, places: Sequence[Place], name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._dialer = dialer
        self._places = list(places)
        self._name = name
        self._clock = clock
        self._asked = clock()

    async def primary(self) -> Place:
        """Where it is; raises StoreFailure with what every sentinel said."""
        self._asked = self._clock()
        said = []
        for place in list(self._places):
            try:
                reply = await self._dialer.look_up(place, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
            except StoreFailure as failure:
                said.append(str(failure))
                continue
            if isinstance(reply, list) and len(reply) == 2:
                self._places.remove(place)
                self._places.insert(0, place)
                return Place(reply[0].decode(), int(reply[1]))
            said.append(f"{place}: knows no primary {self._name!r}")
        raise StoreFailure("; ".join(said), Cause.CONNECTION)

    async def check(self, link: Link) -> None:
        """Raises StoreFailure where it is no primary: sentinels may say so a moment too soon (their own guidelines)."""
        role = (await link.command("ROLE"))[0]
        if role != b"master":
            raise StoreFailure(f"{link.place}: expected a primary, got a {role.decode()}", Cause.READONLY)

    def elsewhere(self) -> bool:
        """Whether it is time to ask again: a primary that the others have given up may go on answering."""
        return self._clock() - self._asked >= ASK_AGAIN


class PrimaryServer(Server):
    """All keys at one server. `trouble` is called when it stops being connected or says that it is not the primary."""

    def __init__(self, dialer: Dialer, finder: Fixed | Sentinels, trouble: Callable[[], None]) -> None:
        self._dialer = dialer
        self._finder = finder
        self._trouble = trouble
        self._link: Link | None = None

    @property
    def cluster(self) -> bool:
        """No: any keys may be of one `run`."""
        return False

    async def mend(self) -> None:
        """Have a link to the primary; raises StoreFailure."""
        link = self._link
        if link is not None and link.stalled:
            link.close()
        if link is not None and not link.closed:
            if self._finder.elsewhere():
                # That no sentinel answers is no reason to leave a primary that does.
                with contextlib.suppress(StoreFailure):
                    if await self._finder.primary() != link.place:
                        link.close()
            if not link.closed:
                return
        link = await self._dialer.dial(await self._finder.primary(), self._lost)
        try:
            await self._finder.check(link)
        except BaseException:
            link.close()
            raise
        self._link = link

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """What `script` replies; raises StoreFailure."""
        link = self._link
        if link is None or link.closed:
            raise StoreFailure("not connected", Cause.CONNECTION)
        return accepted(link, await run_on(link, script, keys, args))

    async def run_many(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> Sequence[Any]:
        """The replies of many; raises the first StoreFailure."""
        return await run_many(self, script, calls)

    async def scan(self, match: bytes) -> AsyncIterator[Sequence[bytes]]:
        """The keys that match, a page a round trip; raises StoreFailure."""
        if self._link is None:
            raise StoreFailure("not connected", Cause.CONNECTION)
        async for page in scan(self._link, match):
            yield page

    async def close(self) -> None:
        """Let go of the link."""
        if self._link is not None:
            self._link.close()

    def _lost(self, _: Link) -> None:
        self._trouble()


def accepted(link: Link, reply: Any) -> Any:
    """What `link` replied; raises StoreFailure for an error, and hangs up on a server that has stopped serving."""
    if isinstance(reply, hiredis.ReplyError):
        if word(reply) in MOVED_ON:
            link.close()
        raise refused(link.place, reply)
    return reply


async def run_on(link: Link, script: Script, keys: Sequence[bytes], args: Sequence[bytes], *before: str) -> Any:
    """The reply of `script`, which may be a `hiredis.ReplyError`: by its digest, in full if that is not known yet.

    `before` is a command that must precede it each time.
    """
    for name, text in (("EVALSHA", script.sha), ("EVAL", script.text)):
        if before:
            link.ask(*before).cancel()  # nobody waits for its reply
        reply = await link.ask(name, text, len(keys), *keys, *args)
        if not (isinstance(reply, hiredis.ReplyError) and word(reply) == "NOSCRIPT"):
            break
    return reply


async def run_many(
    server: Server, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]
) -> Sequence[Any]:
    """The replies of all `calls`, some hundreds a round trip; raises the first failure, when all have ended."""
    replies: list[Any] = []
    for start in range(0, len(calls), _AT_ONCE):
        runs: list[Awaitable[Any]] = [server.run(script, *call) for call in calls[start : start + _AT_ONCE]]
        for reply in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(reply, BaseException):
                raise reply
            replies.append(reply)
    return replies


async def scan(link: Link, match: bytes) -> AsyncIterator[Sequence[bytes]]:
    """The keys at one server that match."""
    cursor = b"0"
    while True:
        cursor, page = await link.command("SCAN", cursor, "MATCH", match, "COUNT", _PAGE)
        yield page
        if cursor == b"0":
            return
