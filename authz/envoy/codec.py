"""The bytes of a `CheckRequest` -> HttpRequest; Reply -> the bytes of a `CheckResponse`.

Every answer of the service is built by `encode`, for Envoy reads an answer that says nothing as *allow*. Knows no
policy and no MCP, and does not judge what the request says.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

from authz.envoy.pb import ext_authz_pb2 as pb
from authz.errors import MalformedMessage
from authz.identity import JWT_AUTHN
from authz.model import HttpRequest, JsonObject, Reply

# Filters whose metadata is read: each conversion costs some 10 µs, and what nobody reads is not converted.
WANTED = (JWT_AUTHN,)
_KEPT_METADATA = 4096  # bytes: tokens of most have a few hundred
MAX_METADATA_DEPTH = 32  # levels; protobuf itself stops at 100 messages, which are three to a level

# Where Envoy Gateway's `includeRouteMetadata` puts what a route was made from
# (https://gateway.envoyproxy.io/docs/api/extension_types/#extauth).
_GATEWAY = "envoy-gateway"

# google.rpc.Code, https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_OK = 0
_PERMISSION_DENIED = 7
_CODES = {401: 16, 429: 8, 503: 8}  # UNAUTHENTICATED, RESOURCE_EXHAUSTED; for the proxy all but 0 are the same

# Envoy sends whatever number it is told, and a broken message for 1xx (measured: 999, 204 with a body, 100).
_STATUSES = frozenset(pb.StatusCode.values()) - {pb.Empty, pb.Continue}
_BODILESS = frozenset({204, 205, 304})  # RFC 9110 15.3.5, 15.3.6, 15.4.5
_FORBIDDEN = 403

# Of the metadata of an answer, what a rule says and no call changes.
_OF_A_RULE = ("effect", "reason", "server", "tool", "rule", "revision")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 5.6.2; pseudo headers are none
# What frames the message is the proxy's (RFC 9110 7.6.1, 8.6).
_FRAMING = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"})


def decode_check_request(data: bytes, caller: str, wanted: Iterable[str] = WANTED) -> HttpRequest:
    """What the proxy asks about, from `data`, as `caller` (a transport peer) sent it.

    `size` 0 beside a body is read as "not said" (-1), for on the wire it is the same. A pipe as the source has the
    address "". Metadata is converted for the filters in `wanted` only; its numbers are doubles. Raises
    MalformedMessage for bytes that are no CheckRequest, a check that carries no HTTP request, and one that says the
    body or the headers twice.
    """
    try:
        attributes = pb.CheckRequest.FromString(data).attributes
    except DecodeError as error:
        raise MalformedMessage("check: expected a CheckRequest, got other bytes", kind="not_protobuf") from error
    if not attributes.request.HasField("http"):
        raise MalformedMessage("check: expected the attributes of an HTTP request, got none", kind="not_http")
    http = attributes.request.http
    body, text = http.raw_body, http.body
    if text:
        if body:
            raise MalformedMessage("check: expected body or raw_body, got both", kind="ambiguous_body")
        body = text
    size = http.size
    source = attributes.source
    metadata = attributes.metadata_context.filter_metadata
    return HttpRequest(
        method=http.method,
        path=http.path,
        host=http.host,
        headers=_headers(http),
        body=body,
        body_is_text=bool(text),
        size=size if size > 0 or (size == 0 and not body) else -1,
        protocol=http.protocol,
        source_address=source.address.socket_address.address,
        peer=source.principal,
        verified={name: _metadata(metadata[name]) for name in wanted if name in metadata},
        context=dict(attributes.context_extensions),
        stream_id=http.id,
        caller=caller,
        wire=data,
        route=_route(attributes.route_metadata_context) if attributes.HasField("route_metadata_context") else "",
        destination=attributes.destination.principal,
    )


def _route(metadata: pb.Metadata) -> str:
    """`NAMESPACE/NAME` of the one HTTPRoute that Envoy Gateway says the request came by, else ""."""
    fields = metadata.filter_metadata.get(_GATEWAY, Struct()).fields
    if "resources" not in fields:
        return ""
    resources = [one.struct_value.fields for one in fields["resources"].list_value.values]
    routes = [one for one in resources if "kind" in one and one["kind"].string_value == "HTTPRoute"]
    if len(routes) != 1:
        return ""
    named = [routes[0][part].string_value for part in ("namespace", "name") if part in routes[0]]
    return "/".join(named) if len(named) == 2 and all(named) else ""


def _headers(http: pb.AttributeContext.HttpRequest) -> dict[str, str]:
    """The headers by lower-case name, repeated lines joined by `,`; from `header_map` under encode_raw_headers."""
    headers = dict(http.headers)
    if http.HasField("header_map"):
        if headers:
            raise MalformedMessage("check: expected headers or header_map, got both", kind="ambiguous_headers")
        return _joined((line.key, _header_value(line)) for line in http.header_map.headers)
    names = "\n".join(headers)
    # Envoy lower-cases names; the answer to whether it did costs half a microsecond
    return headers if names == names.lower() else _joined(headers.items())


def _header_value(line: pb.HeaderValue) -> str:
    if line.raw_value and line.value:
        raise MalformedMessage("check: expected value or raw_value of a header, got both", kind="ambiguous_headers")
    # U+FFFD in the place of what is not UTF-8 equals nothing that a policy or a protocol says
    return line.raw_value.decode("utf-8", "replace") or line.value


def _joined(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in lines:
        values.setdefault(name.lower(), []).append(value)
    return {name: ",".join(found) for name, found in values.items()}


def _metadata(struct: Struct) -> JsonObject:
    """What a filter wrote, as plain data. Who calls often does so with one token, which is converted once."""
    data = struct.SerializeToString()
    return _known_metadata(data) if len(data) <= _KEPT_METADATA else _plain(struct, MAX_METADATA_DEPTH)


@functools.lru_cache(maxsize=2048)
def _known_metadata(data: bytes) -> JsonObject:
    return MappingProxyType(_plain(Struct.FromString(data), MAX_METADATA_DEPTH))


def _plain(struct: Struct, depth: int) -> dict[str, Any]:
    return {name: _plain_value(value, depth - 1) for name, value in struct.fields.items()}


def _plain_value(value: Value, depth: int) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "null_value":
        return None
    if kind is None:
        raise MalformedMessage("check: expected a value in the metadata, got none", kind="metadata")
    if depth <= 0:
        raise MalformedMessage("check: expected metadata of at most 32 levels, got more", kind="metadata")
    if kind == "struct_value":
        return _plain(value.struct_value, depth)
    if kind == "list_value":
        return [_plain_value(item, depth - 1) for item in value.list_value.values]
    return getattr(value, kind)


def source_of(data: bytes) -> str:
    """The source address of an encoded check, without decoding the rest; "" where it is not found near the start.

    To share out turns among large checks before any of them is decoded. Nothing is decided by it.
    """
    try:
        source = _member(_member(memoryview(data), 1), 1)  # CheckRequest.attributes, AttributeContext.source
        return pb.AttributeContext.Peer.FromString(bytes(source)).address.socket_address.address
    except (DecodeError, IndexError):
        return ""


def _member(message: memoryview, number: int) -> memoryview:
    """The first length-delimited field `number`, which Envoy writes in order and so near the start; else nothing."""
    at = 0
    for _ in range(8):
        tag, at = _varint(message, at)
        if tag & 7 != 2:
            break
        size, at = _varint(message, at)
        if tag >> 3 == number:
            return message[at : at + size]
        at += size
    return message[:0]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return value, at


# ------------------------------------------------------------------------------------------------ the answer


def encode(reply: Reply) -> bytes:
    """The one place where answers are made: `status.code` is 0 exactly for an allowed reply, else not 0.

    A status that Envoy does not know, or a 200 with nothing in it, becomes 403. Header names that are none, and those
    that frame the message, are left out; characters of a value that are not visible ASCII become `?` (Envoy writes
    CR and LF to the client as they are); a name given twice becomes one line. Raises TypeError, ValueError or
    AttributeError for what is no Reply: whoever calls must then answer `REFUSAL`.
    """
    if not isinstance(reply, Reply):
        raise TypeError(f"answer: expected a Reply, got {type(reply).__name__}")
    if reply.allowed is True and not reply.headers:
        return _encode_allowed(reply.metadata)
    answer = pb.CheckResponse()
    if reply.allowed is True:
        answer.status.code = _OK
        ok = answer.ok_response
        ok.SetInParent()
        _add_headers(ok.response_headers_to_add, _safe(reply.headers))
    else:
        status = reply.status if reply.status in _STATUSES else _FORBIDDEN
        if status == 200 and not reply.body:
            status = _FORBIDDEN
        answer.status.code = _CODES.get(status, _PERMISSION_DENIED)
        denied = answer.denied_response
        denied.status.code = status  # type: ignore[assignment]  # protoc's stub wants the enum's class
        headers = _safe(reply.headers)
        if reply.body and status not in _BODILESS:
            denied.body = reply.body.decode("utf-8", "replace")
            headers.setdefault("content-type", "application/json")  # else Envoy says text/plain
        else:
            headers.pop("content-type", None)
        _add_headers(denied.headers, headers)
    _add_metadata(answer, reply.metadata)
    return answer.SerializeToString()


def _encode_allowed(metadata: Mapping[str, Any]) -> bytes:
    """What most answers are: all but what is this call's own is the same for all calls that one rule allows.

    Two messages of one type, one after the other, are one with the fields of both (protobuf, "Last One Wins").
    """
    own = pb.CheckResponse()
    _add_metadata(own, {name: item for name, item in metadata.items() if name not in _OF_A_RULE})
    return _allowed_by(*[metadata.get(name) for name in _OF_A_RULE]) + own.SerializeToString()


@functools.lru_cache(maxsize=4096)
def _allowed_by(*items: object) -> bytes:
    answer = pb.CheckResponse()
    answer.status.code = _OK
    answer.ok_response.SetInParent()
    said = zip(_OF_A_RULE, items, strict=True)
    _add_metadata(answer, {name: item for name, item in said if item is not None})
    return answer.SerializeToString()


def _add_metadata(answer: pb.CheckResponse, metadata: Mapping[str, Any]) -> None:
    if metadata:
        fields = answer.dynamic_metadata.fields
        for name, item in metadata.items():
            _set(fields[name], item)


def _safe(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    safe: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if not _HEADER_NAME.fullmatch(name) or name in _FRAMING:
            continue
        if not (value.isascii() and value.isprintable()):
            value = "".join(char if " " <= char <= "~" else "?" for char in value)
        # RFC 9110 5.3: lines of one name are one list; whether Envoy keeps a second line depends on where it is
        safe[name] = f"{safe[name]}, {value}" if name in safe else value
    return safe


def _add_headers(options: Any, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        option = options.add()
        option.header.key = name
        option.header.value = value
        option.append_action = pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def _set(value: Value, item: object) -> None:
    """Set `value` to plain data; numbers become doubles."""
    if isinstance(item, str):
        value.string_value = item
    elif isinstance(item, bool):
        value.bool_value = item
    elif isinstance(item, (int, float)):
        value.number_value = item
    elif item is None:
        value.null_value = NULL_VALUE
    elif isinstance(item, Mapping):
        value.struct_value.SetInParent()
        for name, member in item.items():
            _set(value.struct_value.fields[name], member)
    elif isinstance(item, (list, tuple)):
        value.list_value.SetInParent()
        for member in item:
            _set(value.list_value.values.add(), member)
    else:
        raise TypeError(f"answer: expected metadata of plain values, got {type(item).__name__}")


# For when no other answer can be made. Complete before the first request, so that it needs no memory and no luck.
REFUSAL = encode(
    Reply(
        allowed=False,
        status=500,
        body=b'{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"denied: no decision could be made"}}',
    )
)
