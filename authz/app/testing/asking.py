"""The members of a case that describe its call -> the HTTP request that the proxy would describe. Knows no policy."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from authz.app.callers import Caller, identified
from authz.app.commands.http_text import UnreadableRequest, make_request, parse_request
from authz.identity import Identities
from authz.mcp.headers import METHOD_HEADER, MODERN_VERSIONS, NAME_HEADER, SESSION_HEADER, VERSION_HEADER
from authz.model import HTTP_END, HTTP_PREFLIGHT, HTTP_STREAM, HttpRequest
from authz.policy.selection import SERVER_EXTENSION
from authz.policy.text.document import Path

CALLS = ("tool", "prompt", "resource", "method", "body", "request")  # a call is one of them
_NAMED = {"tool": ("tools/call", "name"), "prompt": ("prompts/get", "name"), "resource": ("resources/read", "uri")}
WITH_ARGUMENTS = ("tool", "prompt")
SHAPING = ("without", "lengths")  # what changes arguments
_BODILESS = (HTTP_STREAM, HTTP_END, HTTP_PREFLIGHT)
_NOTIFICATION = "notifications/"

_PROTOCOL = "2025-11-25"  # the last version whose requests need nothing but a body
_ADDRESS = "192.0.2.1"  # of the block for documentation (RFC 5737)
_HOST, _PATH = "mcp.example", "/mcp"
_HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
_META = "io.modelcontextprotocol/"  # 2026-07-28: what every request states in `_meta`


class Unaskable(Exception):  # noqa: N818 - no error: the problem is noted and the case left out
    """Members that describe no call; `path` is which of them."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = path


def request_of(members: Mapping[str, Any], caller: Caller | None, identities: Identities) -> HttpRequest:
    """The request that `members` (well-formed, in the words of test_schema.json) describe; raises Unaskable."""
    given = [call for call in CALLS if call in members]
    if len(given) != 1:
        said = " and ".join(given) or "none"
        raise Unaskable((), f"expected one of {', '.join(CALLS)}, got {said}")
    (call,) = given
    for key in ("arguments", *SHAPING):
        if key in members and call not in WITH_ARGUMENTS:
            raise Unaskable((key,), f"expected only beside tool or prompt, got it beside {call}")
    request = _whole(members) if call == "request" else _composed(call, members)
    headers = {**request.headers, **{name.lower(): value for name, value in members.get("headers", {}).items()}}
    if "session" in members:
        headers[SESSION_HEADER] = members["session"]
    server = members.get("server", "")
    request = structs.replace(
        request,
        headers=headers,
        host=members.get("host", request.host),
        path=members.get("path", request.path),
        peer=members.get("peer", ""),
        source_address=members.get("address", _ADDRESS),
        context={SERVER_EXTENSION: server} if server else {},
        route=members.get("route", ""),
        destination=members.get("destination", ""),
    )
    if caller is None:
        return request
    request = identified(request, caller, identities.sources)
    return structs.replace(request, peer=members["peer"]) if "peer" in members else request


def _whole(members: Mapping[str, Any]) -> HttpRequest:
    for key in ("params", "meta", "protocol"):
        if key in members:
            raise Unaskable((key,), "expected no such key beside request, which has its own")
    try:
        return parse_request(members["request"].encode())
    except UnreadableRequest as error:
        raise Unaskable(("request",), str(error)) from error


def _composed(call: str, members: Mapping[str, Any]) -> HttpRequest:
    version = members.get("protocol", _PROTOCOL)
    headers = {**_HEADERS, VERSION_HEADER: version}
    if call == "body":
        return make_request("POST", _PATH, _HOST, headers.items(), members["body"].encode())
    method, place = _NAMED.get(call, (members.get("method", ""), ""))
    if call == "method" and method in _BODILESS:
        return make_request(method, _PATH, _HOST, headers.items(), b"")
    params: dict[str, Any] = dict(members.get("params", {}))
    if place:
        params[place] = members[call]
    meta = dict(members.get("meta", {}))
    if version in MODERN_VERSIONS:
        headers |= _mirrors(method, params)
        meta = {f"{_META}protocolVersion": version, f"{_META}clientCapabilities": {}, **meta}
    if meta:
        params["_meta"] = {**params.get("_meta", {}), **meta}
    text = json.dumps(params)
    if any(key in members for key in ("arguments", *SHAPING)):
        text = f'{text[:-1]}, "arguments": {_arguments(members)}}}'  # a tool or prompt: there is a name before it
    id_ = "" if method.startswith(_NOTIFICATION) else '"id": 1, '
    body = f'{{"jsonrpc": "2.0", {id_}"method": {json.dumps(method)}, "params": {text}}}'
    return make_request("POST", _PATH, _HOST, headers.items(), body.encode())


def _arguments(members: Mapping[str, Any]) -> str:
    """The arguments as JSON; text goes in as it was given, so that the reader of real requests finds what is wrong."""
    given = members.get("arguments", {})
    if isinstance(given, str):
        for key in SHAPING:
            if key in members:
                raise Unaskable((key,), "expected arguments as a mapping beside it, got text")
        try:
            json.loads(given)
        except (ValueError, RecursionError) as error:
            raise Unaskable(("arguments",), f"expected JSON, got text that is none: {error}") from error
        return given
    without, lengths = members.get("without", ()), members.get("lengths", {})
    for key, names in (("without", without), ("lengths", lengths)):
        for name in names:
            if name not in given:
                raise Unaskable((key,), f"expected the name of an argument, got {name!r}")
    shaped = {name: value for name, value in given.items() if name not in without}
    for name, length in lengths.items():
        if not isinstance(given[name], str) or not given[name]:
            raise Unaskable(("lengths", name), "expected an argument that is text and not empty")
        shaped[name] = (given[name] * (int(length) // len(given[name]) + 1))[: int(length)]
    return json.dumps(shaped)


def _mirrors(method: str, params: Mapping[str, Any]) -> dict[str, str]:
    """The headers that repeat method and name (2026-07-28, streamable-http)."""
    headers = {METHOD_HEADER: method}
    if method in ("tools/call", "prompts/get"):
        headers[NAME_HEADER] = _header(str(params.get("name", "")))
    elif method == "resources/read":
        headers[NAME_HEADER] = _header(str(params.get("uri", "")))
    return headers


def _header(text: str) -> str:
    if text.isascii() and text.isprintable() and text == text.strip():
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'surrogatepass')).decode()}?="
