"""The program with a shared store: it starts without it, says so, and goes on when it is there."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from valkey_server import ValkeyServer, free_port

from authz.envoy.pb import ext_authz_pb2 as pb

CHECK = "/envoy.service.auth.v3.Authorization/Check"
POLICY = """
version: 1
server: bank
tools:
  get_value: {action: allow, rate_limit: {max: 5, window: 60, per: server}}
  pay: {action: allow, rate_limit: {max: 5, window: 60, on_store_error: deny}}
"""


def check(tool: str) -> bytes:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
    request = pb.CheckRequest()
    request.attributes.source.address.socket_address.address = "192.0.2.7"
    request.attributes.context_extensions["mcp_server"] = "bank"
    http_ = request.attributes.request.http
    http_.method, http_.path, http_.host, http_.raw_body = "POST", "/mcp", "bank.example", json.dumps(call).encode()
    http_.size = len(http_.raw_body)
    http_.headers.update({"content-type": "application/json", "accept": "application/json, text/event-stream"})
    return request.SerializeToString()


class Replica:
    """`mcp-authz serve` as a process."""

    def __init__(self, policies: Path, socket: Path, state: str) -> None:
        flags = ["--policies", policies, "--listen", f"unix:{socket}", "--admin", "127.0.0.1:0", "--state", state]
        command = [sys.executable, "-m", "authz.app.cli", "serve", *map(str, flags), "--audit", "none"]
        # The deadline is one that a busy machine does not miss.
        command += ["--state-timeout", "1s", "--timeout", "2s"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MCP_AUTHZ_")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)  # noqa: S603
        self.socket = socket

    def ready(self) -> str:
        line = self.process.stdout.readline()
        assert line.startswith("mcp-authz ready: ")
        self.admin = line.split("admin ")[1].split(",")[0]
        return line

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection(self.admin, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    async def allowed(self, tool: str, calls: int) -> list[bool]:
        """Of `calls` at once, which passed."""
        async with grpc.aio.insecure_channel(f"unix:{self.socket}") as channel:
            answers = await asyncio.gather(*(channel.unary_unary(CHECK)(check(tool)) for _ in range(calls)))
        return [pb.CheckResponse.FromString(answer).status.code == 0 for answer in answers]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)


@pytest.fixture
def replicas(tmp_path):
    """Start some replicas of one service."""
    (tmp_path / "policies").mkdir(mode=0o755)
    (tmp_path / "policies" / "bank.yaml").write_text(POLICY)
    started: list[Replica] = []

    def start(state: str, number: int = 1) -> list[Replica]:
        started.extend(Replica(tmp_path / "policies", tmp_path / f"{at}.sock", state) for at in range(number))
        for one in started:
            one.ready()
        return started

    yield start
    for one in started:
        one.close()


async def test_a_limit_holds_over_replicas_and_over_restarts(replicas, server):
    server.command("FLUSHALL")
    one, other = replicas(server.url, 2)
    passed = await asyncio.gather(one.allowed("get_value", 20), other.allowed("get_value", 20))
    assert sum(map(sum, passed)) == 5
    one.process.kill()
    assert sum(await other.allowed("get_value", 5)) == 0


async def test_it_starts_without_its_store_says_so_and_goes_on_when_it_is_there(replicas):
    port = free_port()
    (one,) = replicas(f"valkey://127.0.0.1:{port}/0")
    ready = one.get("/readyz").splitlines()
    assert ready[0].startswith("ready but degraded, revision ")
    assert ready[1] == f"state valkey://127.0.0.1:{port}/0: 127.0.0.1:{port}: connection refused"
    state = json.loads(one.get("/policy"))["state"]
    assert (state["up"], state["replicas"]) == (False, None)
    assert "mcp_authz_store_up 0.0" in one.get("/metrics")
    assert sum(await one.allowed("pay", 3)) == 0
    assert sum(await one.allowed("get_value", 8)) == 5
    with ValkeyServer(port=port) as server:
        async with asyncio.timeout(5):
            while one.get("/readyz").startswith("ready but degraded"):
                await asyncio.sleep(0.05)
        assert json.loads(one.get("/policy"))["state"] == {
            "store": f"valkey://127.0.0.1:{port}/0",
            "up": True,
            "problem": "",
            "replicas": 1,
        }
        assert sum(await one.allowed("pay", 8)) == 5
        text = one.get("/metrics")
        assert "mcp_authz_store_up 1.0" in text
        assert 'mcp_authz_store_attempts_total{outcome="shared"} 8.0' in text
        assert 'mcp_authz_store_attempts_total{outcome="local"} 8.0' in text
        assert 'mcp_authz_store_attempts_total{outcome="denied"} 3.0' in text
        # One round trip a call: 8 calls, and what the service does beside them.
        assert server.calls("evalsha") - server.calls("eval") <= 8 + 5


def test_a_password_that_cannot_be_read_is_told_and_nothing_starts(tmp_path, replicas):
    (tmp_path / "policies").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "authz.app.cli", "serve", "--policies", str(tmp_path / "policies")]
    command += ["--listen", f"unix:{tmp_path}/s", "--state", "valkey://db", "--state-password", "file:/no/such/file"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    assert ended.returncode == 2
    assert "state_password: /no/such/file: cannot be read: no such file or directory" in ended.stderr
