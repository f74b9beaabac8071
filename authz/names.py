"""How names are compared: exactly, and what is to be refused because it only looks like a name.

Folding is never used to find a rule, only to notice a twin of a known name (policies/README.md 2 and 3; CVE-2026-27896
is what happens where a reader folds and its guard does not). Standard library only.
"""

from __future__ import annotations

import unicodedata

MAX_NAME = 128  # characters; MCP 2025-11-25, server/tools, "Tool Names"

# Code points that display as nothing though their category is not Cf: Unicode's Default_Ignorable_Code_Point, and
# the blank Braille cell.
_INVISIBLE = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2065, 0x2800, 0x3164, 0xFFA0),
        *range(0xFE00, 0xFE10),
        *range(0xE0000, 0xE1000),
    )
)
_JOINERS = "\u200c\u200d"  # Cf, but letters of Persian, Indic scripts and emoji are spelled with them


def _is_ignored(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cf") or ord(char) in _INVISIBLE


def fold(text: str) -> str:
    """What `text` becomes after NFKC, case folding and removal of white space and invisible characters.

    Two names with one fold are twins: some reader somewhere takes one for the other.
    """
    if text.isascii():
        return "".join(text.split()).lower() if text.isprintable() else _fold_slowly(text)
    return _fold_slowly(text)


def _fold_slowly(text: str) -> str:
    kept = "".join(char for char in unicodedata.normalize("NFKC", text) if not _is_ignored(char))
    # Case folding can leave text that NFKC changes again (U+1E9E, U+0345): fold to a fixed point.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())


def is_doubtful(name: str) -> bool:
    """Whether a name may not be used at all: empty, too long, or with characters that hide what it is.

    Refused are control and format characters (but the two joiners that ordinary words need), lone surrogates, line
    separators and white space at either end. Other non-ASCII names are names like any other (policies/README.md 2).
    """
    if not 0 < len(name) <= MAX_NAME:
        return True
    if name.isascii() and name.isprintable():
        return name[0] == " " or name[-1] == " "
    if name != name.strip():
        return True
    return any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS for char in name)
