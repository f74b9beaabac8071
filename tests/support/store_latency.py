"""What a shared store adds to a call, measured: `store_latency.py [SECONDS]`, JSON on stdout.

`Engine.check` of one `tools/call` with one limit, by memory and by a real server over a unix socket in turns, with 1
and 64 calls in flight; and how many commands the server has counted for each call.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Mapping

from faulty import attempt, limit
from valkey_server import ValkeyServer

from authz.app.loop import factory
from authz.app.settings import configuration
from authz.app.store.fallback import Outcome
from authz.app.store.guarded import GuardedStore
from authz.app.store.opening import open_shared
from authz.engine import Engine
from authz.model import HttpRequest
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.policy.selection import SERVER_EXTENSION
from authz.state.memory import MemoryStore
from authz.state.store import Store

POLICY = b"""version: 1
server: bank
tools:
  pay: {action: allow, rate_limit: {max: 100000000, window: 60}}
"""
BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"to":"bob","amount":5}}}'
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2025-11-25",
}
ROUNDS = 10
EVALS = ("evalsha", "eval")


def request(number: int) -> HttpRequest:
    """A call from one of 1,000 addresses; the proxy has given it an id of its own."""
    address = f"10.0.{number % 1000 // 250}.{number % 250}"
    headers = {**HEADERS, "x-request-id": f"{number:032x}"}
    return HttpRequest(
        "POST",
        "/mcp",
        "bank",
        headers,
        BODY,
        source_address=address,
        context={SERVER_EXTENSION: "bank"},
        stream_id=str(number),
        wire=b"%d" % number,
    )


async def load(engine: Engine, in_flight: int, seconds: float) -> list[float]:
    """Microseconds of each call, for so long."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    numbers = iter(range(10**9))

    async def call() -> None:
        while (started := time.perf_counter()) < end:
            await asyncio.sleep(0)  # as from a transport: each waits for its turn
            answer = await engine.check(request(next(numbers)))
            took.append((time.perf_counter() - started) * 1e6)
            assert answer.allowed, answer

    await asyncio.gather(*(call() for _ in range(in_flight)))
    return took


def figures(rounds: list[list[float]]) -> Mapping[str, float]:
    """Median and 99th percentile in microseconds, each of the round that others on this machine disturbed least."""
    cuts = [statistics.quantiles(took, n=100) for took in rounds]
    return {"p50": round(min(one[49] for one in cuts), 1), "p99": round(min(one[98] for one in cuts), 1)}


async def main(seconds: float) -> Mapping[str, object]:
    """All figures."""
    policies = compile_policies({"bank.yaml": POLICY}, PolicyContext())
    assert not policies.problems, policies.problems
    with ValkeyServer() as server:
        # A deadline that a busy machine does not miss: what is measured is the store and not what replaces it.
        flags = {"state": server.unix_url, "state_timeout": "2s", "timeout": "5s"}
        shared = open_shared(configuration.load(flags, {}))
        await shared.start()
        stores: Mapping[str, Store] = {"memory": MemoryStore(), "valkey": shared}
        engines = {name: Engine(policies, store, ()) for name, store in stores.items()}
        told: dict[str, object] = {}
        for in_flight in (1, 64):
            took: dict[str, list[list[float]]] = {name: [] for name in engines}
            for _ in range(ROUNDS):
                for name, engine in engines.items():
                    took[name].append((await load(engine, in_flight, seconds / ROUNDS))[10:])
            told[f"{in_flight} in flight"] = {name: figures(rounds) for name, rounds in took.items()}
        told["round trips a call"] = await round_trips(server, shared)
        assert set(shared.outcomes.values()) == {0, shared.outcomes[Outcome.SHARED]}, shared.outcomes
        await shared.close()
    return told


async def round_trips(server: ValkeyServer, store: GuardedStore) -> float:
    """Scripts that the server was asked to run for each of 1,000 calls with three limits, by its own count."""
    limits = [limit(10**6, name=name) for name in ("a", "b", "c")]
    before = sum(server.calls(name) for name in EVALS)
    for number in range(1_000):
        assert (await store.discharge(attempt(*limits, who=f"p{number}", key=b"%d" % number))).paid
    return (sum(server.calls(name) for name in EVALS) - before) / 1_000


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=factory()) as runner:
        print(json.dumps(runner.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))))
