"""The whole program: in this process where a test looks inside, as a process of its own where signals matter."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from authz.app import serve
from authz.app.commands import serve as command
from authz.app.settings import configuration
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.errors import SettingsError
from authz.state.memory import MemoryStore

CHECK = "/envoy.service.auth.v3.Authorization/Check"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
NOT_SERVING = b"\x08\x02"
ALLOW = "version: 1\nserver: bank\ntools:\n  get_value: allow\n"
DENY = "version: 1\nserver: bank\ntools:\n  get_value: deny\n"
LIMITED = "version: 1\nserver: bank\ntools:\n  get_value: {action: allow, rate_limit: {max: 2, window: 60}}\n"


def check(tool: str = "get_value", body: bytes | None = None) -> bytes:
    """A CheckRequest for a call of `tool`."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
    body = json.dumps(call).encode() if body is None else body
    request = pb.CheckRequest()
    request.attributes.source.address.socket_address.address = "192.0.2.7"
    request.attributes.context_extensions["mcp_server"] = "bank"
    http_ = request.attributes.request.http
    http_.method, http_.path, http_.host, http_.raw_body, http_.size = "POST", "/mcp", "bank.example", body, len(body)
    http_.headers.update({"content-type": "application/json", "accept": "application/json, text/event-stream"})
    return request.SerializeToString()


def allowed(answer: bytes) -> bool:
    response = pb.CheckResponse.FromString(answer)
    assert response.HasField("status")
    return response.status.code == 0


# ------------------------------------------------------------------------------------------------- in this process


@pytest.fixture
def settings(policies, tmp_path):
    def load(**flags):
        root = policies({"bank.yaml": ALLOW})
        given = {"policies": str(root), "listen": [f"unix:{tmp_path}/a.sock"], "admin": "127.0.0.1:0", "audit": "none"}
        return configuration.load({**given, **flags}, {})

    return load


