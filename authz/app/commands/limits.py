"""`mcp-authz limits` and `mcp-authz limits reset`: what a running service counts -> a terminal, or JSON.

What is shown is never read as markup or as control sequences.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from authz.app.admin.token import read_sendable, read_token
from authz.app.approvals.wording import duration
from authz.app.commands.approvals_client import Refused, Unreachable
from authz.app.commands.limits_client import Client
from authz.app.phrases import counted
from authz.app.settings.settings import Settings
from authz.app.settings.values import Secret

_PIPED = 240  # columns where nobody looks at a terminal: a line stays a line for grep


def client(
    settings: Settings, environ: Mapping[str, str], *, admin: str, token_file: Path | None, to_change: bool
) -> Client:
    """A client of `admin`, "" for the service's own setting, with the token of the file.

    `to_change`: without a file, that of `admin_token`. Raises Unreachable or SettingsError.
    """
    if not admin:
        if settings.admin is None:
            raise Unreachable("--admin: expected where the service's operators ask, for the setting admin is none")
        admin = str(settings.admin)
    token = b""
    if token_file is not None:
        token = read_sendable("--token-file", Secret(path=str(token_file)), environ)
    elif to_change:
        token = read_token(settings, environ)
    return Client(admin, token)


def run_list(asked: Client, query: Mapping[str, str], *, as_json: bool) -> int:
    """Print the counters; 1 where the service refused the query."""
    found = asked.limits(query)
    if isinstance(found, Refused):
        return _refused(found, as_json=as_json)
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    counters = found["counters"]
    table = Table("server", "limit", "who", box=None)
    for number in ("used", "max", "resets in"):
        table.add_column(number, justify="right", no_wrap=True)
    for one in counters:
        table.add_row(
            *(Text(_plain(one[name]), overflow="fold") for name in ("server", "limit", "who")),
            _number(one["used"]),
            _number(one["max"]),
            "never" if one["resets_in"] is None else duration(one["resets_in"]),
        )
    console = Console() if sys.stdout.isatty() else Console(width=_PIPED)
    console.print(table if counters else Text("nothing is counted now"))
    if not found["complete"]:
        print("there are more: --server, --limit and --most say which and how many", file=sys.stderr)
    return 0


def run_reset(asked: Client, server: str, limit: str, *, as_json: bool) -> int:
    """Forget counters; 1 where the service refused."""
    found = asked.reset(server, limit)
    if isinstance(found, Refused):
        return _refused(found, as_json=as_json)
    if as_json:
        print(json.dumps(found))
    else:
        what = f"limit {_plain(limit)} of {_plain(server)}" if limit else f"all limits of {_plain(server)}"
        print(f"{what}: {counted(int(found['forgotten']), 'counter')} forgotten")
    return 0


def _refused(refused: Refused, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"status": refused.status, "detail": refused.text}))
    else:
        print(_plain(refused.text), file=sys.stderr)
    return 1


def _plain(text: str) -> str:
    """`text` without what moves a cursor; the service has already written out what an agent hid in it."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _number(value: Any) -> str:
    if value is None:
        return "any"
    return str(int(value)) if float(value).is_integer() else f"{value:.12g}"
