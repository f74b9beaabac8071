"""Values of a document, looked at one by one -> typed values, and a problem with its place for each that is not.

Every key must be expected: what the other program would pass over in silence is a mistake here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from authz.errors import PolicyError, Problem
from authz.policy.text.document import Document, Path
from authz.policy.text.scalar import shown
from authz.policy.text.suggestion import did_you_mean

WINDOWS = {"minute": 60, "hour": 3600, "day": 86400}


class Notes:
    """Reads one document and remembers what is wrong with it."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = [*document.problems]

    def problem(self, path: Path, message: str, *, at_value: bool = False) -> None:
        """Note a problem at `path`, unless it could not be read anyway."""
        if self.document.problems and self.document.is_unclear(path):
            return
        self.problems.append(self.document.problem(path, message, at_value=at_value))

    def finish(self) -> None:
        """Raise PolicyError where anything was noted."""
        if self.problems:
            raise PolicyError(sorted(dict.fromkeys(self.problems)))

    def mapping(self, value: Any, path: Path, keys: Collection[str], what: str) -> dict[str, Any]:
        """`value` as a mapping that has none but `keys`; {} where it is none."""
        members = self.names(value, path, what)
        for key in members.keys() - set(keys):
            hint = did_you_mean(key, sorted(keys)) or f", expected one of {', '.join(keys)}"
            self.problem((*path, key), f"{what} has no key {shown(key)}, which has no effect there{hint}")
        return {key: member for key, member in members.items() if key in keys}

    def names(self, value: Any, path: Path, what: str) -> dict[str, Any]:
        """`value` as a mapping with any keys; {} where it is none."""
        if isinstance(value, dict):
            return value
        self.problem(path, f"{what}: expected a mapping, got {shown(str(value))}", at_value=True)
        return {}

    def entries(self, value: Any, path: Path, what: str) -> list[tuple[Path, Any]]:
        """The entries of a list with their places; none where it is no list."""
        if isinstance(value, list):
            return [((*path, at), entry) for at, entry in enumerate(value)]
        self.problem(path, f"{what}: expected a list, got {shown(str(value))}", at_value=True)
        return []

    def text(self, members: dict[str, Any], key: str, path: Path, *, needed: bool = False) -> str:
        """The text at `key`; "" where there is none."""
        value: Any = members.get(key, "")
        if not isinstance(value, str):
            self.problem((*path, key), f"expected text, got {shown(str(value))}", at_value=True)
            return ""
        text: str = value
        if not text and (needed or key in members):
            self.problem((*path, key), f"expected {key}, got nothing")
        return text

    def word(self, members: dict[str, Any], key: str, path: Path, words: Collection[str], default: str) -> str:
        """One of `words` at `key`, `default` where the key is left out."""
        value: Any = members.get(key, default)
        if isinstance(value, str):
            if value == default or value in words:
                return value
            hint = did_you_mean(value, sorted(words))
            self.problem((*path, key), f"expected one of {', '.join(words)}, got {shown(value)}{hint}", at_value=True)
        else:
            self.problem((*path, key), f"expected one of {', '.join(words)}", at_value=True)
        return default

    def count(self, value: Any, path: Path, what: str) -> int:
        """A whole number from 1 to 10^9; 1 with a problem where it is none."""
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000_000:
            return value
        self.problem(path, f"{what}: expected a whole number from 1 to 1000000000, got {shown(str(value))}")
        return 1

    def argument(self, value: Any, path: Path) -> tuple[str, ...]:
        """The path of an argument, written as `args.a.b`; () with a problem where it is none."""
        parts = value.split(".") if isinstance(value, str) else []
        if len(parts) > 1 and parts[0] == "args" and all(parts):
            return tuple(parts[1:])
        self.problem(path, f"expected an argument such as args.amount, got {shown(str(value))}", at_value=True)
        return ()

    def version(self, members: dict[str, Any], path: Path = ()) -> None:
        """The file's `version`, which is `1` everywhere."""
        if str(members.get("version", "1")) != "1":
            self.problem((*path, "version"), f"expected version 1, got {shown(str(members['version']))}", at_value=True)

    def tool_name(self, name: str, path: Path) -> None:
        """Refuse the name of a tool that would mean something else here."""
        if "*" in name:
            text = f"{shown(name)} is one tool's exact name there, and * a wildcard here: it cannot be carried over"
            self.problem(path, text)
        elif len(name) > 128:
            self.problem(path, f"a name of {len(name)} characters cannot be carried over: at most 128 are looked at")
