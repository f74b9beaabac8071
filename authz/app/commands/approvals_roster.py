"""`mcp-authz approvers add|list|remove`: who may approve, in a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from authz.app.approvals import enrol, roster
from authz.app.approvals.visible import visible


def run_add(file: Path, name: str, groups: Sequence[str], claim: str) -> int:
    """Add an approver. The token is all there is on stdout, for a pipe; raises SettingsError."""
    token = enrol.add(file, name, groups, claim)
    print(f"{file}: {name} added; this is the token, which is shown this once:", file=sys.stderr)
    print(token)
    return 0


def run_list(file: Path, *, as_json: bool) -> int:
    """List the approvers, without what is kept of their tokens; raises SettingsError."""
    named = roster.read(file)
    if as_json:
        found = [{"name": one.name, "groups": sorted(one.groups), "claim": one.claim} for one in named]
        print(json.dumps({"approvers": found}, indent=2))
        return 0
    table = Table("name", "groups", "claim", box=None)
    for one in named:
        table.add_row(*(Text(visible(text)) for text in (one.name, ", ".join(sorted(one.groups)), one.claim)))
    Console().print(table)
    return 0


def run_remove(file: Path, name: str) -> int:
    """Remove an approver; raises SettingsError where there is none."""
    enrol.remove(file, name)
    print(f"{file}: {name} removed", file=sys.stderr)
    return 0
