"""The mesh-wide service with its Valkey, a plain Envoy before it and the approvals page, run as they are built."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from kube_pod import POD_IP, Pod, permitted

from authz.app.demo.processes import Children
from tests.k8s.conftest import K8S, one
from tests.k8s.pods import Pods, called

pytestmark = pytest.mark.skipif(not permitted(), reason="this machine permits no namespaces")
MCP = 10000
HOSTS = {  # what the cluster's name server would say
    "mcp-authz.mcp-authz.svc": "127.0.0.3",
    "mcp-authz-valkey.mcp-authz.svc": "127.0.0.4",
    "valkey-mcp.valkey-mcp.svc": "127.0.0.1",
}
PASSWORD = "made-up-and-long-enough"
STATE = {"mcp-authz-valkey": {"password": PASSWORD, "auth.conf": f"requirepass {PASSWORD}\n"}}
WRITE = {"command": "SET", "args": ["app:a", "1"]}


class Mesh:
    """One of each pod."""

    def __init__(self, image: Path, children: Children) -> None:
        self.pods = Pods(image, children, HOSTS)
        self.valkey: Pod = self.pods.pod("mesh-wide", "StatefulSet", "mcp-authz-valkey", STATE)
        self.authz: Pod = self.pods.pod("mesh-wide", "Deployment", "mcp-authz", STATE)
        self.envoy: Pod = self.pods.pod("plain-envoy", "Deployment", "mcp-gateway")
        self.server: Pod = self.pods.pod("sidecar-example", "Deployment", "valkey-mcp")

    def start(self) -> None:
        self.valkey.start()
        self.authz.start()
        self.server.start_container("valkey-mcp").until(lambda: self.pods.network.run(served))
        self.envoy.start()

    def call(self, tool: str, arguments: dict) -> str:
        return called(self.pods, MCP, tool, arguments, path="/valkey/mcp")

    def metrics(self) -> dict[str, float]:
        text = self.pods.network.run(lambda: httpx2.get(f"http://{POD_IP}:9464/metrics", trust_env=False).text)
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}


@pytest.fixture(scope="module")
def mesh(image: Path) -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory(prefix="mesh-", dir="/tmp") as name, Children(Path(name)) as running:
        Path(name).chmod(0o755)
        made = Mesh(image, running)
        # The server of the sidecar example listens on port 8000; the cluster of cds.yaml asks the Service's 80.
        made.pods.volumes["mcp-gateway", "xds"].write(one_server(80, 8000))
        made.start()
        yield made


def served() -> bool:
    """Whether the server takes connections; raises OSError while it does not."""
    return socket.create_connection(("127.0.0.1", 8000), timeout=1).close() is None


def one_server(old: int, new: int, **more: str) -> dict[str, str]:
    files = dict(one("plain-envoy", "ConfigMap", "envoy-xds")["data"])
    text = f"address: valkey-mcp.valkey-mcp.svc, port_value: {old}"
    assert text in files["cds.yaml"]
    files["cds.yaml"] = files["cds.yaml"].replace(text, text.replace(str(old), str(new)))
    return files | more


def until(what, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not so within its time"
        time.sleep(0.1)


def test_agents_get_what_the_policy_says_and_valkey_counts(mesh: Mesh):
    for pod, name in ((mesh.authz, "mcp-authz"), (mesh.valkey, "valkey"), (mesh.envoy, "envoy")):
        assert pod.probe(name, "readinessProbe")
        assert pod.probe(name, "livenessProbe")
    assert mesh.call("valkey_write", WRITE) == "allowed"
    assert mesh.call("valkey_write", {"command": "SET", "args": ["sys:a", "1"]}) == "requirement_failed"
    assert mesh.call("valkey_nothing", {}) == "default_denied"
    assert mesh.metrics()["mcp_authz_store_up"] == 1
    got = [mesh.call("valkey_write", WRITE) for _ in range(30)]  # of 30 in any minute one is gone
    assert got == ["allowed"] * 29 + ["rate_limited"]


def test_counters_survive_a_restart_of_the_service(mesh: Mesh):
    until(lambda: mesh.call("valkey_write", WRITE) == "rate_limited")
    mesh.authz.running["mcp-authz"].process.terminate()
    assert mesh.authz.running["mcp-authz"].process.wait(20) == 0
    mesh.authz.start()
    until(lambda: mesh.call("valkey_read", {"command": "GET", "args": ["a"]}) == "allowed")
    assert mesh.call("valkey_write", WRITE) == "rate_limited"


def test_the_service_goes_on_while_valkey_is_away(mesh: Mesh):
    mesh.valkey.running["valkey"].process.terminate()
    assert mesh.valkey.running["valkey"].process.wait(20) == 0
    until(lambda: mesh.metrics()["mcp_authz_store_up"] == 0)
    assert mesh.call("valkey_read", {"command": "GET", "args": ["a"]}) == "allowed"
    assert mesh.call("valkey_admin", {"command": "FLUSHALL"}) == "state_unavailable"
    assert mesh.authz.probe("mcp-authz", "readinessProbe")
    mesh.valkey.start()
    until(lambda: mesh.metrics()["mcp_authz_store_up"] == 1)
    assert mesh.call("valkey_admin", {"command": "FLUSHALL"}) == "approval_required"


def test_a_changed_xds_file_is_in_force_without_a_restart(mesh: Mesh):
    files = one_server(80, 8000)
    changed = files["lds.yaml"].replace("path: /valkey/mcp", "path: /other/mcp")
    assert changed != files["lds.yaml"]
    mesh.pods.volumes["mcp-gateway", "xds"].write(files | {"lds.yaml": changed})
    read = {"command": "GET", "args": ["a"]}
    until(lambda: status(mesh, "/valkey/mcp") == 404)
    assert called(mesh.pods, MCP, "valkey_read", read, path="/other/mcp") == "allowed"
    mesh.pods.volumes["mcp-gateway", "xds"].write(files)
    until(lambda: status(mesh, "/other/mcp") == 404)
    assert mesh.call("valkey_read", read) == "allowed"


def status(mesh: Mesh, path: str) -> int:
    return mesh.pods.network.run(lambda: httpx2.get(f"http://{POD_IP}:{MCP}{path}", trust_env=False).status_code)


def test_a_person_approves_on_a_page_that_is_a_pod_of_its_own(mesh: Mesh, image: Path):
    """The page shares nothing with who asked but Valkey."""
    with tempfile.TemporaryDirectory(prefix="page-", dir="/tmp") as name, Children(Path(name)) as running:
        Path(name).chmod(0o755)
        token, people = approver(Path(name))
        secrets = STATE | {"mcp-authz-people": {"approvers.yaml": people, "session-key": "k" * 64}}
        beside = Pods(image, running, HOSTS)
        beside.network = mesh.pods.network
        page = beside.pod(together(Path(name)), "Deployment", "mcp-authz-approvals", secrets)
        command = {"command": "CONFIG SET"}
        assert mesh.call("valkey_admin", command) == "approval_required"
        stopped(mesh.authz)  # both pods would have the admin port of the one network that they share here
        page.start()
        person = {"authorization": f"Bearer {token}", "host": "approvals.example"}
        waiting = mesh.pods.network.run(lambda: api("GET", "requests", person))["requests"]
        whole = [
            mesh.pods.network.run(lambda one=each: api("GET", f"requests/{one['id']}", person)) for each in waiting
        ]
        (request,) = [each["id"] for each in whole if "CONFIG SET" in json.dumps(each)]
        mesh.pods.network.run(lambda: api("POST", f"requests/{request}/deny", person))
        stopped(page)
        mesh.authz.start()
        until(lambda: mesh.call("valkey_read", {"command": "GET", "args": ["a"]}) == "allowed")
        assert mesh.call("valkey_admin", command) == "approval_denied"


def stopped(pod: Pod) -> None:
    pod.running["mcp-authz"].process.terminate()
    assert pod.running["mcp-authz"].process.wait(20) == 0


def approver(directory: Path) -> tuple[str, str]:
    """A token, and the approvers file that knows its bearer."""
    file = directory / "approvers.yaml"
    command = [sys.executable, "-m", "authz.app.cli", "approvers", "add", "carol", "--file", str(file)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (token,) = [word for word in said.split() if word.startswith("mcpa_")]
    return token, file.read_text()


def together(directory: Path) -> Path:
    """The page with the ConfigMaps of the base, which it shares: kustomize needs both to be in one place."""
    folder = directory / "overlay"
    folder.mkdir()
    resources = [os.path.relpath(K8S / each, folder.resolve()) for each in ("approvals", "base")]
    (folder / "kustomization.yaml").write_text(json.dumps({"kind": "Kustomization", "resources": resources}))
    return folder


def api(method: str, path: str, headers: dict[str, str]) -> dict:
    answer = httpx2.request(
        method,
        f"http://{POD_IP}:9465/api/v1/{path}",
        headers=headers,
        json={} if method == "POST" else None,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    found: dict = answer.json()
    return found
