"""A real Prometheus that scrapes a real service and its Envoy, while agents, people and faults keep both busy.

Everything is on loopback, with ports of its own, and ends with the block that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import re
import shutil
import signal
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml
from authority import Authority, write
from tokens import ISSUER, RSA, claims, key_set, token
from upstream import Upstream
from valkey_server import ValkeyServer, free_port

from authz.app.approvals.enrol import add as enrol
from authz.app.demo import calls, stack
from authz.app.demo.calls import ROWS, Approver, Clients
from authz.app.demo.processes import Child, Children
from authz.app.demo.stack import Envoy, Service
from k8s.monitoring.dashboards import RULES

INTERVAL = 1  # seconds between two scrapes
PAUSE = 4  # between two requests for approval: a principal may not file many
TRACE = "0af7651916cd43dd8448eb211c80319c"
SHADOW = """version: 1
server: demo
shadow: true
default: deny
tools: {delete_cache: allow, set_value: allow, start_import_job: allow}
"""
IDENTITY = """identity:
- {{name: corp, from: jwt, issuer: "{issuer}", audience: "https://mcp.example/{{server}}", jwks: "{keys}"}}
"""
BROKEN = "version: 1\nserver: billing\ntools: {pay: alow}\n"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The server's HTTP API."""

    port: int

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer; raises AssertionError with Prometheus' words for a refusal."""
        status, body = stack.get(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(body)
        assert status == 200, answer
        return answer["data"]

    def instant(self, expr: str) -> list[dict[str, Any]]:
        """The series of `expr` now."""
        return self.ask("query", query=expr)["result"]

    def range(self, expr: str, seconds: float) -> list[dict[str, Any]]:
        """The series of `expr` over the last seconds, a point a scrape."""
        end = math.floor(time.time())  # whole seconds: the points of all queries lie below one another
        return self.ask("query_range", query=expr, start=str(end - seconds), end=str(end), step=str(INTERVAL))["result"]

    def until(self, expr: str, within: float = 20.0) -> None:
        """Wait until `expr` has a series; raises AssertionError."""
        deadline = time.monotonic() + within
        while not self.instant(expr):
            assert time.monotonic() < deadline, f"nothing after {within:g} s: {expr}"
            time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Watched:
    """What runs."""

    children: Children
    service: Service
    envoy: Envoy
    store: ValkeyServer
    approver: Approver
    policies: Path
    audit: Path
    prometheus: Prometheus

    async def traffic(self, seconds: float) -> None:
        """The demo's calls once, then allowed, denied, limited, approved and traced ones for so long; then faults."""
        async with calls.connect(self.envoy.ports["mcp"], self.approver) as clients:
            for row in ROWS:
                if not row.patient:
                    for _ in range(row.repeat):
                        await row.call(clients)
            await self._busy(clients, seconds)
            await self._faults(clients, seconds)
            await self._busy(clients, seconds / 2)
            await self._transfer(clients, 1)
            for _ in range(3):
                await self._knock()
                await asyncio.sleep(INTERVAL)

    async def _busy(self, clients: Clients, seconds: float) -> None:
        plain = [row for row in ROWS if isinstance(row.call, calls.ToolCall) and row.call.tool != "transfer_funds"]
        deadline = time.monotonic() + seconds
        asked = 0.0
        for amount in itertools.count(2):
            if time.monotonic() > deadline:
                return
            for row in plain:
                await row.call(clients)
            await asyncio.to_thread(self._traced)
            if time.monotonic() > asked + PAUSE:
                asked = time.monotonic()
                await self._transfer(clients, amount)
                await self._approve()
                await self._transfer(clients, amount)
            await asyncio.sleep(0.1)

    async def _transfer(self, clients: Clients, amount: int) -> None:
        """A call that needs a person's yes."""
        await calls.ToolCall(calls.Who.LEGACY, "transfer_funds", {"to": "ACME", "amount": amount})(clients)

    async def _approve(self) -> None:
        """A person says yes to all that waits, where the store tells what that is."""
        headers = {"authorization": f"Bearer {self.approver.token}"}
        async with httpx2.AsyncClient(
            base_url=f"{self.approver.url}/api/v1", headers=headers, trust_env=False, timeout=30
        ) as web:
            waiting = (await web.get("/requests")).json().get("requests", ())
            for request in waiting:
                await web.post(f"/requests/{request['id']}/approve", json={"comment": "seen"})

    def _traced(self) -> None:
        """Calls that carry a trace and a token: one that is denied, and one that cannot be read."""
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "mcp-protocol-version": calls.LEGACY}
        now = time.time()
        good = token(claims(aud="https://mcp.example/demo", iat=now, exp=now + 300))
        late = token(claims(aud="https://mcp.example/demo", iat=now - 900, exp=now - 600))
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete_cache", "arguments": {}}}
        text = json.dumps(call).encode()
        for shown, body in ((good, text), (late, text), (good, text.replace(b'"id"', b'"id": 7, "id"'))):
            calls.post(self.envoy.ports["mcp"], body, {**headers, "authorization": f"Bearer {shown}"})

    async def _knock(self) -> None:
        """Somebody whom the approvals page does not know."""
        async with httpx2.AsyncClient(trust_env=False, headers={"authorization": "Bearer nobody"}) as web:
            assert (await web.get(f"{self.approver.url}/api/v1/requests")).status_code == 401

    async def _faults(self, clients: Clients, seconds: float) -> None:
        """A policy with a mistake comes, the shared store goes for a while, and Envoy gets no answer for a second."""
        (self.policies / "billing.yaml").write_text(BROKEN)
        self.service.child.signal(signal.SIGHUP)
        self.store.pause()
        try:
            await self._busy(clients, seconds / 2)
        finally:
            self.store.resume()
        self.service.child.signal(signal.SIGSTOP)
        try:
            await asyncio.gather(*(asyncio.to_thread(self._traced) for _ in range(3)))
        finally:
            self.service.child.signal(signal.SIGCONT)


