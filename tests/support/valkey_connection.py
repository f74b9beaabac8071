"""Real servers for tests of the shared store: connections that can be broken, clocks that only go on, all keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from valkey_server import ValkeyServer

from authz.app.store.address import Place
from authz.app.store.cluster import ClusterServer
from authz.app.store.link import Dialer
from authz.app.store.primary import Fixed, PrimaryServer
from authz.errors import StoreError
from authz.state.valkey.server import Script, Server

PATIENT = Dialer(stall=30.0)  # tests run on busy machines


class Connection(Server):
    """One server or a cluster, connected when it is first asked. Counts what it is asked.

    `broken_after` is how many more runs get an answer; the next one does not, and `lost` says whether its script runs
    all the same. `before` is awaited before each run.
    """

    def __init__(self, servers: Sequence[ValkeyServer]) -> None:
        self.asked: list[str] = []
        self.broken_after: int | None = None
        self.lost = False
        self.before: Callable[[Script], Any] | None = None
        places = [Place(server.host, server.port) for server in servers]
        self._server: PrimaryServer | ClusterServer
        if len(places) == 1:
            self._server = PrimaryServer(PATIENT, Fixed(Place(path=str(servers[0].socket))), lambda: None)
        else:
            self._server = ClusterServer(PATIENT, places, lambda: None)
        self._connecting = asyncio.Lock()
        self._connected = False

    @property
    def cluster(self) -> bool:
        """As the server."""
        return self._server.cluster

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """As the server."""
        await self._connect()
        self.asked.append(script.name)
        if self.before is not None:
            await self.before(script)
        if self.broken_after is not None:
            self.broken_after -= 1
            if self.broken_after < 0:
                if self.lost:
                    await self._server.run(script, keys, args)
                raise StoreError("connection: broken by the test")
        return await self._server.run(script, keys, args)

    async def run_many(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> Sequence[Any]:
        """As the server."""
        await self._connect()
        self.asked.append(script.name)
        return await self._server.run_many(script, calls)

    async def scan(self, match: bytes) -> AsyncIterator[Sequence[bytes]]:
        """As the server."""
        await self._connect()
        async for page in self._server.scan(match):
            yield page

    async def close(self) -> None:
        """As the server."""
        await self._server.close()
        await asyncio.sleep(0)  # transports close in the next turn of the event loop

    async def _connect(self) -> None:
        async with self._connecting:
            if not self._connected:
                await self._server.mend()
                self._connected = True


class Forward:
    """A clock that stands still where the one behind it goes back, as the embedded store's does by itself."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._read = clock()
        self._back = 0.0

    def __call__(self) -> float:
        """Seconds."""
        read = self._clock()
        self._back += max(0.0, self._read - read)
        self._read = read
        return read + self._back


@dataclass(frozen=True)
class Servers:
    """One server or the primaries of a cluster, for the tests of one process."""

    all: Sequence[ValkeyServer]

    def connect(self) -> Connection:
        """A new connection."""
        return Connection(self.all)

    def flush(self) -> None:
        """Empty them."""
        for server in self.all:
            server.command("FLUSHALL")

    def lifetimes(self) -> dict[bytes, int]:
        """All keys, with the milliseconds that each still has (-1: for ever); not those that go meanwhile (-2)."""
        found = {key: server.command("PTTL", key) for server in self.all for key in server.command("KEYS", "*")}
        return {key: left for key, left in found.items() if left != -2}
