"""`mcp-authz catalog show SERVER [TOOL]`: what is known of a server's tools, and the rule that one needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from authz.app.catalog.files import all_catalogs, read_catalog
from authz.app.catalog.page import show, tool_page
from authz.app.demo.stack import example_policies
from authz.errors import SettingsError
from authz.policy.catalog.entry import Catalog, CatalogTool
from authz.policy.text.suggestion import did_you_mean

_WIDTH = 160  # columns where there is no terminal


def run(policies: Path | None, server: str | None, tool: str | None, *, as_json: bool) -> int:
    """Print the catalogue of `server`, the page of one tool, or which servers there are; 0, or AuthzError.

    `policies` is the directory of policies; without one the catalogues that ship with the program are shown.
    """
    directory = policies or example_policies()
    if server is None:
        _servers(directory, as_json=as_json)
        return 0
    catalog = read_catalog(directory, server)
    if catalog is None:
        known = [one.server for one in all_catalogs(directory)]
        raise SettingsError(f"{directory}: no catalogue of {server!r}{did_you_mean(server, known) or _list(known)}")
    if tool is None:
        if as_json:
            print(json.dumps(_server_data(catalog), indent=2))
        else:
            show(console(), catalog)
        return 0
    found = catalog.tools.get(tool)
    if found is None:
        raise SettingsError(f"{server}: no tool {tool!r} in its catalogue{did_you_mean(tool, list(catalog.tools))}")
    print(json.dumps(_tool_data(found), indent=2) if as_json else tool_page(catalog, found), end="\n" * as_json)
    return 0


def console() -> Console:
    """The terminal, or lines of a fixed width."""
    shown = Console(highlight=False)
    return shown if shown.is_terminal else Console(highlight=False, width=_WIDTH, file=sys.stdout)


def _servers(directory: Path, *, as_json: bool) -> None:
    catalogs = list(all_catalogs(directory))
    if as_json:
        print(json.dumps([{"server": one.server, "title": one.title, "tools": len(one.tools)} for one in catalogs]))
        return
    from authz.app.catalog.page import summary

    for one in catalogs:
        print(f"{one.server}: {summary(one)}")


def _list(known: list[str]) -> str:
    return f"; there are {', '.join(known)}" if known else "; there is none: make one with `mcp-authz scan`"


def _server_data(catalog: Catalog) -> dict[str, Any]:
    return {
        "server": catalog.server,
        "title": catalog.title,
        "source": dict(catalog.source),
        "tools": {name: _tool_data(tool) for name, tool in catalog.tools.items()},
    }


def _tool_data(tool: CatalogTool) -> dict[str, Any]:
    return {
        "categories": [category.value for category in tool.categories],
        "risk": tool.risk.value,
        "why": tool.why,
        "confidence": tool.confidence,
        "evidence": list(tool.evidence),
        "reviewed": tool.reviewed,
        "description": tool.description,
        "recommended": tool.recommended,
    }
