"""The least that `authz.state.valkey.server.Server` asks for, over the `redis` package; counts what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisError
from valkey_server import ValkeyServer

from authz.errors import StoreError
from authz.state.valkey.server import Script


class Connection:
    """One server at a unix socket (`path`), or the cluster that a node at `port` belongs to."""

    def __init__(self, path: str = "", *, port: int = 0) -> None:
        self.cluster = bool(port)
        self.runs = 0
        self.broken_after: int | None = None  # how many more runs get an answer
        self._client: Any = (
            RedisCluster(host="127.0.0.1", port=port, max_connections=512)
            if port
            else Redis(unix_socket_path=path, max_connections=512)
        )

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """One EVALSHA."""
        self.runs += 1
        if self.broken_after is not None:
            self.broken_after -= 1
            if self.broken_after < 0:
                raise StoreError("connection: broken by the test")
        try:
            try:
                return await self._client.evalsha(script.sha, len(keys), *keys, *args)
            except NoScriptError:
                return await self._client.eval(script.text, len(keys), *keys, *args)
        except (RedisError, OSError) as error:
            raise StoreError(f"{script.name}: {error}") from error

    async def run_many(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> Sequence[Any]:
        """One after the other."""
        return [await self.run(script, keys, args) for keys, args in calls]

    async def scan(self, match: bytes) -> AsyncIterator[Sequence[bytes]]:
        """Page by page."""
        nodes = self._client.get_primaries() if self.cluster else [None]
        for node in nodes:
            cursor = 0
            while True:
                target = {} if node is None else {"target_nodes": node}
                try:
                    got = await self._client.scan(cursor, match=match, count=100, **target)
                except (RedisError, OSError) as error:
                    raise StoreError(f"scan: {error}") from error
                cursor, page = got if node is None else (next(iter(got[0].values())), got[1])
                yield page
                if not cursor:
                    break

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


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
        return Connection(str(self.all[0].socket)) if len(self.all) == 1 else Connection(port=self.all[0].port)

    def flush(self) -> None:
        """Empty them."""
        for server in self.all:
            server.command("FLUSHALL")

    def keys(self) -> dict[bytes, int]:
        """All keys, with the milliseconds that each still has (-1: for ever)."""
        return {key: server.command("PTTL", key) for server in self.all for key in server.command("KEYS", "*")}
