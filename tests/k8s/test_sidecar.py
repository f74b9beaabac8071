"""The sidecar example as it is built, run: its Envoy, service and policies, with real MCP traffic, until its end."""

from __future__ import annotations

import asyncio
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml
from kube_cluster import LOOPBACK
from kube_pod import POD_IP, Pod, permitted

from authz.app.demo import stack
from authz.app.demo.processes import Children
from tests.k8s.conftest import container, one, pod_of
from tests.k8s.pods import Pods, call, called

pytestmark = pytest.mark.skipif(not permitted(), reason="this machine permits no namespaces")
MCP, OPERATORS = 10000, 9902
WRITE = {"command": "SET", "args": ["app:a", "1"]}


class Running:
    """A pod of the example."""

    def __init__(self, image: Path, children: Children) -> None:
        self.pods = Pods(image, children)
        self.pod: Pod = self.pods.pod("sidecar-example", "Deployment", "valkey-mcp")

    def call(self, tool: str, arguments: dict, **how: str) -> str:
        return called(self.pods, MCP, tool, arguments, **how)

    def ready(self) -> dict[str, bool]:
        """What kubelet finds."""
        found = {}
        for name in self.pod.running:
            try:
                found[name] = self.pod.probe(name, "readinessProbe")
            except OSError:
                found[name] = False
        return found


@pytest.fixture
def children() -> Iterator[Children]:
    with tempfile.TemporaryDirectory(prefix="pod-", dir="/tmp") as name, Children(Path(name)) as running:
        Path(name).chmod(0o755)
        yield running


@pytest.fixture
def sidecar(image: Path, children: Children) -> Running:
    running = Running(image, children)
    running.pod.start()
    return running


def until(what, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not so within its time"
        time.sleep(0.1)


def test_the_filters_are_those_of_the_tested_configuration():
    """One configuration is measured, attacked and run in the other tests; this one may not drift away from it."""
    words = container(pod_of(one("sidecar-example", "Deployment", "valkey-mcp")), "envoy")["args"]
    ours = yaml.safe_load(words[words.index("--config-yaml") + 1])["static_resources"]
    theirs = stack.template()["static_resources"]
    mine, base = (stack.connection_manager(each["listeners"][0]) for each in (ours, theirs))
    for part in ("http_filters", "local_reply_config", "access_log", "common_http_protocol_options"):
        assert mine[part] == base[part]
    assert {key for key in base if key not in mine} == set()


def test_agents_get_what_the_policy_of_the_configmap_says(sidecar: Running):
    assert sidecar.pod.order == ["mcp-authz", "envoy", "valkey-mcp"]
    until(lambda: all(sidecar.ready().values()))
    assert sidecar.ready() == {"mcp-authz": True, "envoy": True, "valkey-mcp": True}
    for mode in ("auto", "legacy"):
        assert sidecar.call("valkey_write", WRITE, mode=mode) == "allowed"
        assert sidecar.call("valkey_read", {"command": "GET", "args": ["a"]}, mode=mode) == "allowed"
        assert (
            sidecar.call("valkey_write", {"command": "SET", "args": ["sys:a", "1"]}, mode=mode) == "requirement_failed"
        )
        assert (
            sidecar.call("valkey_write", {"command": "FLUSHALL", "args": ["app:a"]}, mode=mode) == "arguments_invalid"
        )
        assert sidecar.call("valkey_admin", {"command": "FLUSHALL"}, mode=mode) == "approval_required"
        assert sidecar.call("valkey_nothing", {}, mode=mode) == "default_denied"
    # The SDK of the server refuses this Host; Envoy writes another.
    assert sidecar.call("valkey_write", WRITE, host="valkey.mcp.example") == "allowed"
    inside = sidecar.pods.network.run
    for port in (8000, 9901):  # the server and Envoy's admin interface listen on loopback alone
        with pytest.raises(ConnectionRefusedError):
            inside(lambda port=port: httpx_get(f"http://{POD_IP}:{port}/"))
    assert inside(lambda: httpx_get(f"http://{POD_IP}:{OPERATORS}/quitquitquit")) == 404
    assert inside(lambda: httpx_get(f"http://{POD_IP}:{OPERATORS}/stats/prometheus")) == 200
    (socket,) = sidecar.pod._volumes["mcp-authz-socket"].iterdir()
    status = socket.stat()
    assert (stat.S_ISSOCK(status.st_mode), stat.S_IMODE(status.st_mode)) == (True, 0o660)
    assert (status.st_uid, status.st_gid) == (65532, 65532)
    users = {name: uid_of(child.pid) for name, child in sidecar.pod.running.items()}
    assert users == {"mcp-authz": 65532, "envoy": 65533, "valkey-mcp": 65534}


def uid_of(pid: int) -> int:
    (line,) = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("Uid:")]
    (capabilities,) = [
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("CapEff:")
    ]
    assert int(capabilities.split()[1], 16) == 0
    return int(line.split()[1])


