"""A real Envoy asks the service by mutual TLS: who may, about which server, and certificates renewed under load."""

from __future__ import annotations

import copy
import json
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority, Pair, write
from upstream import Upstream

from authz.app.demo import stack
from authz.app.demo.processes import Child, Children

BANK = "version: 1\nserver: bank\ntools:\n  get_value: allow\n"
SHOP = "version: 1\nserver: shop\ntools:\n  get_value: allow\n"
PROXY = "spiffe://cluster.local/ns/mesh/sa/proxy"
_PORT = re.compile(r"listening on [^\n]*127\.0\.0\.1:(\d+), admin")
CALL = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_value", "arguments": {}}}
).encode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def tls(children: Children) -> Path:
    return children.directory / "tls"


@pytest.fixture(scope="module")
def service(children: Children, authority: Authority, tls: Path) -> stack.Service:
    policies = children.directory / "policies"
    policies.mkdir(mode=0o700)
    (policies / "bank.yaml").write_text(BANK)
    (policies / "shop.yaml").write_text(SHOP)
    files = write(tls, authority.pair("mcp-authz", dns=["mcp-authz.test"]), authority.cert)
    flags = [part for name, path in files.items() for part in (f"--{name.replace('_', '-')}", str(path))]
    flags += ["--listen", "127.0.0.1:0", "--callers", f"{PROXY}=bank", "--audit", str(children.directory / "audit")]
    return stack.start_service(children, policies, *flags, "--timeout", "2s")


def port_of(child: Child) -> int:
    found = _PORT.search(child.output.read_text())
    assert found is not None
    return int(found[1])


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


def listener_for(listener: dict[str, Any], server: str) -> dict[str, Any]:
    """`listener` with one route, which names `server`, and a longer wait for the service."""
    listener = {**copy.deepcopy(listener), "name": server}
    manager = stack.connection_manager(listener)
    (host,) = manager["route_config"]["virtual_hosts"]
    route = host["routes"][0]
    own = route["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["check_settings"]
    own["context_extensions"] = {"mcp_server": server}
    host["routes"] = [route]
    for one in manager["http_filters"]:
        if one["name"] == "envoy.filters.http.ext_authz":
            one["typed_config"]["grpc_service"]["timeout"] = "3s"
    return listener


def inline(content: bytes) -> dict[str, str]:
    return {"inline_string": content.decode()}


Fronts = Callable[..., stack.Envoy]


@pytest.fixture(scope="module")
def envoy(children: Children, service: stack.Service, upstream: Upstream, authority: Authority) -> Fronts:
    """An Envoy that asks with this certificate; its listeners are `bank` and `shop`."""

    def start(name: str, client: Pair | None, trusted: bytes = authority.cert) -> stack.Envoy:
        (listener,) = stack.template()["static_resources"]["listeners"]
        listeners = [listener_for(listener, server) for server in ("bank", "shop")]
        configuration = stack.configure(upstream.port, service.socket, listeners)
        clusters = {one["name"]: one for one in configuration["static_resources"]["clusters"]}
        cluster = clusters["mcp_authz"]
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["address"] = {"socket_address": {"address": "127.0.0.1", "port_value": port_of(service.child)}}
        context: dict[str, Any] = {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": ["h2"],
            "validation_context": {
                "trusted_ca": inline(trusted),
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "mcp-authz.test"}}],
            },
        }
        if client:
            pair = {"certificate_chain": inline(client.cert), "private_key": inline(client.key)}
            context["tls_certificates"] = [pair]
        typed = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": context,
            "sni": "mcp-authz.test",
        }
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": typed}
        return stack.start_envoy(children, configuration, name=name, concurrency=1)

    return start


def call(port: int) -> tuple[int, dict[str, Any]]:
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/mcp", CALL, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else {"text": text.decode()}


def audited(children: Children, server: str) -> dict[str, Any]:
    """The last record of `server`, once it is written."""
    path = children.directory / "audit"
    for _ in range(100):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found = [line for line in lines if line["server"] == server]
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError(f"no record of {server}")


def metric(service: stack.Service, name: str) -> float:
    _, text = stack.get(service.admin, "/metrics")
    line = next(one for one in text.decode().splitlines() if one.startswith(name))
    return float(line.split()[-1])


