"""What cases got at + what there is in the policies -> what no case reached, with its place. Plays nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from authz.app.testing.discovery import Found
from authz.app.testing.elements import WAYS, Element, Kind, Way, elements
from authz.app.testing.sightings import Sightings
from authz.policy.text.document import parse

# What is missing, in words, where no case got at an element in that way.
_MISSING = {
    Way.DECIDED: "no case is decided by it",
    Way.PASSED: "no case passes it",
    Way.FAILED: "no case is refused by it",
    Way.CHARGED: "no case is counted by it",
    Way.EXHAUSTED: "no case exhausts it",
}
_NOBODY = "no case reaches it"


@dataclass(frozen=True, slots=True)
class Covered:
    """One element: its place in the file, and the ways in which cases did not get at it."""

    element: Element
    line: int
    column: int
    missing: tuple[Way, ...]

    @property
    def reached(self) -> bool:
        """Whether some case got at it in some way."""
        return len(self.missing) < len(WAYS[self.element.kind])

    @property
    def said(self) -> str:
        """What is missing, in words; "" if nothing is."""
        if not self.reached and len(self.missing) > 1:
            return _NOBODY
        return ", ".join(_MISSING[way] for way in self.missing)


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """One policy file: its elements in the order of the text."""

    file: str
    elements: tuple[Covered, ...]

    @property
    def wanted(self) -> int:
        """In how many ways cases should get at its elements."""
        return sum(len(WAYS[one.element.kind]) for one in self.elements)

    @property
    def reached(self) -> int:
        """In how many of them they did."""
        return self.wanted - sum(len(one.missing) for one in self.elements)


def cover(found: Found, sightings: Sightings) -> list[FileCoverage]:
    """The coverage of every policy file that loads."""
    files = []
    for file, compiled in sorted(found.policies.files.items()):
        if compiled.policy is None or file not in found.own:
            continue
        document = parse(found.directory.files[file], file)
        covered = []
        for element in elements(document, baseline=compiled.baseline):
            ways = sightings.ways.get((file, element.place), set())
            missing = tuple(way for way in WAYS[element.kind] if way not in ways)
            covered.append(Covered(element, *document.place(element.path), missing))
        files.append(FileCoverage(file, tuple(sorted(covered, key=lambda one: (one.line, one.column)))))
    return files


def percent(files: Sequence[FileCoverage]) -> float:
    """How much of what should be reached is, of all files together; 100 where there is nothing."""
    wanted = sum(one.wanted for one in files)
    return 100.0 * sum(one.reached for one in files) / wanted if wanted else 100.0


def lines(files: Sequence[FileCoverage]) -> Iterator[Text]:
    """A table with a line a file, then every element that something is missing of."""
    yield Text("\ncoverage", "bold")
    width = max(len(one.file) for one in files) if files else 0
    for one in files:
        full = Counter(covered.element.kind for covered in one.elements if not covered.missing)
        every = Counter(covered.element.kind for covered in one.elements)
        parts = ", ".join(f"{_plural(kind)} {full[kind]}/{every[kind]}" for kind in Kind if every[kind])
        style = "green" if one.reached == one.wanted else "yellow"
        yield Text(f"  {one.file:{width}}  ") + Text(f"{_share(one):5.1f} %", style) + Text(f"  {parts}")
    for one in files:
        for covered in one.elements:
            if covered.missing:
                place = f"{one.file}:{covered.line}:{covered.column}"
                yield Text(f"{place}: {covered.element.place}: {covered.said}")
    yield Text(f"coverage {percent(files):.1f} %", "bold")


def _share(one: FileCoverage) -> float:
    return percent([one])


def _plural(kind: Kind) -> str:
    return f"{kind}s" if kind in (Kind.RULE, Kind.LIMIT) else str(kind)
