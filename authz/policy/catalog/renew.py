"""An old catalogue and a new scan -> the catalogue to keep, and what has changed on the server since.

What a person has reviewed stays as the person left it; what the server says is always the newest.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from authz.policy.catalog.entry import Catalog, CatalogItem, CatalogTool


class Kind(enum.StrEnum):
    """What can happen to something between two scans."""

    NEW = "new"
    GONE = "gone"
    DESCRIPTION = "changed description"
    SCHEMA = "changed schema"
    ANNOTATIONS = "changed annotations"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `what` is `tool`, `prompt`, `resource` or `resource template`, `name` its name or URI.

    `reviewed`: a person has judged the tool as it was, and should look again.
    """

    kind: Kind
    what: str
    name: str
    reviewed: bool = False


def renew(old: Catalog | None, new: Catalog) -> tuple[Catalog, tuple[Change, ...]]:
    """The catalogue after a scan found `new`, and the changes since `old`; without an old one there are none."""
    if old is None:
        return new, ()
    tools = {name: _kept(old.tools.get(name), tool) for name, tool in new.tools.items()}
    kept = dataclasses.replace(
        new, title=old.title or new.title, source={**new.source, **_own_words(old, new)}, tools=tools
    )
    return kept, tuple(_changes(old, new))


def _own_words(old: Catalog, new: Catalog) -> Mapping[str, str]:
    """What of the source the scan does not know and somebody wrote."""
    return {key: value for key, value in old.source.items() if key not in new.source}


def _kept(old: CatalogTool | None, new: CatalogTool) -> CatalogTool:
    if old is None or not old.reviewed:
        return new
    return dataclasses.replace(
        new,
        categories=old.categories,
        risk=old.risk,
        why=old.why,
        confidence=old.confidence,
        evidence=old.evidence,
        recommended=old.recommended,
        reviewed=True,
    )


def _changes(old: Catalog, new: Catalog) -> Iterator[Change]:
    for name, tool in new.tools.items():
        before = old.tools.get(name)
        if before is None:
            yield Change(Kind.NEW, "tool", name)
        else:
            yield from _of_tool(before, tool)
    for name, before in old.tools.items():
        if name not in new.tools:
            yield Change(Kind.GONE, "tool", name, before.reviewed)
    yield from _of_items("prompt", old.prompts, new.prompts)
    yield from _of_items("resource", old.resources, new.resources)
    yield from _of_items("resource template", old.resource_templates, new.resource_templates)


def _of_tool(old: CatalogTool, new: CatalogTool) -> Iterator[Change]:
    found = []
    if (old.title, old.description) != (new.title, new.description):
        found.append(Kind.DESCRIPTION)
    if old.input_schema != new.input_schema:
        found.append(Kind.SCHEMA)
    if dict(old.annotations) != dict(new.annotations):
        found.append(Kind.ANNOTATIONS)
    if not found and old.digest and old.digest != new.digest:  # in what the file does not hold
        found.append(Kind.SCHEMA)
    for kind in found:
        yield Change(kind, "tool", new.name, old.reviewed)


def _of_items(what: str, old: Mapping[str, CatalogItem], new: Mapping[str, CatalogItem]) -> Iterator[Change]:
    for key, item in new.items():
        if key not in old:
            yield Change(Kind.NEW, what, key)
        elif old[key] != item:
            yield Change(Kind.DESCRIPTION, what, key)
    for key in old:
        if key not in new:
            yield Change(Kind.GONE, what, key)
