"""The catalogue of one server as values: its tools with category and risk, its prompts and its resources.

Values only: reading and writing the file is for `load` and `write`, what follows from them for the compiler.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")  # MCP 2025-11-25, ToolAnnotations
UNKNOWN = "Unknown"  # the category of a tool that the catalogue lacks; no entry can have it

Json: TypeAlias = Mapping[str, Any]


class Category(enum.StrEnum):
    """What a tool does, by what it can do at worst. A tool may have several."""

    READ = "Read"
    WRITE = "Write"
    EXECUTE = "Execute"
    DESTRUCTIVE = "Destructive"
    FINANCIAL = "Financial"


@functools.total_ordering
class Risk(enum.Enum):
    """How much harm a call can do; ordered, LOW is the least."""

    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"
    CRITICAL = "Critical"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Risk):
            return NotImplemented
        return _ORDER.index(self) < _ORDER.index(other)

    def __str__(self) -> str:
        return self.value


_ORDER = tuple(Risk)


@dataclass(frozen=True, slots=True)
class CatalogTool:
    """What is known of one tool.

    `title`, `description`, `annotations` and `input_schema` are the server's own words and may say anything; `why` is
    the sentence that justifies `categories` (at least one) and `risk`. `confidence` is from 0 to 1, None where nobody
    said. `reviewed`: a person has spoken, and a new scan keeps categories, risk, why and recommended. `digest` is of
    the definition (`sha256:` and hexadecimal digits, "" where there is none). `recommended` is a block of the policy
    language: an action, or a mapping; None: nothing is recommended.
    """

    name: str
    categories: tuple[Category, ...]
    risk: Risk
    title: str = ""
    description: str = ""
    why: str = ""
    confidence: float | None = None
    evidence: tuple[str, ...] = ()
    reviewed: bool = False
    annotations: Json = field(default_factory=dict)
    input_schema: Json | None = None
    digest: str = ""
    recommended: Json | str | None = None


@dataclass(frozen=True, slots=True)
class CatalogItem:
    """A prompt, a resource or a resource template: `key` is its name or URI, the rest the server's own words."""

    key: str
    name: str = ""
    title: str = ""
    description: str = ""
    mime_type: str = ""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that is known of one server. `source` says where it comes from (`registry`, `package`, `version` …)."""

    server: str
    title: str = ""
    source: Mapping[str, str] = field(default_factory=dict)
    protocol: str = ""
    tools: Mapping[str, CatalogTool] = field(default_factory=dict)
    prompts: Mapping[str, CatalogItem] = field(default_factory=dict)
    resources: Mapping[str, CatalogItem] = field(default_factory=dict)
    resource_templates: Mapping[str, CatalogItem] = field(default_factory=dict)
