"""What a server says of one tool, as a value, and the digest by which a change of it is noticed.

Everything here is the server's own word: hints for a reader, never proof.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Definition:
    """One entry of `tools/list`. `annotations` and `input_schema` are JSON as the server sent it."""

    name: str
    title: str = ""
    description: str = ""
    annotations: Mapping[str, Any] = field(default_factory=dict)
    input_schema: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The schema of each argument by name; of one wrapper object (`params: {…}`), those within it too."""
        found = dict(_members(self.input_schema))
        if len(found) == 1:
            found |= _members(next(iter(found.values())))
        return found


def digest_of(definition: Definition) -> str:
    """`sha256:` and the digest of the definition as canonical JSON: sorted keys, no white space, ASCII."""
    whole = {
        "name": definition.name,
        "title": definition.title,
        "description": definition.description,
        "inputSchema": definition.input_schema,
        "annotations": definition.annotations,
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: `StartAHORun`, `start-aho-run` and `start_aho_run` have the same three."""
    return tuple(word.lower() for part in _NO_WORD.split(name) for word in _HUMP.split(part) if word)


def _members(schema: Any) -> Mapping[str, Any]:
    members = schema.get("properties") if isinstance(schema, Mapping) else None
    return members if isinstance(members, Mapping) else {}
