"""The text of a catalogue file -> `Catalog`, or every problem in it with its place.

Read as strictly as a policy, but that `null` is a value in what the server itself wrote. It reads no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from authz.errors import PolicyError, Problem
from authz.policy.catalog.entry import Catalog, CatalogItem, CatalogTool, Category, Risk
from authz.policy.text import schema
from authz.policy.text.document import Document, Path, parse

FOLDER = "catalog"
SCHEMA = "catalog_schema.json"
_SERVERS_OWN = ("annotations", "input_schema")  # of a tool: JSON as the server sent it


def is_catalog(file: str) -> bool:
    """Whether `file`, a place relative to the directory, is a catalogue: `catalog/X.yaml` or `TEAM/catalog/X.yaml`."""
    folder = file.rpartition("/")[0]
    return folder == FOLDER or (folder.count("/") == 1 and folder.endswith(f"/{FOLDER}"))


def server_of(file: str, given: object = None) -> str:
    """The server a catalogue is for: what it says, else its stem; in a team's folder, always below the team's name."""
    path = PurePosixPath(file)
    name = given if isinstance(given, str) and given else path.stem
    team = path.parent.parent.name if path.parent.name == FOLDER else ""
    return name if not team or name.startswith(f"{team}/") else f"{team}/{name}"


def parse_catalog(text: bytes, file: str) -> Catalog:
    """The catalogue in `text`; raises PolicyError with every problem. `file` is its place relative to the directory."""
    document = parse(text, file, nullable=_is_servers_own)
    problems = sorted([*document.problems, *schema.check(document, SCHEMA), *_globs(document)])
    if problems:
        raise PolicyError(problems)
    raw: dict[str, Any] = document.value
    return Catalog(
        server=server_of(file, raw.get("server")),
        title=raw.get("title", ""),
        source=raw.get("source", {}),
        protocol=raw.get("protocol", ""),
        tools={name: _tool(name, one) for name, one in raw.get("tools", {}).items()},
        prompts=_items(raw.get("prompts", {})),
        resources=_items(raw.get("resources", {})),
        resource_templates=_items(raw.get("resource_templates", {})),
    )


def _globs(document: Document) -> Iterator[Problem]:
    """Tools that a policy could not name: a rule that was made for one of them would be for others too."""
    tools = document.value.get("tools") if isinstance(document.value, dict) else None
    for name in tools if isinstance(tools, dict) else ():
        if "*" in name:
            text = "a tool's name cannot have a *: in a policy it stands for any characters"
            yield document.problem(("tools", name), text)


def _is_servers_own(path: Path) -> bool:
    return len(path) > 3 and path[0] == "tools" and path[2] in _SERVERS_OWN


def _tool(name: str, raw: Mapping[str, Any]) -> CatalogTool:
    confidence = raw.get("confidence")
    return CatalogTool(
        name=name,
        categories=tuple(Category(one) for one in raw["categories"]),
        risk=Risk(raw["risk"]),
        title=raw.get("title", ""),
        description=raw.get("description", ""),
        why=raw.get("why", ""),
        confidence=None if confidence is None else float(confidence),
        evidence=tuple(raw.get("evidence", ())),
        reviewed=raw.get("reviewed", False),
        annotations=raw.get("annotations", {}),
        input_schema=raw.get("input_schema"),
        digest=raw.get("digest", ""),
        recommended=raw.get("recommended"),
    )


def _items(raw: Mapping[str, Mapping[str, Any]]) -> dict[str, CatalogItem]:
    return {
        key: CatalogItem(
            key,
            name=one.get("name", ""),
            title=one.get("title", ""),
            description=one.get("description", ""),
            mime_type=one.get("mime_type", ""),
        )
        for key, one in raw.items()
    }
