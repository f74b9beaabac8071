"""Links, a primary and a cluster before real servers: what is asked is answered, and trouble is told apart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest
from faulty import soon
from valkey_server import Certificates, ServerError, ValkeyServer, cluster, free_port, replica_of, sentinels, until

from authz.app.settings import configuration
from authz.app.store import cluster as cluster_module
from authz.app.store import link as link_module
from authz.app.store import primary as primary_module
from authz.app.store.address import Place
from authz.app.store.cluster import ClusterServer, slot_of
from authz.app.store.connecting import connect
from authz.app.store.failures import Cause, StoreFailure
from authz.app.store.link import Dialer, Link
from authz.errors import SettingsError
from authz.state.valkey.server import Script

ECHO = Script("echo", "return {KEYS[1], ARGV[1] or '', tonumber('7')}")
WRITE = Script("write", "return redis.call('SET', KEYS[1], ARGV[1])")
WHERE = Script("where", "redis.call('INCR', KEYS[1]) return redis.call('INFO', 'server'):match('tcp_port:(%d+)')")
BROKEN = Script("broken", "return redis.call('LPUSH', KEYS[1], 'x')")


@contextlib.asynccontextmanager
async def connected(state: str, **flags):
    """The servers of `state`, connected; `trouble` counts in its list."""
    trouble: list[int] = []
    environ = flags.pop("environ", {})
    server = connect(configuration.load({"state": state, **flags}, {}), lambda: trouble.append(1), environ)
    server.trouble = trouble  # type: ignore[union-attr]
    try:
        await server.mend()
        yield server
    finally:
        await server.close()


async def failure(asked) -> StoreFailure:
    with pytest.raises(StoreFailure) as caught:
        await asked
    return caught.value


# ------------------------------------------------------------------------------------------------------- one server


@pytest.mark.parametrize("how", ["url", "unix_url"])
async def test_a_script_is_known_by_its_digest_after_its_first_run(server, how):
    server.command("SCRIPT", "FLUSH")
    server.command("CONFIG", "RESETSTAT")
    async with connected(getattr(server, how)) as primary:
        assert not primary.cluster
        assert await primary.run(ECHO, [b"k"], [b"a"]) == [b"k", b"a", 7]
        assert await primary.run(ECHO, [b"k"], [b"b"]) == [b"k", b"b", 7]
    assert (server.calls("evalsha"), server.calls("eval")) == (2, 1)


async def test_commands_of_one_turn_share_a_round_trip_and_each_gets_its_own_reply(server):
    async with connected(server.url) as primary:
        runs = [primary.run(ECHO, [b"k"], [b"%d" % at]) for at in range(300)]
        assert [reply[1] for reply in await asyncio.gather(*runs)] == [b"%d" % at for at in range(300)]
        calls = [([b"k%d" % at], [b"v"]) for at in range(600)]
        assert [reply[0] for reply in await primary.run_many(ECHO, calls)] == [keys[0] for keys, _ in calls]


async def test_a_walk_finds_every_key_that_matches(server):
    server.command("FLUSHALL")
    async with connected(server.url) as primary:
        await primary.run_many(WRITE, [([b"walk:%d" % at], [b"v"]) for at in range(2500)])
        await primary.run(WRITE, [b"other"], [b"v"])
        found = [name async for page in primary.scan(b"walk:*") for name in page]
    assert len(set(found)) == 2500


async def test_the_database_of_the_address_is_used(server):
    async with connected(server.url[:-1] + "5") as primary:
        await primary.run(WRITE, [b"in5"], [b"v"])
    assert "db5" in server.info("keyspace")


async def test_who_stops_waiting_disturbs_nobody(server):
    async with connected(server.url) as primary:
        impatient = [asyncio.create_task(primary.run(ECHO, [b"k"], [b"no"])) for _ in range(20)]
        await asyncio.sleep(0)
        for task in impatient:
            task.cancel()
        assert await primary.run(ECHO, [b"k"], [b"mine"]) == [b"k", b"mine", 7]
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*impatient, return_exceptions=True)
        )


async def test_errors_of_the_server_are_failures_with_their_cause(server):
    server.command("FLUSHALL")
    async with connected(server.url) as primary:
        await primary.run(WRITE, [b"text"], [b"v"])
        wrong = await failure(primary.run(BROKEN, [b"text"], []))
        assert wrong.cause is Cause.OTHER
        assert str(wrong).startswith(
            f"127.0.0.1:{server.port}: WRONGTYPE Operation against a key holding the wrong kind"
        )
        with pytest.raises(StoreFailure, match="WRONGTYPE"):
            await primary.run_many(BROKEN, [([b"list"], []), ([b"text"], [])])
        server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            assert (await failure(primary.run(WRITE, [b"k"], [b"v"]))).cause is Cause.OOM
        finally:
            server.command("CONFIG", "SET", "maxmemory", "0")


async def test_a_server_that_reads_only_is_left_and_asked_anew(server):
    async with connected(server.url) as primary:
        server.command("REPLICAOF", "127.0.0.1", free_port())
        try:
            assert (await failure(primary.run(WRITE, [b"k"], [b"v"]))).cause in (Cause.READONLY, Cause.CONNECTION)
            gone = await failure(primary.run(WRITE, [b"k"], [b"v"]))
            assert (gone.cause, str(gone)) == (Cause.CONNECTION, "not connected")
            assert primary.trouble
        finally:
            server.command("REPLICAOF", "NO", "ONE")
        await primary.mend()
        assert await primary.run(WRITE, [b"k"], [b"v"]) == b"OK"


async def test_a_server_that_is_not_there_or_closes_is_a_lost_connection():
    with ValkeyServer() as server:
        async with connected(server.url) as primary:
            hanging = asyncio.create_task(primary.run(Script("wait", "while true do end"), [b"k"], []))
            await asyncio.sleep(0.05)
            server.kill()
            lost = await failure(hanging)
            assert lost.cause is Cause.CONNECTION
            assert len(primary.trouble) == 1
            assert str(await failure(primary.mend())) == f"127.0.0.1:{server.port}: connection refused"
            server.start()
            await primary.mend()
            assert await primary.run(ECHO, [b"k"], [b"a"]) == [b"k", b"a", 7]


async def test_nothing_grows_while_a_server_hangs(monkeypatch):
    monkeypatch.setattr(link_module, "MOST", 50)
    monkeypatch.setattr(link_module, "DIAL", 0.1)
    with ValkeyServer() as server:
        async with connected(server.url, state_timeout="100ms") as primary:
            server.pause()
            hanging = [asyncio.create_task(primary.run(ECHO, [b"k"], [b"a"])) for _ in range(50)]
            await asyncio.sleep(0)
            full = await failure(primary.run(ECHO, [b"k"], [b"a"]))
            assert str(full).endswith("expected fewer than 50 commands without a reply")
            await asyncio.sleep(0)
            for task in hanging:
                task.cancel()
            await asyncio.sleep(0.55)
            assert str(await failure(primary.mend())).endswith("no answer to the log-in within 0.1 s")
            server.resume()
            await primary.mend()
            assert await primary.run(ECHO, [b"k"], [b"a"]) == [b"k", b"a", 7]


async def test_a_link_whose_replies_are_late_is_asked_nothing_more():
    with ValkeyServer() as server:
        async with connected(server.url, state_timeout="10ms") as primary:
            server.pause()
            hanging = asyncio.create_task(primary.run(ECHO, [b"k"], [b"a"]))
            await asyncio.sleep(0.06)
            late = await failure(primary.run(ECHO, [b"k"], [b"a"]))
            assert (late.cause, str(late)) == (
                Cause.TIMEOUT,
                f"127.0.0.1:{server.port}: earlier commands have no reply yet",
            )
            server.resume()
            assert await hanging == [b"k", b"a", 7]
            assert await primary.run(ECHO, [b"k"], [b"b"]) == [b"k", b"b", 7]


async def test_what_is_no_reply_ends_the_link():
    for nonsense in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+OK\r\n+MORE\r\n"):
        ended = asyncio.Event()

        async def answer(reader, writer, nonsense=nonsense, ended=ended):
            await reader.read(100)
            writer.write(nonsense)
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()
            ended.set()

        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with listening:
            place = Place("127.0.0.1", listening.sockets[0].getsockname()[1])
            with contextlib.suppress(StoreFailure):
                link = await Dialer().dial(place)
                await soon(lambda link=link: link.closed)
                with pytest.raises(StoreFailure, match="not connected"):
                    link.ask("PING")
            await ended.wait()


async def test_a_place_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(link_module, "DIAL", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = Place("127.0.0.1", listening.getsockname()[1])
        assert str(await failure(Dialer().dial(place))) == f"{place}: no answer to the log-in within 0.05 s"
        assert str(await failure(Dialer().look_up(place, "PING"))) == f"{place}: no answer within 0.05 s"


async def test_a_name_that_is_nobodys_is_told():
    told = await failure(Dialer().dial(Place("no-such-host.invalid", 1)))
    assert told.cause is Cause.CONNECTION
    assert str(told).startswith("no-such-host.invalid:1: ")
    assert (
        str(await failure(Dialer().dial(Place(path="/no/such/socket")))) == "/no/such/socket: no such file or directory"
    )


async def test_before_the_first_mend_nothing_is_asked(server):
    primary = connect(configuration.load({"state": server.url}, {}), lambda: None)
    assert str(await failure(primary.run(ECHO, [b"k"], []))) == "not connected"
    assert str(await failure(anext(primary.scan(b"*")))) == "not connected"
    await primary.close()


# -------------------------------------------------------------------------------------------------- who is let in


async def test_the_password_is_read_at_each_connection(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("first\n")
    with ValkeyServer(password="first") as server:
        async with connected(server.url, state_password=f"file:{secret}") as primary:
            server.command("CONFIG", "SET", "requirepass", "second")
            secret.write_text("second")
            server._password = "second"
            server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await soon(lambda: primary.trouble)
            await primary.mend()
            assert await primary.run(ECHO, [b"k"], [b"a"]) == [b"k", b"a", 7]
        secret.write_text("wrong")
        async with connected(server.unix_url, state_password="env:PW", environ={"PW": "second"}):
            pass
        with pytest.raises(StoreFailure, match="WRONGPASS") as caught:
            async with connected(server.url, state_password=f"file:{secret}"):
                pass
        assert caught.value.cause is Cause.CONNECTION
        with pytest.raises(StoreFailure, match="NOAUTH"):
            async with connected(server.url.replace("/0", "/1")):
                pass


def test_secrets_and_certificates_that_cannot_be_read_are_told_at_start(tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("")
    cases = {
        (
            "state_password",
            f"file:{tmp_path}/no",
        ): f"state_password: {tmp_path}/no: cannot be read: no such file or directory",
        ("state_password", f"file:{empty}"): f"state_password: file:{empty}: expected at least 1 bytes, got 0",
        ("state_password", "env:NOT_SET"): "state_password: env:NOT_SET: expected at least 1 bytes, got 0",
        ("state_ca", f"{tmp_path}/no"): f"state_ca: {tmp_path}/no: cannot be read: no such file or directory",
    }
    for (name, value), problem in cases.items():
        settings = configuration.load({"state": "valkeys://db", name: value}, {})
        with pytest.raises(SettingsError) as caught:
            connect(settings, lambda: None, {})
        assert str(caught.value) == problem
    settings = configuration.load({"state": "valkeys://db", "state_cert": str(empty), "state_key": str(empty)}, {})
    with pytest.raises(
        SettingsError, match=f"^state_cert: {empty} with {empty}: expected certificates and keys in PEM"
    ):
        connect(settings, lambda: None, {})


async def test_a_password_that_has_gone_meanwhile_is_a_failure_and_no_crash(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("x")
    with ValkeyServer(password="x") as server:
        async with connected(server.url, state_password=f"file:{secret}") as primary:
            primary._link.close()
            secret.unlink()
            assert "state_password: " in str(await failure(primary.mend()))


async def test_certificates_that_have_gone_meanwhile_are_a_failure_and_no_crash(tmp_path):
    ours = Certificates(tmp_path)
    server = connect(configuration.load({"state": "valkeys://localhost:1", "state_ca": str(ours.ca)}, {}), lambda: None)
    ours.ca.unlink()
    assert str(await failure(server.mend())) == f"state_ca: {ours.ca}: cannot be read: no such file or directory"


async def test_a_user_of_the_servers_acl_may_do_what_it_is_let():
    with ValkeyServer() as server:
        server.command("ACL", "SETUSER", "authz", "on", ">pw", "~ours:*", "+evalsha", "+eval", "+set", "+select")
        server.command("ACL", "SETUSER", "open", "on", "nopass", "allkeys", "allcommands")
        url = server.url.replace("://", "://authz@")
        async with connected(url, state_password="env:PW", environ={"PW": "pw"}) as primary:
            assert await primary.run(WRITE, [b"ours:1"], [b"v"]) == b"OK"
            forbidden = await failure(primary.run(WRITE, [b"theirs"], [b"v"]))
            assert forbidden.cause in (Cause.CONNECTION, Cause.OTHER)
        async with connected(server.url.replace("://", "://open@")) as primary:
            assert await primary.run(ECHO, [b"k"], [b"a"]) == [b"k", b"a", 7]


async def test_tls_with_a_client_certificate(tmp_path):
    (tmp_path / "other").mkdir()
    ours, other = Certificates(tmp_path), Certificates(tmp_path / "other")
    mine = {"state_cert": str(ours.client), "state_key": str(ours.client_key)}
    with ValkeyServer(tls=ours) as server:
        async with connected(server.url, state_ca=str(ours.ca), **mine) as primary:
            assert await primary.run(ECHO, [b"k"], [b"a"]) == [b"k", b"a", 7]
        for flags, problem in (
            # That it wants a certificate is found out by the first reply, or by a closed connection.
            ({"state_ca": str(ours.ca)}, "TLS: |connection"),
            ({"state_ca": str(other.ca), **mine}, "TLS: its certificate is refused: "),
            (mine, "TLS: its certificate is refused: "),
        ):
            with pytest.raises(StoreFailure, match=problem) as caught:
                async with connected(server.url, **flags):
                    pass
            assert caught.value.cause is Cause.CONNECTION
        plain = server.url.replace("valkeys", "valkey")
        with pytest.raises(StoreFailure):
            async with connected(plain):
                pass


# ------------------------------------------------------------------------------------------------ sentinels, cluster


def fails_over(sentinel: ValkeyServer) -> bool:
    """Have it begin; it refuses until it has heard enough of the replica."""
    try:
        return sentinel.command("SENTINEL", "FAILOVER", "main") == b"OK"
    except ServerError as error:
        return str(error).startswith("INPROG")


async def test_sentinels_say_where_the_primary_is_also_after_a_failover(monkeypatch):
    monkeypatch.setattr(primary_module, "ASK_AGAIN", 0.0)
    with ValkeyServer() as first, replica_of(first) as second, sentinels(first, number=3) as watchers:
        hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), *(one.port for one in watchers)))
        async with connected(f"valkey+sentinel://{hosts}/main/0") as primary:
            assert await primary.run(WRITE, [b"k"], [b"v"]) == b"OK"
            await primary.mend()
            until(lambda: fails_over(watchers[0]))
            until(lambda: second.info("replication")["role"] == "master")
            until(lambda: watchers[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1] == b"%d" % second.port)

            async def mended() -> bool:
                with contextlib.suppress(StoreFailure):
                    await primary.mend()
                    return await primary.run(WHERE, [b"k2"], []) == b"%d" % second.port
                return False

            async with asyncio.timeout(10):
                while not await mended():
                    await asyncio.sleep(0.05)
        with pytest.raises(StoreFailure, match="knows no primary 'other'"):
            async with connected(f"valkey+sentinel://{hosts}/other"):
                pass


async def test_a_replica_that_is_taken_for_the_primary_is_refused():
    class Wrong(primary_module.Sentinels):
        async def primary(self):
            return place

    with ValkeyServer() as first, replica_of(first) as second:
        place = Place("127.0.0.1", second.port)
        primary = primary_module.PrimaryServer(Dialer(), Wrong(Dialer(), [], "main"), lambda: None)
        told = await failure(primary.mend())
        assert (told.cause, str(told)) == (Cause.READONLY, f"{place}: expected a primary, got a slave")


async def test_a_sentinel_that_wants_a_password_gets_the_same(tmp_path):
    with ValkeyServer(password="pw") as first:
        options = (f"sentinel monitor main 127.0.0.1 {first.port} 1", "sentinel auth-pass main pw")
        with ValkeyServer(*options, sentinel=True, password="pw") as watcher:
            state = f"valkey+sentinel://127.0.0.1:{watcher.port}/main/0"
            async with connected(state, state_password="env:PW", environ={"PW": "pw"}) as primary:
                assert await primary.run(ECHO, [b"k"], [b"a"]) == [b"k", b"a", 7]
            with pytest.raises(StoreFailure, match="NOAUTH"):
                async with connected(state):
                    pass


@pytest.fixture(scope="module")
def nodes():
    with cluster(3) as servers:
        yield servers


def spread(server: ClusterServer, at: int) -> bytes:
    """A key whose slot the node at `at` of three has."""
    return next(key for key in (b"{%d}" % n for n in range(1000)) if slot_of(key) * 3 // 16384 == at)


def test_slots_are_those_of_the_servers(nodes):
    for key in (b"foo", b"{user}:1", b"a{}b", b"{", b"x{y}{z}", b"{a", os.urandom(30)):
        assert slot_of(key) == nodes[0].command("CLUSTER", "KEYSLOT", key)


async def test_each_script_runs_where_its_slot_is(nodes):
    async with connected(f"valkey+cluster://127.0.0.1:{free_port()},127.0.0.1:{nodes[1].port}") as server:
        assert server.cluster
        ports = [await server.run(WHERE, [spread(server, at)], []) for at in range(3)]
        assert ports == [b"%d" % node.port for node in nodes]
        await server.run_many(WRITE, [([b"walk:%d" % at], [b"v"]) for at in range(100)])
        assert len({name async for page in server.scan(b"walk:*") for name in page}) == 100


async def test_a_slot_that_moves_is_followed(nodes):
    async with connected(f"valkey+cluster://127.0.0.1:{nodes[0].port}") as server:
        key = b"{moving}"
        slot = slot_of(key)
        at = slot * 3 // 16384
        here, there = nodes[at], nodes[(at + 1) % 3]
        ids = [node.command("CLUSTER", "MYID") for node in (here, there)]
        there.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        here.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        here.command("SCRIPT", "FLUSH")
        there.command("SCRIPT", "FLUSH")
        try:
            # The key is not at the old node, which says ASK; nothing is remembered of that.
            assert await server.run(WHERE, [key], []) == b"%d" % there.port
            for node in (there, here):
                node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
            assert await server.run(WHERE, [key], []) == b"%d" % there.port
            assert server.trouble
            await server.mend()
            assert await server.run(WHERE, [key], []) == b"%d" % there.port
        finally:
            there.command("DEL", key)
            for node in nodes:
                node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[0])


async def test_a_node_that_is_away_fails_its_own_slots_at_once_and_no_others(nodes):
    with cluster(3, "cluster-require-full-coverage no") as own:
        async with connected(f"valkey+cluster://127.0.0.1:{own[0].port}", state_timeout="10ms") as server:
            keys = [spread(server, at) for at in range(3)]
            own[1].kill()
            await soon(lambda: server.trouble)
            await server.mend()
            assert (await failure(server.run(WHERE, [keys[1]], []))).cause is Cause.CONNECTION
            assert await server.run(WHERE, [keys[0]], []) == b"%d" % own[0].port
            own[2].pause()
            hanging = asyncio.create_task(server.run(WHERE, [keys[2]], []))
            await asyncio.sleep(0.06)
            assert str(await failure(server.run(WHERE, [keys[2]], []))).endswith("earlier commands have no reply yet")
            mending = asyncio.create_task(server.mend())
            assert "closed" in str(await failure(hanging))
            assert await server.run(WHERE, [keys[0]], []) == b"%d" % own[0].port
            await mending
            own[2].resume()
            own[1].start()
            await server.mend()
            assert await server.run(WHERE, [keys[2]], []) == b"%d" % own[2].port
            own[0].kill(), own[1].kill(), own[2].kill()
            await soon(lambda: not server._links)
            with pytest.raises(StoreFailure, match="connection refused"):
                await server.mend()


async def test_nodes_that_know_of_no_slots_or_hang_are_told(monkeypatch):
    monkeypatch.setattr(cluster_module, "DIAL", 0.05)
    with ValkeyServer("cluster-enabled yes", f"cluster-port {free_port()}") as server:
        place = f"127.0.0.1:{server.port}"
        with pytest.raises(StoreFailure, match=f"^{place}: knows of no slots$"):
            async with connected(f"valkey+cluster://{place}"):
                pass
        server.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))
        async with connected(f"valkey+cluster://{place}") as nodes:
            nodes._stale = True
            server.pause()
            assert str(await failure(nodes.mend())) == f"{place}: no answer"
            server.resume()
            await nodes.mend()


async def test_a_server_that_is_no_cluster_is_told(server):
    with pytest.raises(StoreFailure, match="ERR This instance has cluster support disabled"):
        async with connected(f"valkey+cluster://127.0.0.1:{server.port}"):
            pass


def test_a_link_that_is_closed_twice_is_lost_once():
    async def close() -> list[Link]:
        lost: list[Link] = []
        link = Link(Place("a", 1), 1.0, lost.append)
        link.close()
        link.close()
        return lost

    assert len(asyncio.run(close())) == 1
