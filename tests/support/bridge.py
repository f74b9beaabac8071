"""A server of the catalogue, brought from standard input and output to HTTP by mcp-proxy (`make test` installs it)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from authz.app.demo.processes import Children

ROOT = Path(__file__).parents[2]
SERVERS = ROOT / ".venv-servers" / "bin"
SERVERS_OF_1X = ROOT / ".venv-mcp1" / "bin"
BRIDGE = SERVERS_OF_1X / "mcp-proxy"
_RUNNING = re.compile(r"running on http://127\.0\.0\.1:([0-9]+)")


def start(children: Children, name: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Start the bridge and the server behind it; gives its port, where /mcp is."""
    variables = [word for pair in environment.items() for word in ("--env", *pair)]
    child = children.start(name, [str(BRIDGE), "--port", "0", *variables, "--", *command])
    child.until(lambda: _RUNNING.search(child.errors.read_text()), seconds=60.0)
    found = _RUNNING.search(child.errors.read_text())
    return int(found[1]) if found else 0
