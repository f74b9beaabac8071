"""Each proxy's way to the service, as its product configures it, before the demo's MCP server; once for each module."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import meshes
import pytest
import tokens
from meshes import Issuer, Mesh

from authz.app.demo import stack
from authz.app.demo.processes import Children
from authz.app.demo.stack import Service

HERE = Path(__file__).parent
_PORT = re.compile(r"127\.0\.0\.1:([0-9]+), admin")

_BY_ACCOUNT = "when: \"principal.namespace == 'agents' && principal.service_account == 'trusted'\""

# What each way has to tell of the server stands in front of the same rules.
POLICIES = {
    "desk": """
identity: corp
tools:
  get_value: {principals: ["*"], action: allow, rate_limit: {name: reads, max: 200, window: 1h, per: principal}}
  set_value:
    principals: ["*"]
    action: allow
    arguments: {properties: {key: {type: string}, ttl: {type: integer}}, required: [key]}
  list_keys: {rules: [{principals: ["scope:GROUPkeys"], action: allow}]}
  delete_cache:
    rules:
      - {principals: ["group:GROUPdba"], action: allow, rate_limit: {name: wipes, max: 200, window: 1h, per: principal}}
      - {action: deny, reason: only for the database team}
""",
    "vault": """
identity: SECOND
tools:
  get_value:
    rules:
      - {WHO, action: allow, rate_limit: {name: opened, max: 200, window: 1h, per: principal}}
""",
    "lab": """
identity: SECOND
tools: {"*": {principals: ["*"], action: allow}}
""",
}


def settings(issuer: Issuer, *second: dict[str, Any]) -> dict[str, Any]:
    """A settings file: tokens of the issuer, and a second source of identity."""
    corp = {"name": "corp", "from": "jwt", "issuer": tokens.ISSUER, "audience": "https://mcp.example/{server}"}
    return {"identity": [{**corp, "jwks": issuer.url}, *second]}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    running = Issuer()
    yield running
    running.close()


@pytest.fixture(scope="module")
def certs(children: Children) -> Path:
    return meshes.certificates(children.directory / "certs")


@pytest.fixture(scope="module")
def published(children: Children) -> Path:
    """The issuer's keys for a proxy's own filter."""
    file = children.directory / "keys.json"
    file.write_bytes(tokens.key_set(tokens.RSA))
    return file


@pytest.fixture(scope="module")
def serving(children: Children, certs: Path) -> Callable[..., tuple[Service, int]]:
    """Starts the service with policies that begin with these lines, by name; gives it and its port for TLS.

    `who` is what the one rule of `vault` asks for.
    """

    def started(
        heads: dict[str, str], config: dict[str, Any], select: str, callers: list[str], who: str = _BY_ACCOUNT
    ) -> tuple[Service, int]:
        directory = children.directory / "policies"
        directory.mkdir(mode=0o700)
        second = next((one["name"] for one in config["identity"][1:]), "corp")
        qualified = "corp/" if len(config["identity"]) > 1 else ""
        for name, head in heads.items():
            rules = POLICIES[name].replace("SECOND", second).replace("GROUP", qualified).replace("WHO", who)
            (directory / f"{name}.yaml").write_text(f"version: 1\nserver: {name}\n{head}\n{rules}")
        file = children.directory / "settings.yaml"
        file.write_text(json.dumps(config))
        own = certs / "authz"
        flags = ["--config", str(file), "--listen", "127.0.0.1:0", "--select-by", select, "--timeout", "2s"]
        flags += ["--tls-cert", str(own / "cert.pem"), "--tls-key", str(own / "key.pem")]
        flags += ["--tls-client-ca", str(own / "ca.pem"), "--audit", str(children.directory / "audit.jsonl")]
        for caller in callers:
            flags += ["--callers", caller]
        service = stack.start_service(children, directory, *flags)
        ready = _PORT.search(service.child.output.read_text())
        assert ready
        return service, int(ready[1])

    return started


@pytest.fixture(scope="module")
def sidecars(
    children: Children, issuer: Issuer, certs: Path, published: Path, serving: Callable[..., tuple[Service, int]]
) -> Mesh:
    """Istio: the sidecars of two MCP servers, and two workloads that speak to them by mTLS."""
    heads = {
        "desk": f"match: [{{destination: '{meshes.DESK}'}}]",
        "vault": f"match: [{{destination: '{meshes.VAULT}'}}]",
        "lab": f"match: [{{destination: '{meshes.LAB}'}}]",
    }
    config = settings(issuer, {"name": "mesh", "from": "peer"})
    service, port = serving(heads, config, "destination", [f"{meshes.DESK}=desk", f"{meshes.VAULT}=vault"])
    server = stack.start_server(children)
    file, given = HERE / "istio_sidecar.yaml", {"certs": certs, "keys": published, "issuer": tokens.ISSUER}
    proxies = {
        name: stack.start_envoy(
            children, meshes.configuration(file, workload=name, server=server, authz=port, **given), name, concurrency=1
        )
        for name in ("desk", "vault")
    }
    doors = {
        f"{name}.{who}": (who, proxy.ports[name], "")
        for name, proxy in proxies.items()
        for who in ("trusted", "intruder")
    }
    hosts = {name: f"{name}.tools.svc.cluster.local" for name in heads}
    return _opened(children, certs, doors, Mesh(service, tuple(proxies.values()), issuer, {}, hosts))


@pytest.fixture(scope="module")
def waypoint(
    children: Children, issuer: Issuer, certs: Path, published: Path, serving: Callable[..., tuple[Service, int]]
) -> Mesh:
    """Istio ambient: one waypoint before two MCP servers, and two workloads that speak to them by HBONE."""
    hosts = {name: f"{name}.tools.svc.cluster.local" for name in ("desk", "vault", "lab")}
    heads = {name: f"match: [{{host: {host}}}]" for name, host in hosts.items()}
    config = settings(issuer, {"name": "mesh", "from": "xfcc", "callers": [meshes.WAYPOINT]})
    service, port = serving(heads, config, "host", [meshes.WAYPOINT])
    server = stack.start_server(children)
    given = {"certs": certs, "keys": published, "issuer": tokens.ISSUER, "server": server, "authz": port}
    proxy = stack.start_envoy(children, meshes.configuration(HERE / "istio_waypoint.yaml", **given), concurrency=1)
    addresses = {"desk": "10.96.0.11:8000", "vault": "10.96.0.12:8000", "plain": "10.96.0.13:8000"}
    doors = {
        f"{name}.{who}": (who, proxy.ports["connect_terminate"], address)
        for name, address in addresses.items()
        for who in ("trusted", "intruder", "double")
    }
    return _opened(children, certs, doors, Mesh(service, (proxy,), issuer, {}, {**hosts, "plain": hosts["vault"]}))


def _opened(children: Children, certs: Path, doors: dict[str, tuple[str, int, str]], mesh: Mesh) -> Mesh:
    outside = stack.start_envoy(children, meshes.workloads(certs, doors), "workloads", concurrency=1)
    opened = {(name.partition(".")[0], name.partition(".")[2]): port for name, port in outside.ports.items()}
    return Mesh(mesh.service, mesh.proxies, mesh.issuer, opened, mesh.hosts)


@pytest.fixture(scope="module")
def filter_order() -> str:
    """Which of Envoy Gateway's filters is the first; a module has a fixture of this name with `jwt_authn`."""
    return "ext_authz"


