"""The changes of an import -> the table that people read: where, what it meant, what is written, what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from authz.app.importing.changes import Change, Effect

_ORDER = (Effect.DIFFERENT, Effect.STRICTER, Effect.SAME)


def table(changes: Sequence[Change]) -> Iterator[str]:
    """Lines of text; what differs comes first."""
    rows = [("place", "effect", "there", "here")]
    for change in sorted(changes, key=lambda one: _ORDER.index(one.effect)):
        here = f"{change.here} ({change.note})" if change.note else change.here
        rows.append((f"{change.file}:{change.line}:{change.column}", str(change.effect), change.there, here))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    for row in rows:
        yield "  ".join(f"{text:{width}}" for text, width in zip(row, (*widths, 0), strict=True)).rstrip()
