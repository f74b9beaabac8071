"""Canonical JSON text -> HTML in which every member and every value can be read, long ones folded but complete.

Nothing the agent wrote becomes markup: each text goes through `visible` and is escaped. Knows no request and no page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from authz.app.approvals.visible import pieces

LONG_TEXT = 600  # characters that are shown before a text folds: about ten lines on a phone
LONG_LIST = 40  # members or entries
_SHOWN = 160  # characters of a folded text that stay in sight, at either end

_FOLD = Markup('<details class="fold"><summary>{}</summary>{}</details>')
_MARK = Markup('<span class="mark" title="{}">{}</span>')


class _Number(str):
    """A number as it is spelled: 1 and 1.0 differ, and 9007199254740993 is no double."""

    __slots__ = ()


@dataclass(slots=True)
class Rendered:
    """What a person reads, and how much of it is folded."""

    html: Markup
    folded: int = 0


def text(value: str, *, lines: bool = False) -> Markup:
    """One text with its marks."""
    return Markup("").join(
        _MARK.format(piece.name, piece.text) if piece.marked else escape(piece.text)
        for piece in pieces(value, lines=lines)
    )


def render(params: str, tool: str) -> tuple[Rendered, Rendered]:
    """The arguments of `params`, a canonical JSON object, and everything else in it but a `name` that is `tool`.

    What cannot be read as an object is shown as the text it is.
    """
    try:
        return _render(json.loads(params, parse_int=_Number, parse_float=_Number, parse_constant=_Number), tool)
    except (ValueError, RecursionError):  # deeper than the interpreter goes: still complete, but as text
        return _render(params, tool)


def _render(read: Any, tool: str) -> tuple[Rendered, Rendered]:
    arguments, rest = Rendered(Markup("")), Rendered(Markup(""))
    if not isinstance(read, dict):
        arguments.html = _value(read, arguments)
        return arguments, rest
    if "arguments" in read:
        arguments.html = _value(read.pop("arguments"), arguments)
    if read.get("name") == tool:
        del read["name"]
    if read:
        rest.html = _value(read, rest)
    return arguments, rest


def _value(value: Any, into: Rendered) -> Markup:
    match value:
        case _Number():
            return Markup('<code class="number">{}</code>').format(text(value))
        case None | True | False:
            return Markup('<code class="word">{}</code>').format(json.dumps(value))
        case str():
            return _string(value, into)
        case dict() if value:
            return _many("member", "members", ((_key(key), entry) for key, entry in value.items()), len(value), into)
        case list() if value:
            entries = ((Markup('<span class="at">{}</span>').format(at), entry) for at, entry in enumerate(value))
            return _many("entry", "entries", entries, len(value), into)
    return Markup('<span class="none">{}</span>').format("no members" if value == {} else "no entries")


def _key(key: str) -> Markup:
    return Markup('<code class="key">{}</code>').format(text(key)) if key else Markup('<i class="none">empty name</i>')


def _string(value: str, into: Rendered) -> Markup:
    if not value:
        return Markup('<span class="none">empty text</span>')
    whole = Markup('<code class="text">{}</code>').format(text(value, lines=True))
    if len(value) <= LONG_TEXT:
        return whole
    into.folded += 1
    summary = Markup('text of {} characters: <code>{}</code> <span class="cut">… to …</span> <code>{}</code>').format(
        f"{len(value):,}", text(value[:_SHOWN]), text(value[-_SHOWN:])
    )
    return _FOLD.format(summary, whole)


def _many(one: str, many: str, entries: Iterable[tuple[Markup, Any]], count: int, into: Rendered) -> Markup:
    rows = list(_rows(entries, into))
    shown = Markup('<dl class="tree">{}</dl>').format(Markup("").join(rows[:LONG_LIST]))
    if count <= LONG_LIST:
        return shown
    into.folded += 1
    more = count - LONG_LIST
    folded = Markup('<dl class="tree">{}</dl>').format(Markup("").join(rows[LONG_LIST:]))
    return shown + _FOLD.format(f"{more:,} more {one if more == 1 else many} of {count:,}", folded)


def _rows(entries: Iterable[tuple[Markup, Any]], into: Rendered) -> Iterator[Markup]:
    for name, value in entries:
        yield Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, _value(value, into))
