"""HttpRequest -> which way it carries MCP, and that all of its body arrived as JSON text. It reads no JSON.

Whatever is not one of the ways that MCP knows is refused, not passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from authz.mcp.flaw import Flaw, header_mismatch, invalid_request, too_large, truncated
from authz.mcp.headers import METHOD_HEADER, SESSION_HEADER, VERSION_HEADER, era_of, session_id
from authz.model import (
    HTTP_END,
    HTTP_METADATA,
    HTTP_PREFLIGHT,
    HTTP_STREAM,
    Era,
    Exchange,
    HttpRequest,
    Message,
    MessageKind,
    Target,
    TargetKind,
)
from authz.paths import is_metadata

_SSE_PARAMETERS: Final = ("session_id", "sessionId")  # the Python and the TypeScript SDK's
_SINGLE: Final = ("content-type", "content-encoding", "content-length", "host", ":authority")
_SINGLE_MCP: Final = (VERSION_HEADER, METHOD_HEADER)  # mcp-name is compared as it is: a URI may have a comma


def refuse_repeated(headers: Mapping[str, str]) -> None:
    """Refuse headers that came twice: the proxy joins lines by commas, and servers differ in which line they take."""
    for name in _SINGLE:
        value = headers.get(name)
        if value is not None and "," in value:
            raise invalid_request(Flaw.REPEATED_HEADER, f"{name}: expected one value, got a comma")
    for name in _SINGLE_MCP:
        value = headers.get(name)
        if value is not None and "," in value:
            raise header_mismatch(f"{name}: expected one value, got a comma", Flaw.REPEATED_HEADER)
    # Bearer tokens have no comma (RFC 6750 section 2.1); other schemes may (AWS4-HMAC-SHA256).
    credentials = headers.get("authorization", "")
    if "," in credentials and "bearer" in credentials.lower():
        raise invalid_request(Flaw.REPEATED_HEADER, "authorization: expected one value, got a comma")


def refuse_upgrade(request: HttpRequest) -> None:
    """Refuse requests after which the connection speaks something else, unseen by anybody (RFC 9110 7.8, 9.3.6)."""
    if "upgrade" in request.headers or request.method == "CONNECT":
        raise invalid_request(Flaw.UPGRADE, "request: expected no upgrade and no tunnel", status=405)


def refuse_unread_body(request: HttpRequest, max_bytes: int) -> None:
    """Refuse a POST whose body is not JSON by its headers, is encoded, or did not arrive whole."""
    headers = request.headers
    media_type = headers.get("content-type")
    if media_type != "application/json" and not _is_json(media_type):
        raise invalid_request(Flaw.MEDIA_TYPE, "content-type: expected application/json, at most with charset=utf-8")
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise invalid_request(Flaw.ENCODING, "content-encoding: expected identity or none")
    length = len(request.body)
    if not length:
        raise invalid_request(Flaw.EMPTY, "body: expected a JSON-RPC message, got nothing; does the proxy send bodies?")
    if length > max_bytes:
        raise too_large(f"body: expected less than {max_bytes} bytes")
    if headers.get("x-envoy-auth-partial-body", "false") != "false":
        raise truncated("body: expected all of it, got a part")
    if request.size not in (-1, length):
        raise truncated("body: expected as many bytes as the proxy counted")
    announced = headers.get("content-length")
    if announced is not None and announced != str(length):
        raise truncated("content-length: expected the length of the body")
    # A first read of exactly the proxy's limit is passed on as if it were whole (Envoy, measured).
    if length == max_bytes:
        raise truncated(f"body: expected less than {max_bytes} bytes")


def decode_bodiless(request: HttpRequest) -> Exchange:
    """The exchange of a GET, DELETE or OPTIONS; every other method is refused."""
    headers = request.headers
    _refuse_body(request)
    if request.method == "GET" and is_metadata(request.path.partition("?")[0]):
        # Discovery sends the newest version that the client knows, whatever will be negotiated: not looked at.
        return _http(HTTP_METADATA)
    if request.method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers:
        return _http(HTTP_PREFLIGHT)
    version = headers.get(VERSION_HEADER)
    if request.method == "GET":
        if not _accepts_events(headers.get("accept", "")):
            raise invalid_request(Flaw.ACCEPT, "accept: expected text/event-stream for a GET", status=405)
        name = HTTP_STREAM
    elif request.method == "DELETE":
        if SESSION_HEADER not in headers:
            raise invalid_request(Flaw.SESSION, "mcp-session-id: expected the session that a DELETE ends")
        name = HTTP_END
    else:
        raise invalid_request(Flaw.METHOD, "method: expected POST, GET, DELETE or a CORS preflight", status=405)
    if era_of(version) is Era.MODERN:
        raise invalid_request(Flaw.METHOD, "method: expected POST, the only one of this protocol version", status=405)
    return _http(name, version or "", session_id(headers))


def sse_session(request: HttpRequest) -> str:
    """The session id of a POST to the HTTP+SSE transport of 2024-11-05, "" where it is not one.

    There it is in the query, and no session header is sent; a version header may be (the TypeScript SDK's client
    sends what was negotiated).
    """
    if "?" not in request.path or SESSION_HEADER in request.headers:
        return ""
    try:
        query = parse_qsl(request.path.partition("?")[2], keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise invalid_request(Flaw.SESSION, "path: expected at most 100 query parameters") from None
    found = [value for name, value in query if name in _SSE_PARAMETERS]
    if not found:
        return ""
    if len(found) > 1:
        raise invalid_request(Flaw.SESSION, "path: expected one session id in the query, got more")
    return session_id({SESSION_HEADER: found[0]})


def _http(name: str, version: str = "", session: str = "") -> Exchange:
    message = Message(MessageKind.HTTP, name, targets=(Target(TargetKind.METHOD, name),))
    return Exchange(Era.LEGACY, (message,), version=version, session=session)


def _refuse_body(request: HttpRequest) -> None:
    headers = request.headers
    if (
        request.body
        or request.size > 0
        or headers.get("content-length", "0") != "0"
        or "transfer-encoding" in headers
        or headers.get("x-envoy-auth-partial-body", "false") != "false"
    ):
        raise invalid_request(Flaw.UNEXPECTED_BODY, "body: expected none with this method")


def _is_json(media_type: str | None) -> bool:
    """RFC 9110 section 8.3.1; of the parameters only charset=utf-8, by which Express decodes."""
    if media_type is None:
        return False
    essence, *parameters = (part.strip(" \t").lower() for part in media_type.split(";"))
    said = [one for one in parameters if one]  # RFC 9110 section 5.6.6 allows empty ones
    if essence != "application/json" or len(said) > 1:
        return False
    return all(one in ("charset=utf-8", 'charset="utf-8"') for one in said)


def _accepts_events(accept: str) -> bool:
    return any(one.partition(";")[0].strip(" \t").lower() == "text/event-stream" for one in accept.split(","))
