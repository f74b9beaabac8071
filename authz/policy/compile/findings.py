"""What is found wrong with one document while it is compiled: problems and warnings, each with its place."""

from __future__ import annotations

from collections.abc import Sequence

from authz.errors import Problem
from authz.policy.text.document import Document, Path


class Findings:
    """Gathers problems and warnings; begins with what the schema found."""

    def __init__(self, document: Document, misshapen: Sequence[Problem]) -> None:
        self.document = document
        self.problems = list(misshapen)
        self.warnings: list[Problem] = []
        self._misshapen = {problem.path for problem in misshapen}

    def problem(self, path: Path, message: str) -> None:
        """Something at `path` cannot be used."""
        self.problems.append(self.document.problem(path, message))

    def warn(self, path: Path, message: str) -> None:
        """Something at `path` is probably not what its author meant."""
        self.warnings.append(self.document.problem(path, message))

    def is_misshapen(self, path: Path) -> bool:
        """Whether the schema already said something about `path` or below it; then only its neighbours are read."""
        if not self._misshapen:
            return False
        place = self.document.problem(path, "").path
        return any(bad == place or bad.startswith((f"{place}.", f"{place}[")) for bad in self._misshapen)
