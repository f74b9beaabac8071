"""Whether a resource URI can be read in two ways (policies/README.md 8).

A glob over URIs is only safe where the server cannot take another spelling for the same thing, or this spelling for
another thing. RFC 3986 sections 3 and 6.2 name what may be spelled in more than one way.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes

# Schemes whose authority we know how to read; elsewhere (`postgres://`, `ui://`) it is the server's own business.
_HIERARCHICAL = frozenset(("http", "https", "file"))
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_AUTHORITY = re.compile(r"(?:\[[0-9a-f:.]+\]|[^@:\[\]A-Z]*[^@:\[\]A-Z.])(?::(?P<port>[0-9]+))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_TAIL = re.compile(r"[?#]")
# Where readers that join paths by hand, or strip parameters, see a segment end: `/a?/../b`, `/a/..;x/b`.
_SEGMENT_END = re.compile(r"[/?#;]")
_NO_URI = frozenset(' "<>\\^`|')  # printable, and no character of a URI; braces stand in URI templates
# What must not be hidden behind a percent sign: separators, dots, the sign itself and RFC 3986's unreserved characters.
_NEVER_ESCAPED = frozenset("./\\%-_~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def is_ambiguous(uri: str) -> bool:
    """Whether two readers may take `uri` for two different resources."""
    if not uri.isascii() or not uri.isprintable() or not _NO_URI.isdisjoint(uri):
        return True
    if "%" in uri and _hides_characters(uri):
        return True
    scheme = _SCHEME.match(uri)
    if scheme is None or scheme[1] != scheme[1].lower():
        return True
    rest = uri[scheme.end() :]
    if rest.startswith("//"):
        authority, path = _split_authority(rest[2:])
        if scheme[1] in _HIERARCHICAL and _is_ambiguous_authority(scheme[1], authority):
            return True
    elif scheme[1] in _HIERARCHICAL:
        return True  # `file:/x` and `http:x` are read in several ways
    else:
        path = rest
    if scheme[1] == "file" and _TAIL.search(path):
        return True  # a file has no query; who takes the whole text for a path reads on
    if scheme[1] in ("http", "https") and not path.startswith("/"):
        return True  # RFC 3986 section 6.2.3: the same as with a slash
    # Also in the place of the authority, and behind escapes: who joins paths by hand looks at the whole text.
    for text in (rest, unquote(rest)):
        if any(segment in (".", "..") for segment in _SEGMENT_END.split(text)):
            return True
    return "" in without_tail(path).removeprefix("/").split("/")[:-1]


def without_tail(uri: str) -> str:
    """`uri` before its query and fragment: what many a server looks at alone."""
    return _TAIL.split(uri, maxsplit=1)[0]


def _split_authority(rest: str) -> tuple[str, str]:
    end = re.search(r"[/?#]", rest)
    return (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])


def _hides_characters(uri: str) -> bool:
    if "%" in _ESCAPES.sub("", uri):
        return True  # a sign that begins no escape
    for escapes in _ESCAPES.findall(uri):
        try:
            text = unquote_to_bytes(escapes).decode()
        except UnicodeDecodeError:
            return True  # overlong forms of `/` and `.` among them
        if not text.isprintable() or not _NEVER_ESCAPED.isdisjoint(text):
            return True
    return False


def _is_ambiguous_authority(scheme: str, authority: str) -> bool:
    if scheme == "file":
        return bool(authority)
    known = _AUTHORITY.fullmatch(authority)
    # RFC 3986 section 6.2: another case, a dot at the end, an empty or a default port name the same place.
    return known is None or known["port"] == _DEFAULT_PORTS[scheme]