def httpx_get(url: str) -> int:
    try:
        return httpx2.get(url, trust_env=False).status_code
    except httpx2.ConnectError as error:
        raise ConnectionRefusedError(str(error)) from error


def test_a_changed_configmap_is_in_force_without_a_restart(sidecar: Running):
    assert sidecar.call("valkey_write", WRITE) == "allowed"
    volume = sidecar.pods.volumes["valkey-mcp", "mcp-authz-policies"]
    files = dict(one("sidecar-example", "ConfigMap", "mcp-authz-policies")["data"])
    files["awslabs-valkey.yaml"] = "version: 1\nserver: awslabs-valkey\ndefault: deny\ntools: {valkey_read: allow}\n"
    volume.write(files)
    until(lambda: sidecar.call("valkey_write", WRITE) == "default_denied")
    assert sidecar.call("valkey_read", {"command": "GET", "args": ["a"]}) == "allowed"
    files["awslabs-valkey.yaml"] += "tolls: {}\n"  # does not load: the last good version stays
    volume.write(files)
    time.sleep(3)
    assert sidecar.call("valkey_read", {"command": "GET", "args": ["a"]}) == "allowed"
    assert sidecar.call("valkey_write", WRITE) == "default_denied"
    assert sidecar.ready()["mcp-authz"], "a mistake in a policy takes no pod out of service"


def test_what_dies_denies_and_comes_back(sidecar: Running):
    until(lambda: all(sidecar.ready().values()))
    kill(sidecar, "mcp-authz")
    assert sidecar.pods.network.run(lambda: post(MCP)) == 503
    until(lambda: not sidecar.ready()["envoy"])
    sidecar.pod.start_container("mcp-authz")
    sidecar.pod.wait_for_startup("mcp-authz")
    until(lambda: sidecar.pods.network.run(lambda: post(MCP)) == 200)
    until(lambda: all(sidecar.ready().values()))
    kill(sidecar, "valkey-mcp")
    until(lambda: not sidecar.ready()["valkey-mcp"])
    assert sidecar.ready()["mcp-authz"]
    assert sidecar.pods.network.run(lambda: post(MCP)) == 503
    sidecar.pod.start_container("valkey-mcp")
    sidecar.pod.wait_for_startup("valkey-mcp")
    until(lambda: all(sidecar.ready().values()))
    assert sidecar.call("valkey_write", WRITE) == "allowed"


def kill(sidecar: Running, name: str) -> None:
    sidecar.pod.running[name].process.kill()
    sidecar.pod.running[name].process.wait()


def post(port: int, path: str = "/mcp") -> int:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "valkey_write", "arguments": WRITE}}
    body["params"]["_meta"] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2026-07-28"}
    headers |= {"mcp-method": "tools/call", "mcp-name": "valkey_write"}
    try:
        return httpx2.post(f"http://{LOOPBACK}:{port}{path}", json=body, headers=headers, trust_env=False).status_code
    except httpx2.TransportError:
        return 0


def test_an_end_drops_no_call(sidecar: Running):
    """Proxies learn of it within some seconds; until then calls come, and the last of them are answered."""
    until(lambda: all(sidecar.ready().values()))
    sleep = container(pod_of(one("sidecar-example", "Deployment", "valkey-mcp")), "valkey-mcp")["lifecycle"]["preStop"][
        "sleep"
    ]["seconds"]
    seen: list[str] = []
    stop = threading.Event()

    async def agent() -> None:
        while not stop.is_set():
            seen.append(await call(MCP, "valkey_read", {"command": "GET", "args": ["a"]}))
            await asyncio.sleep(0.05)

    calls = threading.Thread(target=lambda: sidecar.pods.network.run(lambda: asyncio.run(agent())))
    calls.start()
    timer = threading.Timer(sleep - 1, stop.set)  # the last proxy has learnt of it
    timer.start()
    sidecar.pod.end()
    calls.join()
    timer.join()
    assert len(seen) > 20
    assert set(seen) == {"allowed"}
    codes = {name: child.process.returncode for name, child in sidecar.pod.running.items()}
    assert codes.pop("valkey-mcp") in (0, -15)  # the stand-in's web server ends itself by the signal that it got
    assert codes == {"mcp-authz": 0, "envoy": 0}
