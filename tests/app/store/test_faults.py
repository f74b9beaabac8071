"""The shared store before real servers that are killed, stopped, made read-only, out of memory and failed over.

What is asserted is loose, for a busy machine; what was seen is printed (`pytest -s`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from faulty import attempt, limit, soon
from valkey_server import Certificates, ValkeyServer, cluster, free_port, replica_of, sentinels, until

from authz.app.settings import configuration
from authz.app.settings.settings import Settings
from authz.app.store.guarded import GuardedStore
from authz.app.store.opening import open_shared
from authz.errors import StoreError
from authz.model import OnStoreError

REPLICA = Path(__file__).parents[2] / "support" / "replica.py"
DEFAULT = Settings().state_timeout
DEADLINE = 0.1  # seconds; one that a busy machine seldom misses, for tests of what happens while nothing is wrong
SLACK = 0.2  # seconds that it may add
LOCAL, DENY, ALLOW = (
    limit(10_000, how, how.value) for how in (OnStoreError.LOCAL, OnStoreError.DENY, OnStoreError.ALLOW)
)


@contextlib.asynccontextmanager
async def opened(state: str, **flags) -> AsyncIterator[GuardedStore]:
    environ = flags.pop("environ", {})
    flags = {"state_timeout": f"{DEADLINE}s", "timeout": "5s", **flags}
    store = open_shared(configuration.load({"state": state, **flags}, {}), environ)
    try:
        await store.start()
        yield store
    finally:
        await store.close()


@dataclass
class Load:
    """Callers that pay limits of each kind without a pause, and what they got: by limit, who judged, how long."""

    store: GuardedStore
    got: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def call(self) -> None:
        while True:
            for one in (LOCAL, DENY, ALLOW):
                started = time.perf_counter()
                try:
                    discharge = await self.store.discharge(attempt(one))
                    what = "degraded" if discharge.degraded else "shared"
                    assert discharge.paid
                except StoreError:
                    what = "denied"
                self.longest = max(self.longest, time.perf_counter() - started)
                self.got[f"{one.name} {what}"] += 1
            await asyncio.sleep(0.002)

    def begin(self) -> None:
        """Forget what was before."""
        self.got.clear()
        self.longest = 0.0

    async def __aenter__(self) -> Load:
        self.tasks = [asyncio.create_task(self.call()) for _ in range(8)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        ended = await asyncio.gather(*self.tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


async def admitted(store: GuardedStore, most: int, calls: int) -> int:
    """How many of `calls` calls pass a limit of `most` of its own."""
    return sum([(await store.discharge(attempt(limit(most, name="small"), who="bob"))).paid for _ in range(calls)])


def read_only(server: ValkeyServer) -> None:
    server.command("REPLICAOF", "127.0.0.1", free_port())


def out_of_memory(server: ValkeyServer) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.command("CONFIG", "SET", "maxmemory", "1")


# Each fault with its end, and whether counters survive it.
FAULTS: dict[str, tuple[Callable[[ValkeyServer], object], Callable[[ValkeyServer], object], bool]] = {
    "killed": (ValkeyServer.kill, ValkeyServer.start, False),
    "stopped": (ValkeyServer.pause, ValkeyServer.resume, True),
    "read-only": (read_only, lambda server: server.command("REPLICAOF", "NO", "ONE"), True),
    "out of memory": (out_of_memory, lambda server: server.command("CONFIG", "SET", "maxmemory", "0"), True),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_while_the_store_is_away_each_limit_does_what_it_says_and_nobody_waits(fault, capsys):
    begin, end, survives = FAULTS[fault]
    with ValkeyServer() as server:
        async with opened(server.url) as store, Load(store) as load:
            assert await admitted(store, 20, 12) == 12
            load.begin()
            await asyncio.sleep(0.1)
            assert set(load.got) == {"local shared", "deny shared", "allow shared"}
            begin(server)
            opened_after = await soon(lambda: not store.up)
            assert opened_after < 2.0
            before = load.longest
            load.begin()
            # This replica goes on from what it has paid.
            assert await admitted(store, 20, 20) == 8
            await asyncio.sleep(0.5)
            assert set(load.got) == {"local degraded", "deny denied", "allow degraded"}
            assert load.longest < SLACK  # nobody asks any more
            assert before < DEADLINE + SLACK
            await asyncio.to_thread(end, server)
            healed_after = await soon(lambda: store.up)
            assert healed_after < 4.0
            load.begin()
            await asyncio.sleep(0.1)
            assert set(load.got) == {"local shared", "deny shared", "allow shared"}
            # What was paid without the store was not counted in it.
            again = await admitted(store, 20, 20)
            assert again == (8 if survives else 20)
    with capsys.disabled():
        waits = f"longest wait {before * 1000:.0f} ms"
        print(f"\n  {fault}: noticed after {opened_after:.2f} s, {waits}, healed after {healed_after:.2f} s")


@pytest.mark.parametrize("fault", FAULTS)
async def test_with_the_deadline_as_it_is_set_by_default_nobody_waits_for_a_store_that_is_away(fault, capsys):
    """A busy machine misses 20 ms at times without any fault: nothing is asserted of calls while the store is there."""
    begin, end, _ = FAULTS[fault]
    with ValkeyServer() as server:
        async with opened(server.url, state_timeout=None, timeout=None) as store, Load(store) as load:
            await soon(lambda: load.got["deny shared"] > 0)
            load.begin()
            begin(server)
            opened_after = await soon(lambda: not store.up)
            waited = load.longest
            load.begin()
            await asyncio.sleep(0.5)
            assert set(load.got) == {"local degraded", "deny denied", "allow degraded"}
            assert waited < DEFAULT + SLACK
            assert load.longest < SLACK
            await asyncio.to_thread(end, server)
            healed_after = await soon(lambda: store.up)
            await soon(lambda: load.got["deny shared"] > 0)
    assert opened_after < 2.0
    assert healed_after < 4.0
    with capsys.disabled():
        waits = f"deadline {DEFAULT * 1000:g} ms, longest wait {waited * 1000:.0f} ms"
        print(f"\n  {fault}: noticed after {opened_after:.2f} s, {waits}, healed after {healed_after:.2f} s")


async def test_a_primary_that_dies_is_followed_by_its_replica_and_counters_go_on(capsys):
    with ValkeyServer() as first, replica_of(first) as second, sentinels(first) as watchers:
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in watchers)
        async with opened(f"valkey+sentinel://{hosts}/main/0") as store, Load(store) as load:
            assert await admitted(store, 20, 12) == 12
            until(lambda: int(second.info("replication")["slave_repl_offset"]) > 0)
            await asyncio.sleep(0.3)
            first.kill()
            await soon(lambda: not store.up)
            load.begin()
            assert await admitted(store, 20, 4) == 4
            healed_after = await soon(lambda: store.up, within=15.0)
            assert load.longest < DEADLINE + SLACK
            assert second.info("replication")["role"] == "master"
            assert await admitted(store, 20, 20) == 8
    with capsys.disabled():
        print(f"\n  failover by Sentinel: healed {healed_after:.2f} s after it was noticed")


async def test_a_flush_begins_anew_and_scripts_that_were_flushed_are_sent_again():
    with ValkeyServer() as server:
        async with opened(server.url, state_timeout="2s") as store:
            assert await admitted(store, 5, 8) == 5
            server.command("SCRIPT", "FLUSH")
            assert await admitted(store, 5, 2) == 0
            server.command("FLUSHALL")
            assert await admitted(store, 5, 8) == 5
            assert store.up
            assert sum(store.failures.values()) == 0


async def test_data_of_another_kind_is_a_failure_and_no_crash():
    with ValkeyServer() as server:
        async with opened(server.url) as store:
            await store.discharge(attempt())
            for name in server.command("KEYS", "*"):
                server.command("DEL", name)
                server.command("SADD", name, "not ours")
            assert (await store.discharge(attempt())).degraded
            await soon(lambda: not store.up)
            server.command("FLUSHALL")
            await soon(lambda: store.up)
            assert not (await store.discharge(attempt())).degraded


async def test_a_service_that_starts_before_its_store_does_its_work_and_finds_it():
    port = free_port()
    async with opened(f"valkey://127.0.0.1:{port}/0") as store:
        assert store.problem == f"state valkey://127.0.0.1:{port}/0: 127.0.0.1:{port}: connection refused"
        assert (await store.discharge(attempt(LOCAL))).degraded
        with pytest.raises(StoreError):
            await store.discharge(attempt(DENY))
        with ValkeyServer(port=port):
            assert await soon(lambda: store.up) < 2.0
            assert not (await store.discharge(attempt(DENY))).degraded


async def test_replicas_know_of_each_other_and_take_their_share():
    with ValkeyServer() as server:
        async with opened(server.url) as one, opened(server.url) as other:
            await soon(lambda: one.replicas == 2)
            assert other.replicas == 2
            server.kill()
            await soon(lambda: not one.up and not other.up)
            assert [await admitted(store, 20, 15) for store in (one, other)] == [10, 10]


async def test_over_tls_as_a_user_of_the_acl(tmp_path):
    ours = Certificates(tmp_path)
    with ValkeyServer(tls=ours) as server:
        server.command("ACL", "SETUSER", "authz", "on", ">pw", "~*", "+@all", "-@dangerous")
        flags = {
            "state_ca": str(ours.ca),
            "state_cert": str(ours.client),
            "state_key": str(ours.client_key),
            "state_password": "env:PW",
            "state_timeout": "2s",
            "environ": {"PW": "pw"},
        }
        async with opened(server.url.replace("://", "://authz@"), **flags) as store:
            assert store.problem == ""
            assert await admitted(store, 5, 8) == 5


async def test_in_a_cluster_one_node_that_dies_takes_only_its_own_counters_along():
    with cluster(3, "cluster-require-full-coverage no") as nodes:
        async with opened(f"valkey+cluster://127.0.0.1:{nodes[0].port}") as store:
            people = [f"p{n}" for n in range(60)]
            for who in people:
                assert not (await store.discharge(attempt(limit(10), who=who))).degraded
            nodes[1].kill()
            await asyncio.sleep(0.1)
            answers = [(await store.discharge(attempt(limit(10), who=who))).degraded for who in people]
            assert 0 < sum(answers) <= len(people)
            nodes[1].start()

            async def healed() -> bool:
                return not any(
                    [(await store.discharge(attempt(limit(10), who=who, peek=True))).degraded for who in people]
                )

            async with asyncio.timeout(10):
                while not await healed():
                    await asyncio.sleep(0.1)


# -------------------------------------------------------------------------------------- two replicas, one limit of 100


def replicas(state: str, number: int, callers: int, calls: int) -> Sequence[subprocess.Popen[str]]:
    command = [sys.executable, str(REPLICA), state, "100", str(callers), str(calls)]
    paths = os.pathsep.join(map(str, (REPLICA.parent, REPLICA.parents[2])))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, **pipes)  # noqa: S603
        for _ in range(number)
    ]


def go(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Let all begin at once."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def test_two_replicas_of_64_callers_admit_exactly_what_one_limit_allows(server):
    server.command("FLUSHALL")
    processes = replicas(server.unix_url, 2, 64, 4)
    go(processes)
    got = [Counter(process.communicate(timeout=30)[0].split()) for process in processes]
    assert sum(got, Counter()) == {"paid": 100, "refused": 2 * 64 * 4 - 100}
    assert all(process.returncode == 0 for process in processes)


def test_a_replica_that_is_killed_midway_takes_nothing_twice_and_leaves_nothing_open(server):
    server.command("FLUSHALL")
    victim, other = processes = replicas(server.unix_url, 2, 64, 40)
    go(processes)
    seen = Counter(victim.stdout.readline().strip() for _ in range(10))
    victim.kill()
    seen += Counter(victim.communicate(timeout=30)[0].split())
    left = Counter(other.communicate(timeout=60)[0].split())
    assert not {*seen, *left} - {"paid", "refused"}
    # What the victim had paid without anybody having been told is lost, and nothing else.
    assert left["paid"] + seen["paid"] <= 100
    assert 100 - left["paid"] - seen["paid"] <= 64
    assert left["refused"] > 0
