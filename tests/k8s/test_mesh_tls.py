"""mesh-wide-tls and plain-envoy-tls, run: the listed proxy is answered, another one of the same authority is not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority, Pair
from kube_pod import permitted

from authz.app.demo.processes import Children
from tests.k8s.conftest import K8S, one
from tests.k8s.pods import Pods, called
from tests.k8s.test_mesh_wide import HOSTS, MCP, STATE, WRITE, served
from tests.k8s.test_sidecar import post

pytestmark = pytest.mark.skipif(not permitted(), reason="this machine permits no namespaces")
LISTED = "spiffe://cluster.local/ns/mcp-gateway/sa/envoy"


def files(pair: Pair, authority: Authority) -> dict[str, str]:
    """A Secret as cert-manager makes it."""
    return {"tls.crt": pair.cert.decode(), "tls.key": pair.key.decode(), "ca.crt": authority.cert.decode()}


@pytest.fixture
def children() -> Iterator[Children]:
    with tempfile.TemporaryDirectory(prefix="tls-", dir="/tmp") as name, Children(Path(name)) as running:
        Path(name).chmod(0o755)
        yield running


def test_only_the_listed_proxy_is_answered(image: Path, children: Children):
    authority = Authority()
    service = authority.pair("mcp-authz", dns=["mcp-authz.mcp-authz.svc"])
    proxy, other = authority.pair(uris=[LISTED]), authority.pair(uris=[LISTED + "2"])
    pods = Pods(image, children, HOSTS)
    secrets = STATE | {"mcp-authz-tls": files(service, authority), "envoy-tls": files(proxy, authority)}
    valkey = pods.pod("mesh-wide-tls", "StatefulSet", "mcp-authz-valkey", secrets)
    authz = pods.pod("mesh-wide-tls", "Deployment", "mcp-authz", secrets)
    server = pods.pod("sidecar-example", "Deployment", "valkey-mcp")
    envoy = pods.pod("plain-envoy-tls", "Deployment", "mcp-gateway", secrets)
    xds = dict(one("plain-envoy-tls", "ConfigMap", "envoy-xds")["data"])
    xds["cds.yaml"] = xds["cds.yaml"].replace(
        "valkey-mcp.valkey-mcp.svc, port_value: 80}", "127.0.0.1, port_value: 8000}"
    )
    pods.volumes["mcp-gateway", "xds"].write(xds)
    for pod in (valkey, authz):
        pod.start()
    server.start_container("valkey-mcp").until(lambda: pods.network.run(served))
    envoy.start()
    assert called(pods, MCP, "valkey_write", WRITE, path="/valkey/mcp") == "allowed"
    assert called(pods, MCP, "valkey_nothing", {}, path="/valkey/mcp") == "default_denied"
    pods.volumes["mcp-gateway", "tls"].write(files(other, authority))
    envoy.running["envoy"].process.terminate()
    envoy.running["envoy"].process.wait(20)
    envoy.start()
    assert pods.network.run(lambda: post(MCP, "/valkey/mcp")) == 403


def test_both_gateways_have_the_same_server_and_settings_but_for_tls():
    plain, tls = ((K8S / each / "cds.yaml").read_text() for each in ("plain-envoy", "plain-envoy-tls"))
    assert tls.startswith(plain.rstrip())
