"""Shared stores on a real server and on a real cluster, with connections that count what they are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from valkey_connection import Connection, Forward, Servers

from authz.state.valkey.store import ValkeyStore

Open = Callable[..., ValkeyStore]


async def _stores(servers: Servers, clock: Any) -> AsyncIterator[Open]:
    servers.flush()
    opened: list[ValkeyStore] = []

    def make(connection: Connection | None = None, *, timed: bool = True, **settings: Any) -> ValkeyStore:
        if timed:
            settings.setdefault("clock", Forward(clock))
        opened.append(ValkeyStore(connection or servers.connect(), **settings))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()
    assert [key for key, left in servers.lifetimes().items() if left == -1] == []  # one may end while it is looked at


@pytest.fixture
async def on_server(single: Servers, clock: Any) -> AsyncIterator[Open]:
    """Opens stores on one server; `timed=False`: by the server's own time."""
    async for make in _stores(single, clock):
        yield make


@pytest.fixture
async def on_cluster(nodes: Servers, clock: Any) -> AsyncIterator[Open]:
    """Opens stores on three nodes."""
    async for make in _stores(nodes, clock):
        yield make
