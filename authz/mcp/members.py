"""JSON object -> its members as every reader finds them: exact names, and nothing that some reader takes for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from authz.mcp.flaw import Flaw, invalid_params, invalid_request
from authz.names import fold

# An honest object has a few members; more of them, or longer names, are only there to cost time in the comparison.
# The names that MCP gives are ASCII, and so must those beside them be (of `_meta` MCP itself asks it): letters that
# fold to ASCII ones (U+017F, U+212A) are refused with all others, and folding costs nothing that could be abused.
MAX_MEMBERS: Final = 128
MAX_MEMBER: Final = 256  # characters


class Members:
    """The members that a kind of object is known to have."""

    __slots__ = ("known", "twins")

    def __init__(self, *names: str) -> None:
        self.known = frozenset(names)
        # To JavaScript `__proto__` is never a member like others.
        self.twins = frozenset(fold(name) for name in names) | {"__proto__"}

    def refuse_twins(self, value: Mapping[str, Any], place: str) -> None:
        """Refuse members that a folding reader takes for a known one (CVE-2026-27896)."""
        if value.keys() <= self.known:
            return
        if len(value) > MAX_MEMBERS:
            raise invalid_request(Flaw.TWIN_MEMBER, f"{place}: expected at most {MAX_MEMBERS} members")
        for name in value:
            if name in self.known:
                continue
            if len(name) > MAX_MEMBER or not (name.isascii() and name.isprintable()):
                raise invalid_request(
                    Flaw.TWIN_MEMBER,
                    f"{place}: expected member names of at most {MAX_MEMBER} printable ASCII characters",
                )
            if fold(name) in self.twins:
                raise invalid_request(Flaw.TWIN_MEMBER, f"{place}: expected no member that only looks like a known one")


def text_of(value: Mapping[str, Any], name: str, place: str) -> str:
    """The member `name`: a string that is not empty, else MalformedMessage (-32602) with `place`."""
    text = value.get(name)
    if type(text) is not str or not text:
        raise invalid_params(f"{place}: expected a string that is not empty")
    return text