@contextlib.contextmanager
def watching() -> Iterator[Watched]:
    """Start all of it; Prometheus has scraped both when this gives it."""
    with (
        tempfile.TemporaryDirectory(prefix="watched-", dir="/tmp") as name,
        ValkeyServer() as store,
        contextlib.closing(Upstream()) as webhook,
        Children(Path(name)) as children,
    ):
        policies = Path(name) / "policies"
        policies.mkdir(mode=0o700)
        shutil.copyfile(stack.example_policies() / "demo.yaml", policies / "demo.yaml")
        (policies / "demo-next.yaml").write_text(SHADOW)
        audit, approvers = Path(name) / "audit.jsonl", Path(name) / "approvers.yaml"
        token = enrol(approvers, "carol", ["payments"], "")
        files = write(Path(name) / "tls", Authority().pair("mcp-authz"), Authority().cert)
        tls = [part for option, path in files.items() for part in (f"--{option.replace('_', '-')}", str(path))]
        keys, settings = Path(name) / "keys.json", Path(name) / "settings.yaml"
        keys.write_bytes(key_set(RSA))
        settings.write_text(IDENTITY.format(issuer=ISSUER, keys=keys))
        service = stack.start_service(
            children,
            policies,
            *(
                "--timeout",
                "1.5s",
                "--config",
                str(settings),
                "--listen",
                f"{stack.LOOPBACK}:0",
                *tls,
                "--callers",
                "CN=envoy",
            ),
            *("--audit", str(audit), "--state", store.url, "--approvals", f"{stack.LOOPBACK}:0"),
            *("--approvers", str(approvers), "--approve-unidentified", "--webhook-format", "slack"),
            *("--webhook-url", f"http://{stack.LOOPBACK}:{webhook.port}/hook"),
        )
        envoy = stack.start_envoy(children, _patient(stack.configure(stack.start_server(children), service.socket)))
        prometheus = _prometheus(
            children, {"mcp-authz": (service.admin, "/metrics"), "envoy": (envoy.admin, "/stats/prometheus")}
        )
        approver = Approver(service.approvals, token)
        prometheus.until("mcp_authz_build_info and on () envoy_http_ext_authz_ok")
        yield Watched(children, service, envoy, store, approver, policies, audit, prometheus)


def _patient(configuration: dict[str, Any]) -> dict[str, Any]:
    """With a longer wait for the service: what is too late on a busy machine is answered 503, and clients give up."""
    (listener,) = configuration["static_resources"]["listeners"]
    for one in stack.connection_manager(listener)["http_filters"]:
        if one["name"] == "envoy.filters.http.ext_authz":
            one["typed_config"]["grpc_service"]["timeout"] = "2s"
    return configuration


def _prometheus(children: Children, jobs: Mapping[str, tuple[int, str]]) -> Prometheus:
    scrapes = [
        {"job_name": job, "metrics_path": path, "static_configs": [{"targets": [f"{stack.LOOPBACK}:{port}"]}]}
        for job, (port, path) in jobs.items()
    ]
    every = f"{INTERVAL}s"
    configuration = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(RULES)],
        "scrape_configs": scrapes,
    }
    file = children.directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(configuration))
    port = free_port()
    command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={children.directory / 'tsdb'}"]
    command += [f"--web.listen-address={stack.LOOPBACK}:{port}", "--enable-feature=exemplar-storage"]
    child: Child = children.start("prometheus", command)
    child.until(lambda: stack.get(port, "/-/ready")[0] == 200, 60)
    return Prometheus(port)


def asked(board: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The title and each query of every panel of a dashboard's JSON."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target


def filled(expr: str, interval: str = "10s") -> str:
    """A query with the dashboard's variables set to All, as Grafana fills them in."""
    text = expr.replace("$__rate_interval", interval)
    text = re.sub(r"\$(job|server)\b", ".*", text)
    assert "$" not in text, text
    return text