@pytest.fixture(scope="module")
def gateway(
    children: Children,
    issuer: Issuer,
    certs: Path,
    published: Path,
    serving: Callable[..., tuple[Service, int]],
    filter_order: str,
) -> Mesh:
    """Envoy Gateway before three MCP servers, with `EnvoyProxy.spec.filterOrder` where jwt_authn is to be first."""
    reordered = filter_order == "jwt_authn"
    heads = {"desk": "", "vault": "match: [{route: a/vault}]", "lab": "match: [{route: b/lab}]"}
    by_claims = {"name": "claims", "from": "header", "id": "x-jwt-sub", "groups": "x-jwt-groups"}
    config = settings(issuer, *([by_claims] if reordered else []))
    who = f"principals: [{'claims/' if reordered else ''}alice]"
    service, port = serving(heads, config, "route", ["CN=envoy-gateway"], who)
    server = stack.start_server(children)
    given = {"certs": certs, "keys": published, "issuer": tokens.ISSUER, "server": server, "authz": port}
    found = meshes.configuration(HERE / "envoy_gateway.yaml", **given)
    if reordered:
        (listener,) = found["static_resources"]["listeners"]
        manager = listener["default_filter_chain"]["filters"][0]["typed_config"]
        manager["http_filters"].sort(key=lambda one: one["name"] != "envoy.filters.http.jwt_authn")
        manager["http_filters"].sort(key=lambda one: one["name"] == "envoy.filters.http.router")
    proxy = stack.start_envoy(children, found, concurrency=1)
    (port,) = proxy.ports.values()
    hosts = {name: f"{name}.example" for name in heads}
    return Mesh(service, (proxy,), issuer, {(name, "intruder"): port for name in heads}, hosts)