@contextlib.asynccontextmanager
async def running(settings):
    """A running service, the lines it said and a channel to it."""
    said: asyncio.Queue[str] = asyncio.Queue()
    service = serve.Service(settings, *serve.load(settings))
    task = asyncio.create_task(service.run(said.put_nowait))
    line = asyncio.create_task(said.get())
    await asyncio.wait((task, line), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        line.cancel()
        await task
    async with grpc.aio.insecure_channel(str(settings.listen[0])) as channel:
        try:
            yield service, line.result(), channel
        finally:
            service.stop()
            await asyncio.wait_for(task, 10)


async def get(line: str, path: str) -> tuple[int, str]:
    address = line.split("admin ")[1].split(",")[0]

    def ask() -> tuple[int, str]:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def soon(ask, holds) -> None:
    """Ask until the answer holds."""
    async with asyncio.timeout(5):
        while not holds(await ask()):
            await asyncio.sleep(0.01)


async def test_the_ready_line_says_where_and_what(settings, tmp_path):
    async with running(settings()) as (_, line, _):
        head, _, revision = line.rpartition(", revision ")
        assert head.startswith(f"mcp-authz ready: listening on unix:{tmp_path}/a.sock, admin 127.0.0.1:")
        assert head.endswith(", 1 policy")
        assert len(revision) == 12


async def test_calls_are_decided_and_health_and_operators_are_answered(settings):
    async with running(settings()) as (_, line, channel):
        assert allowed(await channel.unary_unary(CHECK)(check()))
        assert not allowed(await channel.unary_unary(CHECK)(check("other")))
        assert await channel.unary_unary(HEALTH)(b"") == SERVING
        assert await get(line, "/livez") == (200, "alive\n")
        status, text = await get(line, "/readyz")
        assert status == 200
        assert text.startswith("ready, revision ")
        status, text = await get(line, "/policy")
        assert json.loads(text)["servers"] == {"bank": {"file": "bank.yaml", "state": "in force"}}
        status, text = await get(line, "/metrics")
        assert 'mcp_authz_decisions_total{effect="allow",reason="allowed",server="bank",tool="get_value"} 1.0' in text
        assert "mcp_authz_calls_in_flight 0.0" in text


async def test_garbage_gets_a_denial_and_not_an_rpc_error(settings):
    async with running(settings()) as (_, _, channel):
        assert not allowed(await channel.unary_unary(CHECK)(b"\xff\xff"))
        assert not allowed(await channel.unary_unary(CHECK)(b""))
        assert not allowed(await channel.unary_unary(CHECK)(check(body=b"x" * (5 << 20))))


async def test_counters_survive_a_reload(settings, policies):
    given = settings()
    policies({"bank.yaml": LIMITED})
    async with running(given) as (service, _, channel):
        call = channel.unary_unary(CHECK)
        assert [allowed(await call(check())) for _ in range(2)] == [True, True]
        policies({"bank.yaml": LIMITED + "  another: allow\n"})
        service.reload()
        await soon(lambda: call(check("another")), allowed)
        assert not allowed(await call(check()))


async def test_what_is_degraded_is_ready_and_says_what_is_wrong(settings, policies):
    given = settings()
    policies({"shop.yaml": "version: 1\ntols: {}\n"})
    async with running(given) as (_, line, channel):
        assert line.endswith(", degraded (1 problem)")
        assert allowed(await channel.unary_unary(CHECK)(check()))
        status, text = await get(line, "/readyz")
        assert status == 200
        assert text.splitlines()[0].startswith("ready but degraded, revision ")
        assert text.splitlines()[1].startswith("shop.yaml:2:1: tols: ")
        assert json.loads((await get(line, "/policy"))[1])["servers"]["shop"] == {"file": "", "state": "broken"}
        assert 'mcp_authz_policy_load_problems{file="shop.yaml"} 1.0' in (await get(line, "/metrics"))[1]


async def test_a_call_in_flight_is_answered_while_the_service_drains(settings, policies, monkeypatch):
    given = settings(timeout="30s")
    policies({"bank.yaml": LIMITED})
    arrived, go = asyncio.Event(), asyncio.Event()
    real = MemoryStore.discharge

    async def slow(self, attempt):
        arrived.set()
        await go.wait()
        return await real(self, attempt)

    monkeypatch.setattr(MemoryStore, "discharge", slow)
    async with running(given) as (service, line, channel):
        call = asyncio.ensure_future(channel.unary_unary(CHECK)(check()))
        await arrived.wait()
        service.stop()
        await soon(lambda: get(line, "/readyz"), lambda answer: answer == (503, "draining\n"))
        assert not call.done()
        go.set()
        assert allowed(await call)


async def test_told_twice_to_stop_it_waits_no_longer(settings, policies, monkeypatch):
    given = settings(timeout="30s", drain="60s")
    policies({"bank.yaml": LIMITED})
    arrived = asyncio.Event()

    async def never(self, attempt):
        arrived.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(MemoryStore, "discharge", never)
    async with running(given) as (service, _, channel):
        call = asyncio.ensure_future(channel.unary_unary(CHECK)(check()))
        await arrived.wait()
        service.stop()
        await asyncio.sleep(0)
        service.stop()
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def test_a_decision_that_takes_too_long_is_denied_before_the_proxy_gives_up(settings, policies, monkeypatch):
    given = settings(timeout="1ms")
    policies({"bank.yaml": LIMITED})

    async def never(self, attempt):
        await asyncio.Event().wait()

    monkeypatch.setattr(MemoryStore, "discharge", never)
    async with running(given) as (_, line, channel):
        response = pb.CheckResponse.FromString(await channel.unary_unary(CHECK)(check()))
        assert response.denied_response.status.code == 503
        assert 'reason="busy"' in (await get(line, "/metrics"))[1]


async def test_without_an_admin_address_nobody_listens_for_operators(settings):
    async with running(settings(admin="none")) as (_, line, channel):
        assert ", admin none, " in line
        assert allowed(await channel.unary_unary(CHECK)(check()))


async def test_a_second_service_does_not_take_the_socket_of_one_that_lives(settings):
    given = settings()
    async with running(given):
        with pytest.raises(SettingsError, match=r"got one that another process answers on$"):
            async with running(given):
                pass


async def test_records_go_to_the_audit_file_and_reopen_with_a_reload(settings, tmp_path):
    path = tmp_path / "audit.jsonl"
    async with running(settings(audit=str(path))) as (service, _, channel):
        assert allowed(await channel.unary_unary(CHECK)(check()))
        await soon(lambda: asyncio.to_thread(path.read_bytes), bool)
        path.rename(tmp_path / "audit.1")
        service.reload()
        await soon(lambda: asyncio.to_thread(path.exists), bool)
        assert not allowed(await channel.unary_unary(CHECK)(check("other")))
    assert json.loads((tmp_path / "audit.1").read_text())["effect"] == "allow"
    assert json.loads(path.read_text())["effect"] == "deny"


async def test_what_must_be_recorded_and_cannot_is_denied(settings):
    async with running(settings(audit="/dev/full", audit_required=True)) as (_, _, channel):
        await soon(lambda: channel.unary_unary(CHECK)(check()), lambda answer: not allowed(answer))
        assert not allowed(await channel.unary_unary(CHECK)(check()))


def test_the_command_gives_2_where_policies_or_addresses_cannot_be_used(settings, policies, tmp_path, capfd):
    given = settings(listen=["192.0.2.1:1"], plaintext_ok=True)
    assert command.run(given) == 2
    assert "listen: 192.0.2.1:1: expected an address of this machine, got another" in capfd.readouterr().err
    policies({"bank.yaml": "version: 1\ntols: {}\n"})
    assert command.run(given) == 2
    assert [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()] == [
        "bank.yaml:2:1: tols: unknown key 'tols', did you mean 'tools'?",
        "not started: the policies cannot be used",
    ]


def test_the_command_gives_0_once_it_was_told_to_stop(settings, monkeypatch, capfd):
    monkeypatch.setattr(command, "say_on_stdout", lambda line: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    assert command.run(settings()) == 0
    messages = [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()]
    assert messages[-2:] == ["draining: calls in flight have 5 s", "stopped"]


def test_memory_that_lasts_is_frozen_and_full_collections_end(monkeypatch):
    calls = []
    monkeypatch.setattr(gc, "set_threshold", lambda *thresholds: calls.append(thresholds))
    monkeypatch.setattr(gc, "collect", lambda generation: calls.append(generation))
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("freeze"))
    with serve.loading():
        assert calls == [serve.COLLECT]
    assert calls == [serve.COLLECT, 1, "freeze"]


# --------------------------------------------------------------------------------------------- a process of its own


class Process:
    """`mcp-authz serve` on a unix socket, with what it printed."""

    def __init__(self, directory: Path, root: Path, *flags: str) -> None:
        self.socket = directory / "b.sock"
        self.log = directory / "stderr"
        argv = [sys.executable, "-m", "authz.app.cli", "serve", "--policies", str(root), "--admin", "127.0.0.1:0"]
        argv += ["--listen", f"unix:{self.socket}", *flags]
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=stderr, text=True)  # noqa: S603
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline()

    def call(self, data: bytes, method: str = CHECK) -> bytes:
        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            answer: bytes = channel.unary_unary(method)(data, timeout=10, wait_for_ready=True)
            return answer

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.communicate(timeout=20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.communicate()
        return self.process.returncode


@pytest.fixture
def start(tmp_path) -> Iterator:
    started: list[Process] = []

    def run(root: Path, *flags: str) -> Process:
        started.append(Process(tmp_path, root, *flags))
        return started[-1]

    yield run
    for process in started:
        process.end()


def within(seconds: float, holds) -> float:
    """Seconds until `holds()`; fails after `seconds`."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_process_serves_and_ends_with_0_on_sigterm_and_removes_its_socket(start, policies):
    process = start(policies({"bank.yaml": ALLOW}), "--audit", "none")
    assert process.ready.startswith("mcp-authz ready: listening on unix:")
    assert process.socket.stat().st_mode & 0o777 == 0o660
    assert allowed(process.call(check()))
    assert process.call(b"", HEALTH) == SERVING
    assert process.end() == 0
    assert not process.socket.exists()


def test_an_edit_is_in_force_within_two_seconds_and_sighup_at_once(start, policies):
    process = start(policies({"bank.yaml": ALLOW}), "--audit", "none")
    assert allowed(process.call(check()))
    policies({"bank.yaml": DENY})
    assert within(2, lambda: not allowed(process.call(check()))) < 2
    policies({"bank.yaml": ALLOW})
    process.process.send_signal(signal.SIGHUP)
    within(2, lambda: allowed(process.call(check())))


def test_the_swap_of_a_config_map_is_in_force_within_two_seconds(start, config_map):
    process = start(config_map({"bank.yaml": ALLOW}), "--audit", "none")
    assert allowed(process.call(check()))
    config_map({"bank.yaml": DENY})
    within(2, lambda: not allowed(process.call(check())))


def test_a_mistake_and_an_emptied_directory_keep_what_was_in_force(start, policies):
    root = policies({"bank.yaml": DENY})
    process = start(root, "--audit", "none", "--log-format", "text")
    policies({"bank.yaml": "version: 1\ntols: {}\n"})
    within(3, lambda: "bank.yaml:2:1: tols: " in process.log.read_text())
    assert not allowed(process.call(check()))
    policies({"bank.yaml": None})
    within(3, lambda: f"{root}: expected policy files (*.yaml), got none" in process.log.read_text())
    assert not allowed(process.call(check()))
    policies({"bank.yaml": ALLOW})
    within(3, lambda: allowed(process.call(check())))


def test_a_policy_that_anybody_may_write_is_refused(start, policies):
    root = policies({"bank.yaml": ALLOW})
    (root / "bank.yaml").chmod(0o666)
    process = start(root)
    assert process.end() == 2
    assert process.ready == ""
    assert "bank.yaml: may be written by anybody (mode 0666)" in process.log.read_text()


def test_a_stale_socket_is_replaced(start, policies, tmp_path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "b.sock"))
    process = start(policies({"bank.yaml": ALLOW}), "--audit", "none")
    assert allowed(process.call(check()))


def test_settings_that_cannot_be_used_are_all_listed_with_exit_code_2(start, policies):
    process = start(policies({"bank.yaml": ALLOW}), "--sessions", "0", "--drain", "x")
    assert process.end() == 2
    assert process.log.read_text().splitlines() == [
        "--drain: expected a duration from 0s to 600s (such as 150ms or 5s), got 'x'",
        "--sessions: expected a whole number from 1 to 10000, got '0'",
    ]


def test_settings_of_a_page_that_is_not_there_start_nothing(start, policies):
    process = start(policies({"bank.yaml": ALLOW}), "--webhook-url", "https://hooks.example/x", "--approvers", "a.yaml")
    assert process.end() == 2
    assert [json.loads(line)["message"] for line in process.log.read_text().splitlines()] == [
        "approvers: expected approvals (where the page listens) beside it, got none",
        "webhook_url: expected approvals, or approvals_url where the page is another process's",
        "webhook_secret: expected one where webhook_format is generic, got nothing",
    ]


def test_where_the_page_is_another_processs_the_webhook_is_told_of_what_is_filed_here(start, policies):
    got: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as hook:
        threading.Thread(target=hook.serve_forever).start()
        process = start(
            policies({"bank.yaml": DENY.replace(": deny", ": require_approval")}),
            *("--webhook-url", f"http://127.0.0.1:{hook.server_port}/x", "--webhook-format", "slack"),
            *("--approvals-url", "https://approvals.example", "--audit", "none"),
        )
        assert "approvals https://approvals.example," in process.ready
        assert not allowed(process.call(check()))
        process.process.send_signal(signal.SIGTERM)  # what is on its way is sent first
        assert process.end() == 0
        hook.shutdown()
    (told,) = got
    assert "https://approvals.example/requests/" in json.dumps(told)


def test_sigterm_leaves_no_call_without_an_answer(start, policies):
    process = start(policies({"bank.yaml": ALLOW}), "--audit", "none")

    async def load() -> list[bytes]:
        async with grpc.aio.insecure_channel(f"unix:{process.socket}") as channel:
            call = channel.unary_unary(CHECK)
            await call(check())
            calls = [asyncio.ensure_future(call(check(), timeout=10)) for _ in range(200)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            process.process.send_signal(signal.SIGTERM)
            return await asyncio.gather(*calls)

    assert all(allowed(answer) for answer in asyncio.run(load()))
    assert process.end() == 0


def test_a_reader_of_stdout_that_has_gone_ends_nothing(policies, tmp_path):
    root = policies({"bank.yaml": ALLOW})
    reader, writer = os.pipe()
    os.close(reader)
    path = tmp_path / "c.sock"
    argv = [sys.executable, "-m", "authz.app.cli", "serve", "--policies", str(root), "--admin", "none"]
    with subprocess.Popen(  # noqa: S603
        [*argv, "--listen", f"unix:{path}", "--audit", "none"], stdout=writer, stderr=subprocess.DEVNULL
    ) as process:
        os.close(writer)
        try:
            with grpc.insecure_channel(f"unix:{path}") as channel:
                assert allowed(channel.unary_unary(CHECK)(check(), timeout=10, wait_for_ready=True))
        finally:
            process.terminate()
    assert process.returncode == 0
