"""One JSON-RPC object and the headers beside it -> Message, where every reader sees the same message.

A request that is also a response, a call without an id, a member in other case: each makes some server run what its
guard did not see. It knows nothing of HTTP but the headers that repeat the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from authz.mcp.exact import ELICITATION_KEY
from authz.mcp.flaw import Flaw, invalid_params, invalid_request, method_not_found
from authz.mcp.headers import VERSION_HEADER, check_mirrors, era_of
from authz.mcp.members import Members
from authz.mcp.methods import METHODS, NOTIFICATIONS, REMOVED, UNKNOWN
from authz.model import (
    CLIENT_RESPONSE,
    NOTHING,
    Era,
    JsonObject,
    Message,
    MessageId,
    MessageKind,
    Target,
    TargetKind,
)

# Beyond 2^53 - 1 JavaScript rounds, and answers another id than it was asked with (RFC 7493 section 2.2).
_LARGEST_ID: Final = 2**53 - 1
MAX_ID: Final = 256  # characters; a UUID has 36

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"

_ENVELOPE: Final = Members("jsonrpc", "id", "method", "params", "result", "error")
_META: Final = Members(
    META_VERSION, META_CAPABILITIES, META_LOG_LEVEL, "io.modelcontextprotocol/clientInfo", "progressToken"
)
_RESPONSE: Final = (Target(TargetKind.METHOD, CLIENT_RESPONSE),)
_ITSELF: Final = {name: (Target(TargetKind.METHOD, name),) for name in (*METHODS, *NOTIFICATIONS)}
_ID_EXPECTED: Final = f"message.id: expected a string of at most {MAX_ID} characters or an integer within 2^53"


def readable_id(value: object) -> MessageId:
    """The id of a message that may be broken otherwise, None where it has none that can be repeated."""
    if type(value) is not dict:
        return None
    found = value.get("id")
    return found if _is_id(found) else None


def decode_message(value: object, headers: Mapping[str, str], *, doubtful: bool) -> tuple[Message, Era]:
    """The message that `value` is, and its era; MalformedMessage where it is none without doubt.

    `doubtful`: the proxy may have written `!` for bytes that are not UTF-8, so a name with `!` may be another.
    """
    if type(value) is not dict:
        raise invalid_request(Flaw.ENVELOPE, "message: expected an object")
    _ENVELOPE.refuse_twins(value, "message")
    if value.get("jsonrpc") != "2.0":
        raise invalid_request(Flaw.ENVELOPE, "message.jsonrpc: expected '2.0'")
    if "method" not in value:
        return _response(value, headers), Era.LEGACY
    method = value["method"]
    if type(method) is not str or not method:
        raise invalid_request(Flaw.ENVELOPE, "message.method: expected a string that is not empty")
    if "result" in value or "error" in value:
        raise invalid_request(Flaw.RESPONSE, "message: expected a request or a response, got both")
    params: JsonObject = value.get("params", NOTHING)
    if type(params) is not dict and params is not NOTHING:
        raise invalid_params("params: expected an object")
    return _call(method, value, params, headers, doubtful)


def _call(
    method: str, value: JsonObject, params: JsonObject, headers: Mapping[str, str], doubtful: bool
) -> tuple[Message, Era]:
    """A request or a notification."""
    known = METHODS.get(method) or NOTIFICATIONS.get(method, UNKNOWN)
    known.members.refuse_twins(params, "params")
    meta: JsonObject = params.get("_meta", NOTHING)
    if meta is not NOTHING:
        if type(meta) is not dict:
            raise invalid_params("params._meta: expected an object", Flaw.META)
        _META.refuse_twins(meta, "params._meta")
    request = "id" in value
    if request:
        if not _is_id(value["id"]):
            raise invalid_request(Flaw.ID, _ID_EXPECTED)
        if method in NOTIFICATIONS:
            raise invalid_request(Flaw.ID, "message.id: expected none in a notification")
    elif not method.startswith("notifications/"):
        raise invalid_request(Flaw.ID, "message.id: expected one in a request")

    era = era_of(headers.get(VERSION_HEADER), meta.get(META_VERSION), states=META_VERSION in meta)
    modern = era is Era.MODERN and request  # for notifications 2026-07-28 leaves open what they must carry
    if modern:
        _refuse_bare(meta)
        if method in REMOVED:
            raise method_not_found("message.method: expected one that this protocol version has")
    targets, arguments = known.read(params) if known.read else ((), NOTHING)
    name = params.get(known.mirrored) if known.mirrored else None
    check_mirrors(headers, method, name, method_needed=modern, name_needed=modern and known.name_needed)
    if doubtful and ("!" in method or any("!" in target.name for target in targets)):
        raise invalid_request(
            Flaw.DOUBTFUL_TEXT, "message: expected names without '!' in a body that is not sent as bytes"
        )
    continues, answered = _continues(params) if era is Era.MODERN else (False, False)
    message = Message(
        MessageKind.REQUEST if request else MessageKind.NOTIFICATION,
        method,
        value.get("id"),
        targets or _ITSELF.get(method) or (Target(TargetKind.METHOD, method),),
        arguments,
        continues,
        known.reference_only,
        method == "tools/call" and params.get("task") is not None,
        _log_level(method, params, meta),
        doubtful,
        _opens_urls(params.get("capabilities") if method == "initialize" else meta.get(META_CAPABILITIES)),
        answered,
    )
    return message, era


def _response(value: JsonObject, headers: Mapping[str, str]) -> Message:
    """The client's answer to a request that the server sent down its stream; until 2025-11-25 only."""
    if ("result" in value) == ("error" in value):
        raise invalid_request(Flaw.RESPONSE, "message: expected a method, or one of result and error")
    if "params" in value:
        raise invalid_request(Flaw.RESPONSE, "message: expected no params in a response")
    if not _is_id(value.get("id")):
        raise invalid_request(Flaw.ID, _ID_EXPECTED)
    if "result" in value:
        if type(value["result"]) is not dict:
            raise invalid_request(Flaw.RESPONSE, "message.result: expected an object")
    else:
        error = value["error"]
        if type(error) is not dict or type(error.get("code")) is not int or type(error.get("message")) is not str:
            raise invalid_request(Flaw.RESPONSE, "message.error: expected an object with a code and a message")
    if era_of(headers.get(VERSION_HEADER)) is Era.MODERN:
        raise invalid_request(Flaw.RESPONSE, "message: expected no response in this protocol version")
    check_mirrors(headers, None, None, method_needed=False, name_needed=False)
    return Message(MessageKind.RESPONSE, CLIENT_RESPONSE, value["id"], _RESPONSE)


