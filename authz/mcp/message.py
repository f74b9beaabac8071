"""HttpRequest -> Exchange, only where every MCP server must understand the same; everything else is refused.

Looked at in this order: how it is carried, whether all of it is here, JSON, envelope, headers
against body. What policies say, who asks and whether a name is doubtful is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from authz.errors import MalformedMessage
from authz.mcp.carriage import decode_bodiless, refuse_repeated, refuse_unread_body, refuse_upgrade, sse_session
from authz.mcp.envelope import decode_message, readable_id
from authz.mcp.flaw import Flaw, invalid_request
from authz.mcp.headers import BATCH_VERSION, SSE_VERSION, VERSION_HEADER, session_id, trace_id
from authz.mcp.json_text import decode_json
from authz.model import Era, Exchange, HttpRequest, Message, MessageKind

MAX_BATCH: Final = 50  # parts (policies/README.md 8)


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much of a body is read.

    `max_bytes` is to be set like the proxy's limit, for a body of exactly that length may be cut; 4 MiB is what the
    MCP SDKs accept. `max_values` counts all values of the JSON document, so that reading costs under 50 ms.
    """

    max_bytes: int = 4 * 1024 * 1024
    max_values: int = 100_000


def decode(request: HttpRequest, limits: BodyLimits) -> Exchange:
    """What `request` carries; MalformedMessage, and nothing else, where that is not beyond doubt."""
    refuse_upgrade(request)
    refuse_repeated(request.headers)
    if request.method != "POST":
        return decode_bodiless(request)
    refuse_unread_body(request, limits.max_bytes)
    doubtful = request.body_is_text and b"!" in request.body
    value = decode_json(request.body, limits.max_values, doubtful=doubtful)
    try:
        return _exchange(request, value, doubtful)
    except MalformedMessage as error:
        error.id = readable_id(value)  # a client that knows which request failed need not wait for its answer
        raise


def _exchange(request: HttpRequest, value: Any, doubtful: bool) -> Exchange:
    headers = request.headers
    version = headers.get(VERSION_HEADER, "")
    query_session = sse_session(request)
    batch = type(value) is list
    if batch:
        if query_session or version not in ("", BATCH_VERSION):
            raise invalid_request(Flaw.BATCH, f"body: expected one message; batches belong to {BATCH_VERSION} only")
        messages, era = _parts(value, request, doubtful), Era.LEGACY
    else:
        message, era = decode_message(value, headers, doubtful=doubtful)
        messages = (message,)
    trace = trace_id(headers.get("traceparent"))
    if era is Era.MODERN:
        if not trace and "params" in value:
            trace = trace_id(value["params"].get("_meta", {}).get("traceparent"))
        return Exchange(era, messages, version, trace_id=trace)
    return Exchange(
        era,
        messages,
        version or (SSE_VERSION if query_session else ""),
        query_session or session_id(headers),
        batch,
        bool(query_session),
        trace,
    )


def _parts(values: list[Any], request: HttpRequest, doubtful: bool) -> tuple[Message, ...]:
    """The messages of a batch: all requests and notifications, or all responses (2025-03-26, transports)."""
    if not 1 <= len(values) <= MAX_BATCH:
        raise invalid_request(Flaw.BATCH, f"body: expected a batch of 1 to {MAX_BATCH} messages")
    messages = []
    seen = set()
    for value in values:
        message, _ = decode_message(value, request.headers, doubtful=doubtful)
        if message.method == "initialize":
            raise invalid_request(Flaw.BATCH, "body: expected no initialize in a batch")
        if message.kind is not MessageKind.NOTIFICATION:
            if message.id in seen:
                raise invalid_request(Flaw.BATCH, "body: expected each id once in a batch")
            seen.add(message.id)
        messages.append(message)
    if len({message.kind is MessageKind.RESPONSE for message in messages}) > 1:
        raise invalid_request(Flaw.BATCH, "body: expected a batch of requests or of responses, got both")
    return tuple(messages)
