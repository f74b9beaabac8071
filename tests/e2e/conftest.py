"""A real Envoy before the service and an MCP server, on loopback ports that the system chooses; once for each module.

Sync fixtures only: what is started here outlives the event loop of a test.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from corpus import POLICIES
from upstream import Upstream

from authz.app.demo import stack
from authz.app.demo.processes import Children
from authz.app.demo.stack import Envoy, Service

HERE = Path(__file__).parent
# Two shared cores: what Envoy and the service allow themselves in production would make the machine the subject.
PATIENCE = ("--timeout", "2s")


@dataclass(frozen=True, slots=True)
class Front:
    """Envoy, the service behind it and what reaches the server."""

    children: Children
    envoy: Envoy
    service: Service
    upstream: Upstream
    audit: Path

    @property
    def port(self) -> int:
        return next(iter(self.envoy.ports.values()))


def patient(configuration: dict[str, Any]) -> dict[str, Any]:
    """`configuration` with a longer wait for the service."""
    for listener in configuration["static_resources"]["listeners"]:
        grpc = _filter(listener, "envoy.filters.http.ext_authz")["grpc_service"]
        grpc["timeout"] = "3s"
    return configuration


def any_path(listener: dict[str, Any], server: str) -> dict[str, Any]:
    """`listener` under the name `server`, with one route for every path that names `server`."""
    listener = copy.deepcopy(listener)
    listener["name"] = server
    (host,) = stack.connection_manager(listener)["route_config"]["virtual_hosts"]
    route = host["routes"][0]
    route["match"] = {"prefix": "/"}
    settings = route["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["check_settings"]
    settings["context_extensions"] = {"mcp_server": server}
    host["routes"] = [route]
    return listener


@pytest.fixture(scope="session")
def before() -> Callable[[int, Path, Sequence[str]], dict[str, Any]]:
    """Envoy's configuration before the server at a port: a listener for each of these policies, all paths to it."""

    def configuration(server: int, authz: Path, names: Sequence[str]) -> dict[str, Any]:
        (listener,) = stack.template()["static_resources"]["listeners"]
        return patient(stack.configure(server, authz, [any_path(listener, name) for name in names]))

    return configuration


def _filter(listener: dict[str, Any], name: str) -> dict[str, Any]:
    filters = stack.connection_manager(listener)["http_filters"]
    return next(one["typed_config"] for one in filters if one["name"] == name)


@pytest.fixture(scope="module")
def transport() -> str:
    """What carries the checks; a module that is about more than verdicts has a fixture of this name with both."""
    return "auto"


@pytest.fixture(scope="module")
def children(transport: str) -> Iterator[Children]:
    """Whatever is started is ended with the module. The directory's path is short: sockets live in it."""
    with tempfile.TemporaryDirectory(prefix=f"e2e-{transport}-", dir="/tmp") as name, Children(Path(name)) as running:
        yield running


@pytest.fixture(scope="module")
def upstream(transport: str) -> Iterator[Upstream]:
    """A server that answers everything and remembers it, for one transport."""
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(scope="module")
def policies(children: Children) -> Callable[[Path], Path]:
    """Copies policy files to a directory that nobody else may write to, as the service wants it."""

    def copied(source: Path) -> Path:
        target = children.directory / "policies"
        target.mkdir(mode=0o700)
        for file in [source] if source.is_file() else source.glob("*.yaml"):
            shutil.copyfile(file, target / file.name)
        return target

    return copied


@pytest.fixture(scope="module")
def recording(children: Children, upstream: Upstream, policies: Callable[[Path], Path], transport: str) -> Front:
    """Envoy with a listener for each policy of the corpus, the service with those policies, and a recording server."""
    audit = children.directory / "audit.jsonl"
    flags = ("--audit", str(audit), "--transport", transport, *PATIENCE)
    service = stack.start_service(children, policies(POLICIES), *flags)
    (listener,) = stack.template()["static_resources"]["listeners"]
    names = sorted(path.stem for path in POLICIES.glob("*.yaml"))
    listeners = [any_path(listener, name) for name in names]
    envoy = stack.start_envoy(children, patient(stack.configure(upstream.port, service.socket, listeners)))
    return Front(children, envoy, service, upstream, audit)


@pytest.fixture(scope="module")
def mcp_front(children: Children, upstream: Upstream, policies: Callable[[Path], Path]) -> Front:
    """Envoy and the service with tests/e2e/policies before the demo's MCP server; `upstream` sees nothing."""
    audit = children.directory / "audit.jsonl"
    server = stack.start_server(children)
    service = stack.start_service(children, policies(HERE / "policies"), "--audit", str(audit), *PATIENCE)
    envoy = stack.start_envoy(children, patient(stack.configure(server, service.socket)))
    return Front(children, envoy, service, upstream, audit)
