"""A connected client -> all that its server lists, within bounds; what is beyond them is told, not kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp import Client, MCPError
from mcp.types import METHOD_NOT_FOUND

from authz.app.catalog.words import visible
from authz.policy.catalog.definition import Definition
from authz.policy.catalog.entry import CatalogItem

MAX_PAGES = 100  # of one list; servers use pages of 10 to 100
MAX_LISTED = 5_000  # entries of one list; the largest servers known have some hundred tools


@dataclass(slots=True)
class Found:
    """What a server lists. `notes` say what was left out and why."""

    name: str = ""
    title: str = ""
    version: str = ""
    protocol: str = ""
    tools: list[Definition] = field(default_factory=list)
    prompts: list[CatalogItem] = field(default_factory=list)
    resources: list[CatalogItem] = field(default_factory=list)
    resource_templates: list[CatalogItem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def read_all(client: Client) -> Found:
    """Read the server's four lists; one that it does not give is empty. Raises MCPError where it gives no tools."""
    info = client.server_info
    found = Found(protocol=str(client.protocol_version))
    if info is not None:
        found.name, found.title, found.version = info.name, info.title or "", info.version
    has = client.server_capabilities
    if has is None or has.tools is not None:
        tools = await _pages(client.list_tools, "tools", "tools", found)
        found.tools = [_definition(raw) for raw in tools]
    if has is None or has.prompts is not None:
        found.prompts = [_item(raw, "name") for raw in await _pages(client.list_prompts, "prompts", "prompts", found)]
    if has is None or has.resources is not None:
        listed = await _pages(client.list_resources, "resources", "resources", found)
        found.resources = [_item(raw, "uri") for raw in listed]
        listed = await _pages(client.list_resource_templates, "resourceTemplates", "resource templates", found)
        found.resource_templates = [_item(raw, "uriTemplate") for raw in listed]
    return found


async def _pages(
    ask: Callable[..., Awaitable[Any]], member: str, what: str, found: Found
) -> Sequence[Mapping[str, Any]]:
    listed: list[Mapping[str, Any]] = []
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        try:
            page = await ask(cursor=cursor)
        except MCPError as error:
            if what == "tools":
                raise
            if error.error.code != METHOD_NOT_FOUND:  # some ask a database first, which need not be there
                found.notes.append(f"its list of {what} is not to be had: {visible(error.error.message, 200)}")
            return listed
        raw = page.model_dump(by_alias=True, mode="json", exclude_none=True)
        listed += raw[member]
        if len(listed) > MAX_LISTED:
            found.notes.append(f"lists more than {MAX_LISTED} {what}: the first of them are kept")
            return listed[:MAX_LISTED]
        cursor = page.next_cursor
        if not cursor:
            return listed
        if cursor in seen:
            found.notes.append(f"its list of {what} comes round to a page that was read: what follows is left out")
            return listed
        seen.add(cursor)
    found.notes.append(f"its list of {what} has more than {MAX_PAGES} pages: the first are kept")
    return listed


def _definition(raw: Mapping[str, Any]) -> Definition:
    return Definition(
        raw["name"],
        raw.get("title", ""),
        raw.get("description", ""),
        raw.get("annotations", {}),
        raw.get("inputSchema", {}),
    )


def _item(raw: Mapping[str, Any], key: str) -> CatalogItem:
    name = "" if key == "name" else raw.get("name", "")
    return CatalogItem(str(raw[key]), name, raw.get("title", ""), raw.get("description", ""), raw.get("mimeType", ""))
