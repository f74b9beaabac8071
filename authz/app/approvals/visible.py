"""Text that an agent chose -> pieces in which nothing is invisible, reordered or taken for another letter.

What a person approves must be what will run: Unicode can hide and reverse text (TR 36, TR 39; CVE-2021-42574).
Knows neither HTML nor terminals.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# Shown as nothing or as a space though their category is that of letters and symbols (Default_Ignorable_Code_Point,
# and the blank Braille cell).
_BLANK = frozenset((0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0xFFFC))
# Controls, formats (bidi among them), surrogates, private and unassigned ones, separators, and what combines with the
# character before it. The plain space is the only separator that stays.
_MARKED = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Mn", "Mc", "Me"))
_OPENS = "⟨"  # marked itself, so that no text can spell a mark


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text. `marked`: `text` is a code point such as `⟨U+202E⟩`, `name` what Unicode calls it."""

    text: str
    marked: bool = False
    name: str = ""


def pieces(text: str, *, lines: bool = False) -> Iterator[Piece]:
    """`text` in pieces, complete and in its order; with `lines` a line break follows each mark of one.

    A character that cannot be seen is replaced by its code point. One that looks like another is followed by it: signs
    such as U+2215 always, letters in a word that also has ASCII letters, or that has nothing but look-alikes.
    """
    if text.isascii() and text.isprintable():
        if text:
            yield Piece(text)
        return
    plain: list[str] = []
    for char, twin in zip(text, _twins(text), strict=True):
        hidden = _is_hidden(char)
        twin = twin or char == _OPENS
        if not hidden:
            plain.append(char)
        if not hidden and not twin:
            continue
        if plain:
            yield Piece("".join(plain))
            plain.clear()
        yield Piece(f"⟨U+{ord(char):04X}⟩", True, unicodedata.name(char, _fallback(char)))
        if char == "\n" and lines:
            plain.append("\n")
    if plain:
        yield Piece("".join(plain))


def visible(text: str) -> str:
    """`text` with every mark written out."""
    return "".join(piece.text for piece in pieces(text))


def _is_hidden(char: str) -> bool:
    if char.isascii():
        return not char.isprintable()
    return unicodedata.category(char) in _MARKED or ord(char) in _BLANK


def _fallback(char: str) -> str:
    controls = {"\t": "TAB", "\n": "LINE FEED", "\r": "CARRIAGE RETURN", "\0": "NULL", "\x1b": "ESCAPE"}
    kinds = {"Cc": "CONTROL CHARACTER", "Cs": "LONE SURROGATE", "Co": "PRIVATE USE", "Cn": "UNASSIGNED"}
    return controls.get(char) or kinds.get(unicodedata.category(char), "CHARACTER WITHOUT A NAME")


def _twins(text: str) -> list[bool]:
    """For each character, whether it may be taken for an ASCII one where it stands."""
    twins = [False] * len(text)
    if text.isascii():
        return twins
    start = 0
    while start < len(text):
        if not text[start].isalnum():
            twins[start] = _is_alike(text[start])
            start += 1
            continue
        end = start
        while end < len(text) and text[end].isalnum():
            end += 1
        word = text[start:end]
        foreign = [char for char in word if not char.isascii()]
        mixed = any(char.isascii() and char.isalpha() for char in word)
        if foreign and (mixed or all(map(_is_alike, foreign))):
            twins[start:end] = [_is_alike(char) for char in word]
        start = end
    return twins


@functools.lru_cache(maxsize=4096)
def _is_alike(char: str) -> bool:
    """Whether a character looks like one of ASCII: by Unicode's table (TR 39), or as a compatibility form of it."""
    if char.isascii():
        return False
    folded = unicodedata.normalize("NFKC", char)
    return char in _table() or (len(folded) == 1 and folded.isascii())


@functools.cache
def _table() -> frozenset[str]:
    """The characters that the table of confusables has beside a single one of ASCII."""
    # 5 MB and 20 ms that only who looks at such a text pays for
    from confusable_homoglyphs.confusables import confusables_data  # type: ignore[import-untyped]

    return frozenset(
        char
        for char, twins in confusables_data.items()
        if len(char) == 1 and any(len(one["c"]) == 1 and one["c"].isascii() for one in twins)
    )