def test_a_listed_proxy_asks_about_its_servers_and_no_other(
    children: Children, envoy: Fronts, authority: Authority, upstream: Upstream
) -> None:
    front = envoy("listed", authority.pair(uris=[PROXY]))
    status, answer = call(front.ports["bank"])
    assert (status, "error" in answer) == (200, False)
    status, answer = call(front.ports["shop"])
    assert status == 200
    assert answer["result"]["isError"] is True
    assert answer["result"]["content"][0]["text"].startswith("Denied: no policy governs this server.")
    record = audited(children, "shop")
    assert (record["reason"], record["rule"], record["caller"]) == ("no_policy", "callers", PROXY)


def test_a_proxy_that_is_not_listed_lets_nothing_through(
    envoy: Fronts, authority: Authority, service: stack.Service
) -> None:
    before = metric(service, "mcp_authz_refused_callers_total")
    front = envoy("unlisted", authority.pair(uris=[PROXY + "-2"]))
    status, answer = call(front.ports["bank"])
    assert (status, answer["error"]["message"]) == (403, "Denied: no policy governs this proxy.")
    assert metric(service, "mcp_authz_refused_callers_total") == before + 1


@pytest.mark.parametrize("which", ["none", "foreign", "expired"])
def test_a_proxy_without_a_good_certificate_lets_nothing_through(
    which: str, envoy: Fronts, authority: Authority
) -> None:
    client = {
        "none": None,
        "foreign": Authority().pair(uris=[PROXY]),
        "expired": authority.pair(uris=[PROXY], hours=-1),
    }[which]
    status, _ = call(envoy(which, client).ports["bank"])
    assert status == 503  # Envoy's own answer where it could not ask (`status_on_error`)


def test_a_service_with_a_certificate_of_another_authority_is_not_asked(envoy: Fronts, authority: Authority) -> None:
    front = envoy("careful", authority.pair(uris=[PROXY]), Authority().cert)
    assert call(front.ports["bank"])[0] == 503


def handshake(service: stack.Service, authority: Path, client: Path, version: ssl.TLSVersion) -> str:
    """The version that was agreed on, or why none was."""
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(client)
    with socket.create_connection(("127.0.0.1", port_of(service.child)), 10) as connection:
        try:
            with context.wrap_socket(connection, server_hostname="mcp-authz.test") as secured:
                return str(secured.version())
        except (ssl.SSLError, ConnectionError):
            return "refused"


def test_tls_1_2_is_refused_unless_a_setting_lets_it_in(
    children: Children, service: stack.Service, authority: Authority, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A service that ran in this very process before has set it, and a child would inherit it.
    monkeypatch.delenv("GRPC_SSL_CIPHER_SUITES", raising=False)
    pair = authority.pair(uris=[PROXY])
    client, trusted = children.directory / "client.pem", children.directory / "trusted.pem"
    client.write_bytes(pair.cert + pair.key)
    trusted.write_bytes(authority.cert)
    assert handshake(service, trusted, client, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert handshake(service, trusted, client, ssl.TLSVersion.TLSv1_2) == "refused"
    names = {"cert": "tls-cert", "key": "tls-key", "ca": "tls-client-ca"}
    flags = [part for file, flag in names.items() for part in (f"--{flag}", str(tls / f"{file}.pem"))]
    flags += ["--listen", "127.0.0.1:0", "--audit", "none", "--tls-min-version", "1.2"]
    older = stack.start_service(children, children.directory / "policies", *flags, name="older")
    assert handshake(older, trusted, client, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert handshake(older, trusted, client, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


def test_certificates_are_renewed_while_calls_come(
    envoy: Fronts, authority: Authority, service: stack.Service, tls: Path
) -> None:
    front = envoy("busy", authority.pair(uris=[PROXY]))
    port = front.ports["bank"]
    done = threading.Event()
    statuses: list[int] = []

    def calls() -> None:
        while not done.is_set():
            status, answer = call(port)
            statuses.append(status if "error" not in answer else 0)

    threads = [threading.Thread(target=calls) for _ in range(4)]
    for thread in threads:
        thread.start()
    expiry = 'mcp_authz_tls_certificate_expiry_timestamp_seconds{file="tls_cert"}'
    try:
        for hours in (48, 72):
            before = metric(service, expiry)
            write(tls, authority.pair("mcp-authz", dns=["mcp-authz.test"], hours=hours), authority.cert)
            for _ in range(200):
                if metric(service, expiry) > before:
                    break
                done.wait(0.1)
            assert metric(service, expiry) > before
            assert metric(service, "mcp_authz_tls_reload_problem") == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}
    assert service.child.process.poll() is None
