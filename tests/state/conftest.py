"""What every test of a store needs: a clock that moves when told, limits, charges and an attempt in one call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from authz.model import Approval, Charge, Discharge, Limit
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Store

T = TypeVar("T")


@dataclass
class Clock:
    """Monotonic seconds; begins where a machine's clock might, not at 0."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def at_once(asked: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends; there is no event loop here."""
    try:
        asked.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("suspended")


class Payer:
    """Attempts on one store, in few words."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def __call__(self, *owed: Charge | Approval, key: bytes = b"", peek: bool = False) -> Discharge:
        """One message that owes all of `owed`."""
        return await self.store.discharge(Attempt([owed], key, peek))

    async def batch(self, *parts: Sequence[Charge | Approval], key: bytes = b"") -> Discharge:
        """One batch with a message for each of `parts`."""
        return await self.store.discharge(Attempt(parts, key))

    async def count(self, charge: Charge, times: int) -> int:
        """How many of `times` calls are paid."""
        return sum([(await self(charge)).paid for _ in range(times)])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory"])
def store(request: pytest.FixtureRequest, clock: Clock) -> Store:
    """Every store, one after the other."""
    return {"memory": MemoryStore}[request.param](clock)


@pytest.fixture
def pay(store: Store) -> Payer:
    return Payer(store)


@pytest.fixture(scope="session")
def payer() -> type[Payer]:
    return Payer


@pytest.fixture(scope="session")
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    return at_once


@pytest.fixture(scope="session")
def limit() -> Callable[..., Limit]:
    def make(most: int = 3, window: float = 60.0, name: str = "calls") -> Limit:
        return Limit(name, ("bank", name, "principal", str(window), "sliding_window"), most, window, "bank")

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
