"""Whether a resource URI can be read in two ways (policy.md 8).

A glob over URIs is only safe where the server cannot take another spelling for the same thing, or this spelling for
another thing. RFC 3986 sections 3 and 6.2 name what may be spelled in more than one way.
"""

from __future__ import annotations

import re

# Schemes whose authority we know how to read; elsewhere (`postgres://`, `ui://`) it is the server's own business.
_HIERARCHICAL = frozenset(("http", "https", "file"))
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ENCODED = re.compile(r"%(..?)?")
# What must not be hidden behind a percent sign: separators, dots, the sign itself and RFC 3986's unreserved characters.
_NEVER_ENCODED = frozenset("./\\%-_~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def is_ambiguous(uri: str) -> bool:
    """Whether two readers may take `uri` for two different resources."""
    if not uri.isascii() or not uri.isprintable() or "\\" in uri or " " in uri:
        return True
    if "%" in uri and _hides_characters(uri):
        return True
    scheme = _SCHEME.match(uri)
    if scheme is None or scheme[1] != scheme[1].lower():
        return True
    rest = re.split(r"[?#]", uri[scheme.end() :], maxsplit=1)[0]
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        if scheme[1] in _HIERARCHICAL and _is_ambiguous_authority(scheme[1], authority):
            return True
        rest = slash + path
    elif scheme[1] in _HIERARCHICAL:
        return True  # `file:/x` and `http:x` are read in several ways
    segments = rest.removeprefix("/").split("/")
    return any(part in (".", "..") for part in segments) or "" in segments[:-1]


def _hides_characters(uri: str) -> bool:
    for match in _ENCODED.finditer(uri):
        digits = match[1] or ""
        if len(digits) != 2 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            return True
        if chr(int(digits, 16)) in _NEVER_ENCODED or int(digits, 16) < 0x20 or int(digits, 16) == 0x7F:
            return True
    return False


def _is_ambiguous_authority(scheme: str, authority: str) -> bool:
    if scheme == "file":
        return bool(authority)
    return not authority or "@" in authority or authority != authority.lower()
