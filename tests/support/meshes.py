"""A mesh for tests: the proxies of tests/e2e/meshes, workloads before them, an issuer of tokens, and what came back.

Every workload speaks through a listener of its own, which has its certificate and passes on whatever it says.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from typing import Any

import tokens
import yaml
from authority import Authority, write
from joserfc.jwk import RSAKey

from authz.app.demo import stack
from authz.app.demo.stack import Envoy, Service
from authz.mcp.wording import DECISION_KEY

TRUST = "spiffe://cluster.local/ns/{}/sa/{}"
TRUSTED, INTRUDER = TRUST.format("agents", "trusted"), TRUST.format("agents", "intruder")
DESK, VAULT, LAB = (TRUST.format("tools", name) for name in ("desk", "vault", "lab"))
WAYPOINT, AUTHZ = TRUST.format("tools", "waypoint"), TRUST.format("mcp-authz", "mcp-authz")
_NAMES = {
    "desk": [DESK],
    "vault": [VAULT],
    "waypoint": [WAYPOINT],
    "trusted": [TRUSTED],
    "intruder": [INTRUDER],
    "double": [INTRUDER, TRUSTED],  # which no mesh issues (X509-SVID, 2)
}


class Issuer:
    """Publishes one RSA key over HTTP until `close`; `fetched` counts how often somebody asked for it."""

    def __init__(self) -> None:
        self.fetched = 0
        published = tokens.key_set(tokens.RSA)
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetched += 1
                self.send_response(200)
                self.send_header("content-length", str(len(published)))
                self.end_headers()
                self.wfile.write(published)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def token(sub: str = "alice", server: str = "desk", key: RSAKey = tokens.RSA, **more: Any) -> str:
    """A token of the issuer that is good now, unless `more` (claims, `head`) says otherwise. Alice is in dba."""
    now = time.time()
    known = {"sub": sub, "aud": f"https://mcp.example/{server}", "exp": now + 600, "iat": now}
    groups = {"groups": ["dba"] if sub == "alice" else []}
    return tokens.token(key=key, **{**known, **groups, **more})


def certificates(directory: Path) -> Path:
    """`NAME/{cert,key,ca}.pem` for every workload, the service (`authz`) and Envoy Gateway (`gateway`)."""
    mesh = Authority("mesh")
    directory.mkdir()
    for name, uris in _NAMES.items():
        write(directory / name, mesh.pair(uris=uris), mesh.cert)
    write(directory / "authz", mesh.pair(uris=[AUTHZ], dns=["mcp-authz.mcp-authz.svc"]), mesh.cert)
    write(directory / "gateway", mesh.pair("envoy-gateway"), mesh.cert)
    return directory


def configuration(file: Path, **values: object) -> dict[str, Any]:
    """An Envoy configuration of tests/e2e/meshes with these values in place of its `${NAME}`."""
    found: dict[str, Any] = yaml.safe_load(
        Template(file.read_text()).substitute({k: str(v) for k, v in values.items()})
    )
    return found


def workloads(certs: Path, doors: Mapping[str, tuple[str, int, str]]) -> dict[str, Any]:
    """An Envoy that is the way out of the workloads of a mesh.

    Of each door: who speaks, the port of the proxy there, and the address that it tunnels to by HBONE ("": plain TLS).
    """
    listeners = [_door(name, tunnel) for name, (_, _, tunnel) in doors.items()]
    clusters = [_way(certs / who, name, port, tunnel) for name, (who, port, tunnel) in doors.items()]
    address = {"socket_address": {"address": stack.LOOPBACK, "port_value": 0}}
    return {"admin": {"address": address}, "static_resources": {"listeners": listeners, "clusters": clusters}}


def _door(name: str, tunnel: str) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    proxy = {"@type": kind, "stat_prefix": name, "cluster": name}
    if tunnel:
        proxy |= {"tunneling_config": {"hostname": tunnel}}
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
    address = {"socket_address": {"address": stack.LOOPBACK, "port_value": 0}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def _way(certs: Path, name: str, port: int, tunnel: str) -> dict[str, Any]:
    own = {
        "certificate_chain": {"filename": str(certs / "cert.pem")},
        "private_key": {"filename": str(certs / "key.pem")},
    }
    common = {
        "alpn_protocols": ["h2" if tunnel else "http/1.1"],
        "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [own],
        "validation_context": {"trusted_ca": {"filename": str(certs / "ca.pem")}},
    }
    tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    address = {"socket_address": {"address": stack.LOOPBACK, "port_value": port}}
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": tls, "common_tls_context": common},
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if tunnel:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got. `reason` is the service's word in the body, "" where another denied or nobody did."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        message = json.loads(self.body) if self.headers.get("content-type", "").startswith("application/json") else {}
        said = message.get("error", {}).get("data") or message.get("result", {}).get("_meta", {})
        return str(said.get(DECISION_KEY, said).get("reason", ""))

    @property
    def challenge(self) -> str:
        return self.headers.get("www-authenticate", "")


@dataclass(frozen=True, slots=True)
class Mesh:
    """Proxies before the demo's MCP server. `doors` are ports by server and workload, `hosts` the names of servers."""

    service: Service
    proxies: Sequence[Envoy]
    issuer: Issuer
    doors: Mapping[tuple[str, str], int]
    hosts: Mapping[str, str]

    def call(
        self,
        tool: str = "get_value",
        arguments: Mapping[str, Any] | None = None,
        *,
        server: str = "desk",
        workload: str = "intruder",
        bearer: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Answer:
        """One `tools/call` from `workload` to `server`; `headers` may be whatever a client can write, Host too."""
        params = {"name": tool, "arguments": {"key": "app:a"} if arguments is None else arguments}
        text = body or json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}).encode()
        connection = http.client.HTTPConnection(stack.LOOPBACK, self.doors[server, workload], timeout=20)
        try:
            connection.putrequest("POST", "/mcp", skip_host=True, skip_accept_encoding=True)
            if "host" not in dict(headers):
                connection.putheader("host", self.hosts[server])
            for name, value in headers:
                connection.putheader(name, value)
            if bearer:
                connection.putheader("authorization", f"Bearer {bearer}")
            connection.putheader("content-type", "application/json")
            connection.putheader("accept", "application/json, text/event-stream")
            connection.putheader("mcp-protocol-version", "2025-06-18")
            connection.putheader("content-length", str(len(text)))
            connection.endheaders(text)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def counters(self) -> dict[tuple[str, str, str], float]:
        """By server, limit and whose it is, what is used of each counter."""
        status, text = stack.get(self.service.admin, "/api/limits")
        assert status == 200
        found = json.loads(text)
        assert found["complete"]
        return {(one["server"], one["limit"], one["who"]): one["used"] for one in found["counters"]}

    def reached(self) -> int:
        """How many requests the MCP servers got."""
        return sum(_served(proxy) for proxy in self.proxies)

    def metric(self, name: str) -> float:
        """The sum of a metric of the service over all of its labels."""
        lines = stack.get(self.service.admin, "/metrics")[1].decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def _served(proxy: Envoy) -> int:
    lines = stack.get(proxy.admin, "/stats?filter=upstream_rq_total")[1].decode().splitlines()
    return sum(
        int(line.rpartition(": ")[2]) for line in lines if "mcp-authz" not in line and "main_internal" not in line
    )
