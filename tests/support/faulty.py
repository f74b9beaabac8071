"""A shared store that fails in the way it is told, with a guard before it; and the attempts that it is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from authz.app.store.failures import Cause, StoreFailure
from authz.app.store.guarded import GuardedStore
from authz.errors import StoreError
from authz.model import ApprovalRequest, Charge, Discharge, Limit, OnStoreError
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed, any_record


def limit(most: int = 3, on_error: OnStoreError = OnStoreError.LOCAL, name: str = "calls") -> Limit:
    """A sliding window of a minute."""
    return Limit(name, ("bank", name), most, 60.0, "bank", on_store_error=on_error)


def attempt(*limits: Limit, who: str = "alice", key: bytes = b"", peek: bool = False, ask: bool = False) -> Attempt:
    """One call of `who` that owes one charge of each limit; `ask`: and a person's yes."""
    charges = tuple(Charge(one, (("principal", who),)) for one in limits or (limit(),))
    request = ApprovalRequest(b"d" * 32, "o", "bank", "t", who, who, "r", "", "{}", 60.0) if ask else None
    return Attempt([Owed(charges, request)], key, peek)


@dataclass
class Faulty:
    """A shared store that pays everything, or fails with `failure`, or hangs while `hung`; counts what it is asked."""

    failure: StoreError | None = None
    hung: bool = False
    beats: list[int] = field(default_factory=lambda: [1])
    asked: int = 0
    probes: int = 0
    closed: bool = False
    after: Callable[[], None] = lambda: None

    async def discharge(self, attempt: Attempt) -> Discharge:
        self.asked += 1
        await self._fail()
        return Discharge(paid=True)

    async def beat(self) -> int:
        self.probes += 1
        await self._fail()
        return self.beats[-1]

    async def usage(self, most: int = 1_000, *, server: str = "", limit: str = ""):
        await self._fail()
        return ["usage", most, server, limit]

    async def reset(self, server: str, limit: str = "") -> int:
        await self._fail()
        return 7

    async def records(self, *, most: int = 200, pending=None, wanted=any_record):
        await self._fail()
        return ["records", most, pending, wanted]

    async def record(self, id_: str):
        await self._fail()
        return ["record", id_]

    async def submit(self, id_: str, ruling):
        await self._fail()
        return ["submit", id_, ruling]

    async def changes(self) -> int:
        await self._fail()
        return 9

    async def close(self) -> None:
        self.closed = True

    async def _fail(self) -> None:
        if self.hung:
            await asyncio.get_running_loop().create_future()
        if self.failure:
            raise self.failure


def timeout() -> StoreFailure:
    return StoreFailure("no answer", Cause.TIMEOUT)


@contextlib.asynccontextmanager
async def guarding(shared: Faulty, *, start: bool = True, mend=None, **given) -> AsyncIterator[GuardedStore]:
    """`shared` behind a guard that probes as often as it may."""

    async def fine() -> None:
        pass

    options = {"where": "valkey://db/0", "timeout": 0.02, "jitter": lambda: 0.5, **given}
    guard = GuardedStore(shared, MemoryStore(), mend or fine, asyncio.Event(), **options)
    try:
        if start:
            await guard.start()
        yield guard
    finally:
        await guard.close()


async def soon(holds: Callable[[], bool], within: float = 5.0) -> float:
    """Wait until it holds; the seconds that took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.005)
    return loop.time() - started