def _is_id(value: object) -> bool:
    """A string or an integer of which every reader makes the same; to JSON-RPC, true is no integer."""
    if type(value) is int:
        return -_LARGEST_ID <= value <= _LARGEST_ID
    return type(value) is str and len(value) <= MAX_ID


def _refuse_bare(meta: JsonObject) -> None:
    """2026-07-28, basic/index "Per-request protocol fields": -32602 where a required one is missing."""
    if META_VERSION not in meta or type(meta.get(META_CAPABILITIES)) is not dict:
        raise invalid_params(
            f"params._meta: expected {META_VERSION} and {META_CAPABILITIES}, a string and an object", Flaw.META
        )


def _opens_urls(capabilities: object) -> bool:
    """Whether the client declares elicitation by URL (2025-11-25 and 2026-07-28, client/elicitation)."""
    elicitation = capabilities.get("elicitation") if type(capabilities) is dict else None
    return type(elicitation) is dict and type(elicitation.get("url")) is dict


def _continues(params: JsonObject) -> tuple[bool, bool]:
    """Whether this repeats a call with what the server asked for, and whether with what this service asked for.

    Only an answer to the service's own elicitation, and nothing beside it, is no continuation: the server asked for
    nothing (2026-07-28, patterns/mrtr).
    """
    answers = params.get("inputResponses", NOTHING)
    state = params.get("requestState", "")
    if type(answers) is not dict and answers is not NOTHING:
        raise invalid_params("params.inputResponses: expected an object")
    if type(state) is not str:
        raise invalid_params("params.requestState: expected a string")
    if answers is NOTHING and "requestState" not in params:
        return False, False
    answered = ELICITATION_KEY in answers
    return len(answers) > answered or not answered or "requestState" in params, answered


def _log_level(method: str, params: JsonObject, meta: JsonObject) -> str:
    level = params["level"] if method == "logging/setLevel" else meta.get(META_LOG_LEVEL, "")
    if type(level) is not str:
        raise invalid_params(f"params._meta: expected {META_LOG_LEVEL} as a string", Flaw.META)
    return level
