"""Where one policy file decides by the catalogue -> what is wrong with that, and whether the file needs a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authz.policy.compile.catalogued import GOVERNED, Catalogued
from authz.policy.compile.findings import Findings
from authz.policy.text.document import Path

STRICT = "strict_arguments"


class CatalogUse:
    """Notes each use. `needed`: without the catalogue the file would decide differently, so it may not be guessed."""

    def __init__(self, findings: Findings, catalogued: Catalogued) -> None:
        self.needed = False
        self._findings = findings
        self._catalogued = catalogued
        self._told = False

    def reads(self, path: Path) -> None:
        """An expression at `path` reads `catalog`."""
        if path[0] not in (*GOVERNED, "limits"):
            self._findings.problem(path, f"only tools are in the catalogue, {path[0]} are not")
        else:
            self._needs(path)

    def categories(self) -> None:
        """The file has the section `categories`."""
        self._needs(("categories",))

    def strict(self, path: Path, block: Path, raw: Mapping[str, Any]) -> bool:
        """Whether the rule or block `raw` at `path`, of the block at `block`, says `strict_arguments: true`."""
        if not raw.get(STRICT, False):
            return False
        section, key = str(block[0]), str(block[1])
        place = (*path, STRICT)
        problem = self._catalogued.strict_problem(section, key)
        if problem:
            self._findings.problem(place, problem)
            return True
        self._needs(place)
        for name, why in self._catalogued.unchecked(section, key):
            self._findings.warn(place, f"denies every call of {name!r}: {why}")
        return True

    def _needs(self, path: Path) -> None:
        self.needed = True
        if self._catalogued.refusal:
            self._findings.problem(path, self._catalogued.refusal)
        elif self._catalogued.lack and not self._told:
            self._told = True
            self._findings.warn(path, self._catalogued.lack)
