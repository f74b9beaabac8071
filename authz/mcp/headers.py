"""What the Mcp-* headers say -> the era, and whether header and body agree. It knows nothing of bodies but names.

Headers are never what is judged; they are only compared (2026-07-28, streamable-http "Server Validation"; SEP-2243).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from authz.mcp.flaw import Flaw, header_mismatch, invalid_params, invalid_request, unsupported_version
from authz.model import Era

VERSION_HEADER: Final = "mcp-protocol-version"
METHOD_HEADER: Final = "mcp-method"
NAME_HEADER: Final = "mcp-name"
SESSION_HEADER: Final = "mcp-session-id"

# A list and no comparison: an unknown string is not "newer" than anything.
LEGACY_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS: Final = ("2026-07-28",)
SUPPORTED: Final = LEGACY_VERSIONS + MODERN_VERSIONS
BATCH_VERSION: Final = "2025-03-26"  # the only one with JSON-RPC batches, and what a missing header means
SSE_VERSION: Final = "2024-11-05"  # the one with the HTTP+SSE transport
_ERA: Final = dict.fromkeys(LEGACY_VERSIONS, Era.LEGACY) | dict.fromkeys(MODERN_VERSIONS, Era.MODERN)

# Longer than any version ever was; an answer repeats what was requested only within these characters.
_VERSION_LIKE: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_NO_TRACE: Final = "0" * 32
# Visible ASCII (2025-03-26, transports "Session Management") without the comma by which the proxy joins lines. Some
# servers send a signed token as id, so it may be long: 4096 is what browsers give a cookie (RFC 6265, 6.1).
_SESSION: Final = re.compile(r"[!-+\--~]{1,4096}")


def era_of(header: str | None, stated: object = None, *, states: bool = False) -> Era:
    """The era of a message from the version header and, where the body `states` one, from its `_meta`.

    Both must agree: servers differ in which of them they go by (Python's SDK: the header, TypeScript's 2.x: the body).
    """
    if states:
        if type(stated) is not str:
            raise invalid_params("_meta: expected the protocol version as a string", Flaw.META)
        if header != stated:
            raise header_mismatch("mcp-protocol-version: expected the version that _meta states")
    era = _ERA.get(header) if header is not None else Era.LEGACY
    if era is None:
        requested = header if header and _VERSION_LIKE.fullmatch(header) else ""
        # Of versions without `initialize` only: the error belongs to them, and older clients do not read it.
        raise unsupported_version({"supported": list(MODERN_VERSIONS), "requested": requested})
    return era


def check_mirrors(
    headers: Mapping[str, str], method: str | None, name: str | None, *, method_needed: bool, name_needed: bool
) -> None:
    """Refuse mirror headers that are needed and missing, or present and different from the body.

    `method` and `name` are the body's; None where it has none, and then the header must not be there either.
    """
    mirrored = headers.get(METHOD_HEADER)
    if mirrored is None:
        if method_needed:
            raise header_mismatch("mcp-method: expected the body's method, got no such header")
    elif mirrored != method:
        raise header_mismatch("mcp-method: expected the body's method")
    mirrored = headers.get(NAME_HEADER)
    if mirrored is None:
        if name_needed:
            raise header_mismatch("mcp-name: expected the body's name, got no such header")
    elif name is None or decode_value(mirrored) != name:
        raise header_mismatch("mcp-name: expected the body's name")


def decode_value(value: str) -> str | None:
    """The text that a header value stands for: itself, or what the base64 sentinel wraps.

    None where the sentinel is not canonical base64 of UTF-8. It is decoded once (2026-07-28 "Value Encoding").
    """
    found = _SENTINEL.fullmatch(value)
    if found is None:
        return value
    payload = found[1]
    try:
        decoded = base64.b64decode(payload, validate=True)
        if base64.b64encode(decoded).decode("ascii") != payload:
            return None  # non-zero trailing bits: two spellings of one name
        return decoded.decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def session_id(headers: Mapping[str, str]) -> str:
    """The legacy session id, "" where there is none."""
    value = headers.get(SESSION_HEADER)
    if value is None:
        return ""
    if not _SESSION.fullmatch(value):
        raise invalid_request(
            Flaw.SESSION, "mcp-session-id: expected one value of 1 to 4096 visible ASCII characters without a comma"
        )
    return value


def trace_id(traceparent: object) -> str:
    """The trace id of a W3C traceparent, "" where it has not that form."""
    if type(traceparent) is not str or len(traceparent) != 55:
        return ""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found and found[1] != _NO_TRACE else ""
