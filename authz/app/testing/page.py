"""Coverage -> one HTML page: each policy file as it is written, with a mark at what tests reach. Judges nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from authz.app.testing.coverage import Covered, FileCoverage, percent
from authz.app.testing.discovery import Found


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a policy file, with what begins in it. `state` is "full", "part", "none", or "" for neither."""

    number: int
    text: str
    state: str
    notes: tuple[str, ...]


def page(found: Found, files: Sequence[FileCoverage]) -> bytes:
    """The page, in UTF-8; it needs nothing beside itself."""
    templates = Environment(
        loader=PackageLoader("authz.app.testing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [
        {"file": one, "percent": percent([one]), "lines": _lines(found.directory.files[one.file], one)} for one in files
    ]
    html = templates.get_template("coverage.html").render(
        files=shown, percent=percent(files), revision=found.policies.revision
    )
    return html.encode()


def _lines(text: bytes, file: FileCoverage) -> list[Line]:
    at: dict[int, list[Covered]] = defaultdict(list)
    for covered in file.elements:
        at[covered.line].append(covered)
    return [
        Line(number, line, _state(at[number]), tuple(_note(one) for one in at[number] if one.missing))
        for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1)
    ]


def _note(one: Covered) -> str:
    return f"{one.element.place}: {one.said}"


def _state(elements: Sequence[Covered]) -> str:
    if not elements:
        return ""
    if not any(one.missing for one in elements):
        return "full"
    return "part" if any(one.reached for one in elements) else "none"
