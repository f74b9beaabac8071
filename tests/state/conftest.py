"""What every test of a store needs: a clock that moves when told, limits, charges and an attempt in one call."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pytest
from valkey_connection import Connection, Forward, Servers
from valkey_server import ValkeyServer, cluster

from authz.model import Algorithm, ApprovalRecord, ApprovalRequest, Charge, Discharge, Limit, Ruling
from authz.state.memory import MemoryStore
from authz.state.store import Approvals, Attempt, Owed, Store
from authz.state.valkey.store import ValkeyStore

T = TypeVar("T")


@dataclass
class Clock:
    """Seconds, of the monotonic and of the wall clock alike; begins where a machine's clock might, not at 0."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class AnyStore(Store, Approvals, Protocol):
    """Every store is both."""


Script = Callable[[AnyStore, Clock], Coroutine[Any, Any, None]]


def at_once(asked: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends; there is no event loop here."""
    try:
        asked.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("suspended")


def part(owed: Iterable[Charge | ApprovalRequest]) -> Owed:
    """What one message owes; the last request counts."""
    owed = tuple(owed)
    requests = [one for one in owed if isinstance(one, ApprovalRequest)]
    return Owed(tuple(one for one in owed if isinstance(one, Charge)), requests[-1] if requests else None)


class Payer:
    """Attempts on one store, in few words."""

    def __init__(self, store: AnyStore) -> None:
        self.store = store

    async def __call__(self, *owed: Charge | ApprovalRequest, key: bytes = b"", peek: bool = False) -> Discharge:
        """One message that owes all of `owed`."""
        return await self.store.discharge(Attempt([part(owed)], key, peek))

    async def batch(
        self, *parts: Iterable[Charge | ApprovalRequest], key: bytes = b"", peek: bool = False
    ) -> Discharge:
        """One batch with a message for each of `parts`."""
        return await self.store.discharge(Attempt([part(owed) for owed in parts], key, peek))

    async def count(self, charge: Charge, times: int) -> int:
        """How many of `times` calls are paid."""
        return sum([(await self(charge)).paid for _ in range(times)])

    async def rule(
        self,
        id_: str,
        granted: bool = True,
        *,
        who: str = "carol",
        satisfies: tuple[int, ...] = (0,),
        comment: str = "",
    ) -> ApprovalRecord | None:
        """What `who` says of a request; the request afterwards."""
        said = Ruling(who, granted, satisfies if granted else (), comment, 5.0, "192.0.2.7")
        return await self.store.submit(id_, said)

    async def granted(self, *owed: Charge | ApprovalRequest, **how: Any) -> str:
        """File the request of a message that owes `owed` and say yes to it; its id."""
        (standing,) = (await self(*owed)).standings
        assert standing is not None
        await self.rule(standing.id, **how)
        return standing.id


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def single() -> Iterator[Servers]:
    """One Valkey or Redis server."""
    with ValkeyServer() as server:
        yield Servers([server])


@pytest.fixture(scope="session")
def nodes() -> Iterator[Servers]:
    """A cluster of three primaries."""
    with cluster() as servers:
        yield Servers(servers)


SERVERS = {"valkey": "single", "cluster": "nodes"}


@pytest.fixture(params=["memory", *SERVERS])
async def store(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[AnyStore]:
    """Every store, one after the other; a server is empty at first, and no key that is left in it lasts for ever."""
    if request.param == "memory":
        yield MemoryStore(clock, wall=clock)
        return
    servers: Servers = request.getfixturevalue(SERVERS[request.param])
    servers.flush()
    store = ValkeyStore(servers.connect(), clock=Forward(clock))
    yield store
    await store.close()
    assert [key for key, left in servers.lifetimes().items() if left == -1] == []  # one may end while it is looked at


@pytest.fixture(scope="session", params=["memory", *SERVERS])
def play(request: pytest.FixtureRequest) -> Iterator[Callable[[Script], None]]:
    """Plays one example of Hypothesis on a new store with a new clock; for every store, one after the other."""

    def on_memory(script: Script) -> None:
        clock = Clock()
        at_once(script(MemoryStore(clock, wall=clock), clock))

    if request.param == "memory":
        yield on_memory
        return
    servers: Servers = request.getfixturevalue(SERVERS[request.param])
    with asyncio.Runner() as runner:

        async def connected() -> Connection:
            return servers.connect()

        connection = runner.run(connected())

        def on_server(script: Script) -> None:
            servers.flush()
            clock = Clock()
            runner.run(script(ValkeyStore(connection, clock=Forward(clock)), clock))

        yield on_server
        runner.run(connection.close())


@pytest.fixture
def pay(store: AnyStore) -> Payer:
    return Payer(store)


@pytest.fixture(scope="session")
def payer() -> type[Payer]:
    return Payer


@pytest.fixture(scope="session")
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    return at_once


@pytest.fixture(scope="session")
def limit() -> Callable[..., Limit]:
    def make(
        most: int = 3, window: float = 60.0, name: str = "calls", algorithm: str = "sliding_window", burst: int = 0
    ) -> Limit:
        key = ("bank", name, "principal", str(window), algorithm)
        return Limit(name, key, most, window, "bank", Algorithm(algorithm), burst)

    return make


@pytest.fixture(scope="session")
def charge(limit: Callable[..., Limit]) -> Callable[..., Charge]:
    """One charge of `who`; further parts of the descriptor by keyword, `_` standing for the dot of `args.`."""

    def make(
        of: Limit | None = None,
        who: str = "alice",
        *,
        cost: float = 1.0,
        session: str = "",
        anonymous: bool = False,
        **parts: str,
    ) -> Charge:
        descriptor = (("principal", who), *((name.replace("_", "."), value) for name, value in parts.items()))
        return Charge(of or limit(), descriptor, cost, session, anonymous)

    return make


@pytest.fixture(scope="session")
def clock_type() -> type[Clock]:
    """For Hypothesis, which needs a new clock for each example."""
    return Clock


@pytest.fixture(scope="session")
def ask() -> Callable[..., ApprovalRequest]:
    """A request for approval of the call `what` of `who`."""

    def make(what: str = "transfer", who: str = "alice", *, timeout: float = 900.0, **more: Any) -> ApprovalRequest:
        digest = hashlib.sha256(f"{who} {what}".encode()).digest()
        named = {"server": "bank", "tool": what, "principal": who, "claim": f"{who}@example.org"}
        named |= {"rule": f"tools.{what}", "reason": "money moves", "params": '{"arguments":{}}'}
        return ApprovalRequest(digest, f"principal {who}", timeout=timeout, **(named | more))

    return make
