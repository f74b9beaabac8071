"""What is wrong with a request -> `MalformedMessage` with the code and status that the protocol wants for it.

The texts say what was expected and never repeat what was sent. It knows nothing of HTTP requests or JSON.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

from authz.errors import MalformedMessage
from authz.model import Reason

# JSON-RPC 2.0, section 5.1, and MCP 2026-07-28, basic/index "Error Codes".
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022


class Flaw(enum.StrEnum):
    """The kinds of flaws: a closed set, so that each may be a metric label."""

    METHOD = "method"
    UPGRADE = "upgrade"
    ACCEPT = "accept"
    REPEATED_HEADER = "repeated_header"
    UNEXPECTED_BODY = "unexpected_body"
    MEDIA_TYPE = "media_type"
    ENCODING = "encoding"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    JSON = "json"
    DUPLICATE_MEMBER = "duplicate_member"
    NESTING = "nesting"
    VALUES = "values"
    NUMBER = "number"
    DOUBTFUL_TEXT = "doubtful_text"
    TWIN_MEMBER = "twin_member"
    ENVELOPE = "envelope"
    ID = "id"
    PARAMS = "params"
    RESPONSE = "response"
    BATCH = "batch"
    SESSION = "session"
    VERSION = "version"
    META = "meta"
    HEADERS = "headers"


def invalid_request(flaw: Flaw, text: str, *, status: int = 400) -> MalformedMessage:
    """Not a request that this protocol knows."""
    return MalformedMessage(text, kind=flaw, code=INVALID_REQUEST, status=status)


def invalid_params(text: str, flaw: Flaw = Flaw.PARAMS) -> MalformedMessage:
    """A request whose params cannot be read as its method wants them."""
    return MalformedMessage(text, kind=flaw, code=INVALID_PARAMS)


def method_not_found(text: str) -> MalformedMessage:
    """A method that this protocol version has no more: 404 by 2026-07-28, streamable-http; it has no sessions."""
    return MalformedMessage(text, kind=Flaw.METHOD, code=METHOD_NOT_FOUND, status=404, reason=Reason.UNKNOWN_METHOD)


def parse_error(flaw: Flaw, text: str) -> MalformedMessage:
    """A body that is not JSON, or not JSON that every reader reads alike."""
    return MalformedMessage(text, kind=flaw, code=PARSE_ERROR)


def truncated(text: str) -> MalformedMessage:
    """A body of which only a part arrived, or may have; 413 because a smaller one would arrive whole."""
    return MalformedMessage(text, kind=Flaw.TRUNCATED, status=413, reason=Reason.TRUNCATED)


def too_large(text: str) -> MalformedMessage:
    """A body that is larger than the service reads."""
    return MalformedMessage(text, kind=Flaw.TOO_LARGE, status=413, reason=Reason.TOO_LARGE)


def header_mismatch(text: str, flaw: Flaw = Flaw.HEADERS) -> MalformedMessage:
    """Headers that disagree with the body or with themselves (2026-07-28, streamable-http "Server Validation")."""
    return MalformedMessage(text, kind=flaw, code=HEADER_MISMATCH, reason=Reason.HEADER_MISMATCH)


def unsupported_version(data: Mapping[str, Any]) -> MalformedMessage:
    """A protocol version that is not on the list; `data` has `supported` and `requested` (2026-07-28, versioning)."""
    return MalformedMessage(
        "mcp-protocol-version: expected a version that this service knows, got another",
        kind=Flaw.VERSION,
        code=UNSUPPORTED_VERSION,
        reason=Reason.UNSUPPORTED_VERSION,
        data=data,
    )
