"""Text that a server wrote -> text that a file and a terminal may show: nothing in it is invisible or a command."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

MAX_DESCRIPTION = 16_384  # characters that are kept; the digest is of the whole
_EMOJI_STYLE = "\ufe0f"  # after a sign; the other variation selectors can carry hidden text
_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE0F), *range(0xE0100, 0xE01F0))))
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def visible(text: str, limit: int = MAX_DESCRIPTION) -> str:
    """`text` with controls, formats and private characters as `⟨U+001B⟩`; line breaks stay, trailing space goes."""
    cut = "" if len(text) <= limit else f"…[of {len(text)} characters]"
    lines = text[:limit].replace("\r\n", "\n").replace("\t", "    ").split("\n")
    return "\n".join(_line(line).rstrip() for line in lines).strip("\n") + cut


def visible_json(value: Any) -> Any:
    """JSON with every text in it made visible, names too."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(name)): visible_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [visible_json(entry) for entry in value]
    return value


def _line(line: str) -> str:
    if line.isascii() and line.isprintable():
        return line
    return "".join(f"⟨U+{ord(char):04X}⟩" if _is_hidden(char) else char for char in line)


def _is_hidden(char: str) -> bool:
    return char != _EMOJI_STYLE and (char in _SELECTORS or unicodedata.category(char) in _HIDDEN)
