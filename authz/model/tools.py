"""What the catalogue knows of a server's tools, as far as a decision needs it: category, risk, hints and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct


class Unfit(Protocol):
    """Why arguments do not fit, in words that no caller chose."""

    @property
    def path(self) -> str:
        """The argument, such as `args.options.force`."""
        ...

    @property
    def accepted(self) -> str:
        """What would be accepted, as a sentence."""
        ...


class InputSchema(Protocol):
    """The input schema of a tool as its server wrote it."""

    def check(self, arguments: Mapping[str, Any]) -> Unfit | None:
        """None if `arguments` fit and have no member that the schema does not name, else why not. Never raises."""
        ...

    def doubt(self, arguments: Mapping[str, Any]) -> Unfit | None:
        """The same for fitting arguments in which a `!` may stand for something else. Never raises."""
        ...


class KnownTool(Struct, frozen=True, gc=False):
    """What is known of one tool: its categories (at least one), its risk, and its annotations with every hint."""

    categories: tuple[str, ...]
    risk: str
    annotations: Mapping[str, Any]
    schema: InputSchema | None = None


class KnownTools(Struct, frozen=True, gc=False):
    """The tools of one server by their exact names; `twins` are these names folded (authz/names.py)."""

    tools: Mapping[str, KnownTool]
    twins: frozenset[str] = frozenset()


NO_TOOLS = KnownTools({})
# Nobody has looked at it, so it counts as what the worst tool is; the hints are what MCP says of absent ones
# (2025-11-25, ToolAnnotations).
UNKNOWN_TOOL = KnownTool(
    ("Unknown",),
    "Critical",
    {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": False,
        "openWorldHint": True,
    },
)
