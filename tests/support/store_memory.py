"""How much memory counters take, measured: `store_memory.py shared|embedded PRINCIPALS CALLS`, JSON on stdout.

`shared`: a real server's own figures, one counter for each principal, `CALLS` calls each. `embedded`: the growth of
this process under a flood of `PRINCIPALS` different callers, of which the table keeps its bound.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from valkey_connection import PATIENT
from valkey_server import ValkeyServer

from authz.app.store.address import Place
from authz.app.store.primary import Fixed, PrimaryServer
from authz.model import Charge, Limit
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed
from authz.state.valkey.store import ValkeyStore

LIMIT = Limit("calls", ("bank", "calls"), 10, 24 * 3600.0, "bank")
IN_FLIGHT = 256


def attempt(number: int) -> Attempt:
    """A call of one of the principals, who is named as an identity provider would."""
    who = f"corp\nhttps://idp.example.com\nagent-{number:07d}@example.com"
    return Attempt([Owed((Charge(LIMIT, (("principal", who),)),))])


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def shared(principals: int, calls: int) -> dict[str, float]:
    """Figures of the server after all calls."""
    with ValkeyServer() as server:
        link = PrimaryServer(PATIENT, Fixed(Place(path=str(server.socket))), lambda: None)
        await link.mend()
        store = ValkeyStore(link)
        await store.discharge(attempt(-1))  # the script is there from now on
        before = int(server.info("memory")["used_memory"])

        async def work(numbers: Iterator[int]) -> None:
            for number in numbers:
                assert (await store.discharge(attempt(number))).paid

        started = time.perf_counter()
        for _ in range(calls):
            numbers = iter(range(principals))
            await asyncio.gather(*(work(numbers) for _ in range(IN_FLIGHT)))
        took = time.perf_counter() - started
        memory = server.info("memory")
        keys = server.command("DBSIZE")
        one = server.command("RANDOMKEY")
        used = int(memory["used_memory"]) - before
        figures = {
            "keys": keys,
            "used_memory": int(memory["used_memory"]),
            "used_memory_rss": int(memory["used_memory_rss"]),
            "bytes a counter": round(used / (keys - 1), 1),
            "MEMORY USAGE of one": server.command("MEMORY", "USAGE", one),
            "key bytes": len(one),
            "value bytes": len(server.command("GET", one)),
            "calls a second": round(principals * calls / took),
        }
        await store.close()
    return figures


async def embedded(principals: int, calls: int) -> dict[str, float]:
    """Figures of this process after all calls."""
    store = MemoryStore()
    await store.discharge(attempt(-1))
    before = resident()
    started = time.perf_counter()
    refused = 0
    for _ in range(calls):
        for number in range(principals):
            refused += not (await store.discharge(attempt(number))).paid
    took = time.perf_counter() - started
    grown = resident() - before
    return {
        "counters": store.size,
        "resident bytes more": grown,
        "bytes a counter": round(grown / store.size, 1),
        "judged by the counter that newcomers share": store.overflowed,
        "refused": refused,
        "calls a second": round(principals * calls / took),
    }


if __name__ == "__main__":
    measure = {"shared": shared, "embedded": embedded}[sys.argv[1]]
    print(json.dumps(asyncio.run(measure(*map(int, sys.argv[2:])))))
