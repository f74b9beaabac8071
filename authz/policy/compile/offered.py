"""The input schemas of some tools -> the types that they give to arguments, and a schema of the types that were taken.

A type counts only if it is checked before the argument is read, and a server may be more lenient than what it says of
itself: so whatever a condition takes from the catalogue is checked by the service (policies/README.md 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authz.policy.arguments.schema import ITEM, DeclaredType, Path, PatternError, Schema, declared_at, join, required_at


class OfferedTypes:
    """What the catalogue declares for every one of some tools; remembers what was taken.

    `schemas` are their input schemas without references; None: one of the tools has none that can be used.
    """

    def __init__(self, schemas: Sequence[Schema | None]) -> None:
        self._schemas = schemas
        self._taken: dict[Path, frozenset[str]] = {}

    def type_of(self, path: Sequence[str | int]) -> DeclaredType | None:
        """The types of the value at `path` in calls of any of the tools, None if one of them says nothing of it."""
        place = _place(path)
        names = self._declared(place)
        if not names:
            return None
        self._taken[place] = names
        return DeclaredType(names)

    def requires(self, path: Sequence[str]) -> bool:
        """Whether each tool wants something at `path`; whether it is there is not checked here."""
        return bool(self._schemas) and all(
            schema is not None and required_at(schema, tuple(path), {}) for schema in self._schemas
        )

    def taken(self) -> Schema | None:
        """A schema that declares what was taken and nothing else, None if nothing was."""
        if not self._taken:
            return None
        root: Schema = {}
        for path, names in self._taken.items():
            node = root
            for at, step in enumerate(path):
                holder = "array" if step == ITEM else "object"
                if at:
                    known = self._declared(path[:at]) or frozenset()
                    node["type"] = sorted({*node.get("type", ()), *known, holder})
                if step == ITEM:
                    node = node.setdefault("items", {})
                else:
                    node = node.setdefault("properties", {}).setdefault(step, {})
            node["type"] = sorted({*node.get("type", ()), *names})
        return root

    def _declared(self, path: Path) -> frozenset[str] | None:
        try:
            found = [None if schema is None else declared_at(schema, path, {}) for schema in self._schemas]
        except PatternError:
            return None  # a pattern for names that cannot be looked at says nothing of them
        return join(found) if found else None


def with_taken(own: dict[str, Any] | None, taken: Schema | None) -> dict[str, Any] | None:
    """The `arguments` that somebody wrote, with what was taken from the catalogue beside them."""
    if taken is None or own is None:
        return own if taken is None else taken
    return {**own, "allOf": [*own.get("allOf", ()), {"type": "object", **taken}]}


def _place(path: Sequence[str | int]) -> Path:
    """`path` with any item in place of a certain one."""
    return tuple(ITEM if isinstance(step, int) else step for step in path)
