"""A catalogue -> what a decision needs of it, with the server's hints made cautious.

Hints are the server's own words: they may raise a risk, never lower it (policies/README.md, Catalogue).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authz.model import NO_TOOLS, UNKNOWN_TOOL, KnownTool, KnownTools
from authz.names import fold
from authz.policy.catalog.entry import HINTS, Catalog, CatalogTool, Category
from authz.policy.catalog.strict import StrictSchema


def known_tools(catalog: Catalog | None) -> KnownTools:
    """What decisions need of `catalog`; nothing where there is none."""
    if catalog is None or not catalog.tools:
        return NO_TOOLS
    tools = {name: _known(tool) for name, tool in catalog.tools.items()}
    return KnownTools(tools, frozenset(map(fold, tools)))


def is_twin(known: KnownTools, name: str) -> bool:
    """Whether `name` is no tool of the catalogue but looks like one (policies/README.md 2, `ambiguous_name`)."""
    return bool(known.twins) and name not in known.tools and fold(name) in known.twins


def _known(tool: CatalogTool) -> KnownTool:
    return KnownTool(
        categories=tuple(category.value for category in tool.categories),
        risk=tool.risk.value,
        annotations=_cautious(tool),
        schema=None if tool.input_schema is None else StrictSchema(tool.input_schema),
    )


def _cautious(tool: CatalogTool) -> Mapping[str, Any]:
    """Every hint: what the server said, else MCP's default, else what the categories say where that is worse."""
    hints = dict(UNKNOWN_TOOL.annotations)
    given = {name: tool.annotations[name] for name in HINTS if type(tool.annotations.get(name)) is bool}
    reads_only = set(tool.categories) == {Category.READ}
    hints |= given
    hints["readOnlyHint"] = given.get("readOnlyHint", False) and reads_only
    # The hint means something only where the tool is not read-only.
    destructive = given.get("destructiveHint", not hints["readOnlyHint"])
    hints["destructiveHint"] = destructive or Category.DESTRUCTIVE in tool.categories
    return hints
