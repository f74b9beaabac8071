"""Text that somebody else chose -> text that may stand in a line: bounded and printable; what was cut is told."""

from __future__ import annotations

MAX_TEXT = 256  # of a text that the agent chose: bytes as they stand in the line
MAX_OWN_TEXT = 512  # of a text that the policy or the service wrote


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """At most `limit` bytes' worth of a text as ASCII JSON has it; where it was cut its whole length is told.

    Lone surrogates become visible escapes: a strict reader of the line would refuse them.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    kept = utf8(text[:limit]).decode()
    room = limit
    for count, char in enumerate(kept):
        room -= 1 if " " <= char <= "~" else 12 if char > "\uffff" else 6
        if room < 0:
            return f"{kept[:count]}…[of {len(text)}]"
    return kept if len(text) <= limit else f"{kept}…[of {len(text)}]"


def own(text: str) -> str:
    """A text that the policy, the service or an approver wrote, within its bound."""
    return clip(text, MAX_OWN_TEXT)


def utf8(text: str) -> bytes:
    """UTF-8 with visible escapes for lone surrogates."""
    return text.encode("utf-8", "backslashreplace")
