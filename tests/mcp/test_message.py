"""What is read, and what is refused with which words, code and status."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from authz.errors import MalformedMessage
from authz.mcp.message import BodyLimits, decode
from authz.model import Era, Exchange, HttpRequest, Message, MessageKind, Reason, Target, TargetKind

LIMITS = BodyLimits()
Post = Callable[..., HttpRequest]


def call(name: object = "get_value", **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, **more}}


def ask(method: str, params: object = None, id_: object = 7) -> dict[str, Any]:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": id_, "method": method}
    return body if params is None else {**body, "params": params}


def only(request: HttpRequest, limits: BodyLimits = LIMITS) -> Message:
    (message,) = decode(request, limits).messages
    return message


def refusal(request: HttpRequest, limits: BodyLimits = LIMITS) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        decode(request, limits)
    return caught.value


# ---------------------------------------------------------------------------------------------- what is read


def test_a_tools_call_is_read_with_its_name_arguments_id_session_and_trace(post: Post) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    request = post(
        call(arguments={"key": "app:x", "ttl": 60}),
        headers={"mcp-session-id": "s-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"},
    )
    assert decode(request, LIMITS) == Exchange(
        Era.LEGACY,
        (
            Message(
                MessageKind.REQUEST,
                "tools/call",
                1,
                (Target(TargetKind.TOOL, "get_value"),),
                {"key": "app:x", "ttl": 60},
            ),
        ),
        version="2025-06-18",
        session="s-1",
        trace_id=trace,
    )


def test_a_modern_tools_call_has_no_session_even_where_one_is_sent(modern: Post) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/logLevel": "debug",
        "traceparent": f"00-{trace}-b7ad6b7169203331-01",
    }
    exchange = decode(
        modern("tools/call", {"name": "get_value"}, name="get_value", meta=meta, headers={"mcp-session-id": "a b"}),
        LIMITS,
    )
    assert (exchange.era, exchange.version, exchange.session) == (Era.MODERN, "2026-07-28", "")
    assert exchange.trace_id == trace
    assert exchange.messages[0].log_level == "debug"


@pytest.mark.parametrize(
    ("method", "params", "targets"),
    [
        ("tools/call", {"name": "t"}, [(TargetKind.TOOL, "t")]),
        ("prompts/get", {"name": "p", "arguments": {"a": "b"}}, [(TargetKind.PROMPT, "p")]),
        ("resources/read", {"uri": "file:///a"}, [(TargetKind.RESOURCE, "file:///a")]),
        ("resources/subscribe", {"uri": "file:///a"}, [(TargetKind.RESOURCE, "file:///a")]),
        ("resources/unsubscribe", {"uri": "file:///a"}, [(TargetKind.RESOURCE, "file:///a")]),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}}, [(TargetKind.PROMPT, "p")]),
        (
            "completion/complete",
            {"ref": {"type": "ref/resource", "uri": "file:///{p}"}},
            [(TargetKind.RESOURCE, "file:///{p}")],
        ),
        (
            "subscriptions/listen",
            {"notifications": {"resourceSubscriptions": ["a:1", "b:2"], "toolsListChanged": True}},
            [(TargetKind.RESOURCE, "a:1"), (TargetKind.RESOURCE, "b:2")],
        ),
        (
            "subscriptions/listen",
            {"notifications": {"toolsListChanged": True}},
            [(TargetKind.METHOD, "subscriptions/listen")],
        ),
        ("subscriptions/listen", None, [(TargetKind.METHOD, "subscriptions/listen")]),
        ("tools/list", None, [(TargetKind.METHOD, "tools/list")]),
        ("tools/list", {"cursor": "c"}, [(TargetKind.METHOD, "tools/list")]),
        ("tasks/get", {"taskId": "1"}, [(TargetKind.METHOD, "tasks/get")]),
        ("server/discover", {}, [(TargetKind.METHOD, "server/discover")]),
        ("admin/shutdown", {"name": "t"}, [(TargetKind.METHOD, "admin/shutdown")]),
    ],
)
def test_each_method_is_read_with_what_it_is_done_to(
    post: Post, method: str, params: object, targets: list[tuple[TargetKind, str]]
) -> None:
    message = only(post(ask(method, params)))
    assert message.kind is MessageKind.REQUEST
    assert message.method == method
    assert message.targets == tuple(Target(kind, name) for kind, name in targets)
    assert message.reference_only == (method == "completion/complete")


@pytest.mark.parametrize(
    "id_", [0, -1, 1, 2**53 - 1, -(2**53) + 1, "", "6f1c1b1e-0000-4000-8000-000000000001", "x" * 256]
)
def test_an_id_keeps_its_type(post: Post, id_: object) -> None:
    found = only(post(ask("ping", id_=id_))).id
    assert found == id_
    assert type(found) is type(id_)


@pytest.mark.parametrize(
    "method",
    ["notifications/initialized", "notifications/cancelled", "notifications/roots/list_changed", "notifications/x"],
)
def test_a_message_without_id_is_a_notification_if_its_method_is_one(post: Post, method: str) -> None:
    message = only(post({"jsonrpc": "2.0", "method": method}))
    assert (message.kind, message.id) == (MessageKind.NOTIFICATION, None)


@pytest.mark.parametrize(
    "answer", [{"result": {}}, {"result": {"action": "cancel"}}, {"error": {"code": -1, "message": "no", "data": [1]}}]
)
def test_the_answer_to_a_request_of_the_server_is_a_response(post: Post, answer: dict[str, Any]) -> None:
    message = only(post({"jsonrpc": "2.0", "id": "srv-7", **answer}))
    assert message == Message(MessageKind.RESPONSE, "response", "srv-7", (Target(TargetKind.METHOD, "response"),))


def test_a_task_augmented_call_wants_a_task(post: Post) -> None:
    assert only(post(call(task={"ttl": 60000}))).wants_task
    assert not only(post(call())).wants_task


def test_the_log_level_is_read(post: Post) -> None:
    assert only(post(ask("logging/setLevel", {"level": "debug"}))).log_level == "debug"


@pytest.mark.parametrize(
    "retry",
    [
        {"inputResponses": {}},
        {"requestState": "s"},
        {"inputResponses": {"k": {"action": "accept"}}, "requestState": ""},
    ],
)
def test_a_retry_with_input_is_a_continuation_of_the_modern_era_only(
    post: Post, modern: Post, retry: dict[str, Any]
) -> None:
    assert only(modern("tools/call", {"name": "t", **retry}, name="t")).continuation
    assert not only(modern("tools/call", {"name": "t"}, name="t")).continuation
    assert not only(post(call(**retry))).continuation


def test_initialize_may_offer_any_version_and_needs_no_header(post: Post) -> None:
    body = ask("initialize", {"protocolVersion": "2031-01-01", "capabilities": {}, "clientInfo": {"name": "ü"}})
    exchange = decode(post(body, drop=("mcp-protocol-version",)), LIMITS)
    assert (exchange.era, exchange.version) == (Era.LEGACY, "")


def test_members_that_nobody_knows_are_fine(post: Post) -> None:
    message = only(post({**call(vendorHint={"a": 1}, arguments={"Name": "x", "name": "y"}), "extra": 1}))
    assert message.arguments == {"Name": "x", "name": "y"}


@pytest.mark.parametrize("parameter", ["session_id", "sessionId"])
@pytest.mark.parametrize("drop", [(), ("mcp-protocol-version",)])
def test_a_session_in_the_query_is_the_http_sse_transport(post: Post, parameter: str, drop: tuple[str, ...]) -> None:
    exchange = decode(post(call(), path=f"/messages/?a=b&{parameter}=3f0c", drop=drop), LIMITS)
    assert exchange.sse_transport
    assert exchange.session == "3f0c"
    assert exchange.version == ("2024-11-05" if drop else "2025-06-18")


def test_another_query_is_ordinary(post: Post) -> None:
    exchange = decode(post(call(), path="/mcp?tenant=a"), LIMITS)
    assert (exchange.sse_transport, exchange.session) == (False, "")


def test_a_session_header_makes_the_query_ordinary(post: Post) -> None:
    exchange = decode(post(call(), path="/mcp?session_id=a", headers={"mcp-session-id": "b"}), LIMITS)
    assert (exchange.sse_transport, exchange.session) == (False, "b")


def test_a_batch_is_read_part_by_part_in_the_one_version_that_has_them(post: Post) -> None:
    body = [call(), ask("tools/list"), {"jsonrpc": "2.0", "method": "notifications/initialized"}, ask("ping", id_="7")]
    for exchange in (
        decode(post(body, headers={"mcp-protocol-version": "2025-03-26"}), LIMITS),
        decode(post(body, drop=("mcp-protocol-version",)), LIMITS),
    ):
        assert exchange.batch
        assert [message.method for message in exchange.messages] == [
            "tools/call",
            "tools/list",
            "notifications/initialized",
            "ping",
        ]


# ------------------------------------------------------------------------------------------- without a body


def bare(method: str, path: str = "/mcp", body: bytes = b"", size: int = -1, **headers: str) -> HttpRequest:
    return HttpRequest(method, path, "lab", {k.replace("_", "-"): v for k, v in headers.items()}, body, size=size)


@pytest.mark.parametrize(
    ("request_", "name", "session"),
    [
        (bare("GET", accept="text/event-stream"), "GET", ""),
        (bare("GET", accept="application/json;q=1, Text/Event-Stream ;q=0.5", mcp_session_id="s"), "GET", "s"),
        (bare("GET", "/sse", accept="text/event-stream", mcp_protocol_version="2024-11-05"), "GET", ""),
        (bare("DELETE", mcp_session_id="s", mcp_protocol_version="2025-06-18", content_length="0"), "DELETE", "s"),
        (bare("OPTIONS", origin="https://a", access_control_request_method="POST"), "OPTIONS", ""),
        (bare("GET", "/.well-known/oauth-protected-resource/mcp?x=1"), "GET /.well-known", ""),
        (bare("GET", "/.well-known/oauth-authorization-server", mcp_protocol_version="2099"), "GET /.well-known", ""),
    ],
)
def test_requests_without_a_body_are_read_as_http(request_: HttpRequest, name: str, session: str) -> None:
    exchange = decode(request_, LIMITS)
    assert exchange.messages == (Message(MessageKind.HTTP, name, targets=(Target(TargetKind.METHOD, name),)),)
    assert (exchange.era, exchange.session) == (Era.LEGACY, session)


NO_METHOD = "method: expected POST, GET, DELETE or a CORS preflight"
NO_STREAM = "accept: expected text/event-stream for a GET"
NO_BODY = "body: expected none with this method"
POST_ONLY = "method: expected POST, the only one of this protocol version"


@pytest.mark.parametrize(
    ("request_", "kind", "status", "text"),
    [
        (bare("GET"), "accept", 405, NO_STREAM),
        (bare("GET", accept="application/json"), "accept", 405, NO_STREAM),
        (bare("GET", accept="text/event-stream2"), "accept", 405, NO_STREAM),
        (bare("GET", "/.well-known/oauth-x/../mcp"), "accept", 405, NO_STREAM),
        (bare("GET", "/.well-known/oauth-x/%2e%2e/mcp"), "accept", 405, NO_STREAM),
        (bare("GET", body=b"{}", accept="text/event-stream"), "unexpected_body", 400, NO_BODY),
        (bare("GET", size=3, accept="text/event-stream"), "unexpected_body", 400, NO_BODY),
        (bare("GET", accept="text/event-stream", content_length="3"), "unexpected_body", 400, NO_BODY),
        (bare("GET", accept="text/event-stream", transfer_encoding="chunked"), "unexpected_body", 400, NO_BODY),
        (bare("GET", "/.well-known/oauth-x", body=b"{}"), "unexpected_body", 400, NO_BODY),
        (bare("DELETE", body=b"{}", mcp_session_id="s"), "unexpected_body", 400, NO_BODY),
        (
            bare("OPTIONS", body=b"{}", origin="a", access_control_request_method="POST"),
            "unexpected_body",
            400,
            NO_BODY,
        ),
        (bare("DELETE"), "session", 400, "mcp-session-id: expected the session that a DELETE ends"),
        (bare("OPTIONS", origin="https://a"), "method", 405, NO_METHOD),
        (bare("OPTIONS", access_control_request_method="POST"), "method", 405, NO_METHOD),
        (bare("HEAD", "/.well-known/oauth-protected-resource"), "method", 405, NO_METHOD),
        (bare("PUT"), "method", 405, NO_METHOD),
        (bare("TRACE"), "method", 405, NO_METHOD),
        (bare("post"), "method", 405, NO_METHOD),
        (bare("get", accept="text/event-stream"), "method", 405, NO_METHOD),
        (bare(""), "method", 405, NO_METHOD),
        (bare("CONNECT"), "upgrade", 405, "request: expected no upgrade and no tunnel"),
        (
            bare("GET", accept="text/event-stream", upgrade="websocket"),
            "upgrade",
            405,
            "request: expected no upgrade and no tunnel",
        ),
        (bare("GET", accept="text/event-stream", mcp_protocol_version="2026-07-28"), "method", 405, POST_ONLY),
        (bare("DELETE", mcp_session_id="s", mcp_protocol_version="2026-07-28"), "method", 405, POST_ONLY),
    ],
)
def test_other_requests_without_a_body_are_refused(request_: HttpRequest, kind: str, status: int, text: str) -> None:
    error = refusal(request_)
    assert (error.kind, error.status, error.code, str(error)) == (kind, status, -32600, text)


# ------------------------------------------------------------------------------------------- how it is carried

MEDIA = "content-type: expected application/json, at most with charset=utf-8"


@pytest.mark.parametrize(
    "media_type",
    [
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json\t; charset=UTF-8",
        "application/json;",
    ],
)
def test_media_types_that_are_json_by_every_reading_are_taken(post: Post, media_type: str) -> None:
    assert only(post(call(), headers={"content-type": media_type})).method == "tools/call"


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/jsonx",
        "application/json-patch+json",
        "application/vnd.api+json",
        "text/json",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; boundary=x",
        "application/json; charset",
        "multipart/form-data; boundary=x",
        "application\u017fjson",
    ],
)
def test_media_types_that_some_server_reads_otherwise_are_refused(post: Post, media_type: str) -> None:
    error = refusal(post(call(), headers={"content-type": media_type}))
    assert (error.kind, error.status, error.code, str(error)) == ("media_type", 400, -32600, MEDIA)


def test_a_post_without_media_type_is_refused(post: Post) -> None:
    assert str(refusal(post(call(), drop=("content-type",)))) == MEDIA


def test_identity_is_the_only_encoding(post: Post) -> None:
    assert only(post(call(), headers={"content-encoding": "identity"})).method == "tools/call"
    for encoding in ("gzip", "GZIP", "deflate", "br", "zstd", "", "x"):
        error = refusal(post(call(), headers={"content-encoding": encoding}))
        assert (error.kind, str(error)) == ("encoding", "content-encoding: expected identity or none")


@pytest.mark.parametrize(
    ("name", "value", "code", "reason"),
    [
        ("content-type", "application/json, text/plain", -32600, Reason.MALFORMED),
        ("content-encoding", "identity,gzip", -32600, Reason.MALFORMED),
        ("content-length", "90,90", -32600, Reason.MALFORMED),
        ("host", "a,b", -32600, Reason.MALFORMED),
        (":authority", "a,b", -32600, Reason.MALFORMED),
        ("authorization", "Bearer a,Bearer b", -32600, Reason.MALFORMED),
        ("authorization", "AWS4-HMAC-SHA256 Credential=a,bearer b", -32600, Reason.MALFORMED),
        ("mcp-protocol-version", "2026-07-28,2025-06-18", -32020, Reason.HEADER_MISMATCH),
        ("mcp-method", "tools/call,tools/call", -32020, Reason.HEADER_MISMATCH),
    ],
)
def test_a_singleton_header_that_came_twice_is_refused(
    post: Post, name: str, value: str, code: int, reason: Reason
) -> None:
    error = refusal(post(call(), headers={name: value}))
    assert (error.kind, error.code, error.reason) == ("repeated_header", code, reason)
    assert str(error) == f"{name}: expected one value, got a comma"


def test_other_credentials_may_have_commas(post: Post) -> None:
    request = post(call(), headers={"authorization": "AWS4-HMAC-SHA256 Credential=a, Signature=b"})
    assert only(request).method == "tools/call"


def test_a_body_must_be_there(post: Post) -> None:
    text = "body: expected a JSON-RPC message, got nothing; does the proxy send bodies?"
    for request in (post(raw=b""), post(raw=b"", size=0), post(raw=b"", headers={"content-length": "94"})):
        error = refusal(request)
        assert (error.kind, error.code, error.status, str(error)) == ("empty", -32600, 400, text)


@pytest.mark.parametrize(
    ("size", "headers", "text"),
    [
        (-1, {"x-envoy-auth-partial-body": "true"}, "body: expected all of it, got a part"),
        (-1, {"x-envoy-auth-partial-body": "False"}, "body: expected all of it, got a part"),
        (-1, {"x-envoy-auth-partial-body": "false,true"}, "body: expected all of it, got a part"),
        (5000, {}, "body: expected as many bytes as the proxy counted"),
        (1, {}, "body: expected as many bytes as the proxy counted"),
        (-2, {}, "body: expected as many bytes as the proxy counted"),
        (-1, {"content-length": "5000"}, "content-length: expected the length of the body"),
        (-1, {"content-length": "1"}, "content-length: expected the length of the body"),
        (-1, {"content-length": ""}, "content-length: expected the length of the body"),
        (-1, {"content-length": "+77"}, "content-length: expected the length of the body"),
    ],
)
def test_a_part_of_a_body_is_refused(post: Post, size: int, headers: dict[str, str], text: str) -> None:
    error = refusal(post(call(), size=size, headers=headers))
    assert (error.kind, error.status, error.reason, str(error)) == ("truncated", 413, Reason.TRUNCATED, text)


def test_a_chunked_body_needs_no_length(post: Post) -> None:
    assert only(post(call(), drop=("content-length", "x-envoy-auth-partial-body"))).method == "tools/call"


def test_a_body_of_exactly_the_limit_may_be_cut_and_a_longer_one_is_too_large(post: Post) -> None:
    request = post(call())
    length = len(request.body)
    text = f"body: expected less than {length} bytes"
    assert only(request, BodyLimits(max_bytes=length + 1)).method == "tools/call"
    error = refusal(request, BodyLimits(max_bytes=length))
    assert (error.kind, error.status, error.reason, str(error)) == ("truncated", 413, Reason.TRUNCATED, text)
    error = refusal(request, BodyLimits(max_bytes=length - 1))
    text = f"body: expected less than {length - 1} bytes"
    assert (error.kind, error.status, error.reason, str(error)) == ("too_large", 413, Reason.TOO_LARGE, text)


# ---------------------------------------------------------------------------------------------- the envelope

ID = "message.id: expected a string of at most 256 characters or an integer within 2^53"
TWIN = "expected no member that only looks like a known one"
NAME = "params.name: expected a string that is not empty"
BOTH = "message: expected a request or a response, got both"
NEITHER = "message: expected a method, or one of result and error"
ASCII = "expected member names of at most 256 printable ASCII characters"
URI = "expected a string of 1 to 8192 characters"
URIS = "params.notifications.resourceSubscriptions: expected a list of at most 100 URIs"


KELVIN = {"\u212aey": 1}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def listen(uris: object) -> dict[str, Any]:
    return ask("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})


@pytest.mark.parametrize(
    ("body", "kind", "code", "text"),
    [
        (1, "envelope", -32600, "message: expected an object"),
        ("tools/call", "envelope", -32600, "message: expected an object"),
        (None, "envelope", -32600, "message: expected an object"),
        (without(call(), "jsonrpc"), "envelope", -32600, "message.jsonrpc: expected '2.0'"),
        ({**call(), "jsonrpc": 2.0}, "envelope", -32600, "message.jsonrpc: expected '2.0'"),
        ({**call(), "jsonrpc": "1.0"}, "envelope", -32600, "message.jsonrpc: expected '2.0'"),
        ({**call(), "jsonrpc": ["2.0"]}, "envelope", -32600, "message.jsonrpc: expected '2.0'"),
        ({**call(), "method": None}, "envelope", -32600, "message.method: expected a string that is not empty"),
        ({**call(), "method": 1}, "envelope", -32600, "message.method: expected a string that is not empty"),
        ({**call(), "method": ""}, "envelope", -32600, "message.method: expected a string that is not empty"),
        (
            {**call(), "method": {"name": "tools/call"}},
            "envelope",
            -32600,
            "message.method: expected a string that is not empty",
        ),
        ({**call(), "result": {}}, "response", -32600, BOTH),
        ({**call(), "error": None}, "response", -32600, BOTH),
        ({**call(), "Method": "tools/list"}, "twin_member", -32600, f"message: {TWIN}"),
        ({**call(), "PARAMS": {}}, "twin_member", -32600, f"message: {TWIN}"),
        ({**call(), "id ": 2}, "twin_member", -32600, f"message: {TWIN}"),
        ({**call(), "__proto__": {}}, "twin_member", -32600, f"message: {TWIN}"),
        ({**call(), "param\u017f": {}}, "twin_member", -32600, f"message: {ASCII}"),
        ({**call(), "method\0": "x"}, "twin_member", -32600, f"message: {ASCII}"),
        ({**call(), "x" * 257: 1}, "twin_member", -32600, f"message: {ASCII}"),
        (
            {**call(), **{f"x{i}": 1 for i in range(125)}},
            "twin_member",
            -32600,
            "message: expected at most 128 members",
        ),
        ({**call(), "params": [{"name": "x"}]}, "params", -32602, "params: expected an object"),
        ({**call(), "params": None}, "params", -32602, "params: expected an object"),
        ({**call(), "params": '{"name": "x"}'}, "params", -32602, "params: expected an object"),
        ({**call(), "params": True}, "params", -32602, "params: expected an object"),
        (call(Name="x"), "twin_member", -32600, f"params: {TWIN}"),
        (call(ARGUMENTS={}), "twin_member", -32600, f"params: {TWIN}"),
        (call(__proto__={"name": "x"}), "twin_member", -32600, f"params: {TWIN}"),
        (call(**KELVIN), "twin_member", -32600, f"params: {ASCII}"),
        (call(_meta=[]), "meta", -32602, "params._meta: expected an object"),
        (call(_meta=None), "meta", -32602, "params._meta: expected an object"),
        (call(_meta={"io.modelcontextprotocol/ProtocolVersion": 1}), "twin_member", -32600, f"params._meta: {TWIN}"),
        (
            call(_meta={"io.modelcontextprotocol/logLevel": 1}),
            "meta",
            -32602,
            "params._meta: expected io.modelcontextprotocol/logLevel as a string",
        ),
        (call(""), "params", -32602, NAME),
        (call(5), "params", -32602, NAME),
        (call(["get_value"]), "params", -32602, NAME),
        (ask("tools/call"), "params", -32602, NAME),
        (ask("prompts/get", {"name": ["p"]}), "params", -32602, NAME),
        (call(arguments=None), "params", -32602, "params.arguments: expected an object"),
        (call(arguments=[{}]), "params", -32602, "params.arguments: expected an object"),
        (call(arguments=1), "params", -32602, "params.arguments: expected an object"),
        (ask("resources/read", {"uri": ""}), "params", -32602, f"params.uri: {URI}"),
        (ask("resources/read", {"uri": "a" * 8193}), "params", -32602, f"params.uri: {URI}"),
        (ask("resources/read", {}), "params", -32602, f"params.uri: {URI}"),
        (ask("completion/complete", {}), "params", -32602, "params.ref: expected an object"),
        (
            ask("completion/complete", {"ref": {"type": "ref/tool", "name": "x"}}),
            "params",
            -32602,
            "params.ref.type: expected ref/prompt or ref/resource",
        ),
        (
            ask("completion/complete", {"ref": {"type": "ref/prompt"}}),
            "params",
            -32602,
            "params.ref.name: expected a string that is not empty",
        ),
        (
            ask("completion/complete", {"ref": {"type": "ref/resource", "uri": 1}}),
            "params",
            -32602,
            f"params.ref.uri: {URI}",
        ),
        (
            ask("completion/complete", {"ref": {"type": "ref/prompt", "name": "x", "Name": "y"}}),
            "twin_member",
            -32600,
            f"params.ref: {TWIN}",
        ),
        (
            ask("subscriptions/listen", {"notifications": []}),
            "params",
            -32602,
            "params.notifications: expected an object",
        ),
        (
            ask("subscriptions/listen", {"notifications": {"ResourceSubscriptions": []}}),
            "twin_member",
            -32600,
            f"params.notifications: {TWIN}",
        ),
        (listen("a:b"), "params", -32602, URIS),
        (listen(None), "params", -32602, URIS),
        (listen(["a:b"] * 101), "params", -32602, URIS),
        (listen([1]), "params", -32602, f"params.notifications.resourceSubscriptions: {URI}"),
        (ask("logging/setLevel", {}), "params", -32602, "params.level: expected a string that is not empty"),
        (ask("tasks/get", {"taskId": 1}), "params", -32602, "params.taskId: expected a string that is not empty"),
        (
            ask("initialize", {"protocolVersion": 1}),
            "params",
            -32602,
            "params.protocolVersion: expected a string that is not empty",
        ),
        (ask("notifications/initialized"), "id", -32600, "message.id: expected none in a notification"),
        ({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": "x"}}, "response", -32600, NEITHER),
        ({"jsonrpc": "2.0", "id": 1}, "response", -32600, NEITHER),
        ({"jsonrpc": "2.0", "id": 1, "params": {"name": "x"}}, "response", -32600, NEITHER),
        (
            {"jsonrpc": "2.0", "id": 1, "result": {}, "params": {}},
            "response",
            -32600,
            "message: expected no params in a response",
        ),
        ({"jsonrpc": "2.0", "id": 1, "result": 1}, "response", -32600, "message.result: expected an object"),
        (
            {"jsonrpc": "2.0", "id": 1, "error": "x"},
            "response",
            -32600,
            "message.error: expected an object with a code and a message",
        ),
        (
            {"jsonrpc": "2.0", "id": 1, "error": {"code": True, "message": "x"}},
            "response",
            -32600,
            "message.error: expected an object with a code and a message",
        ),
    ],
)
def test_an_envelope_that_readers_could_understand_differently_is_refused(
    post: Post, body: object, kind: str, code: int, text: str
) -> None:
    error = refusal(post(body))
    assert (error.kind, error.code, error.status, error.reason) == (kind, code, 400, Reason.MALFORMED)
    assert str(error) == text
    assert error.id == (body.get("id") if isinstance(body, dict) else None)


@pytest.mark.parametrize("id_", [None, 1.5, 1.0, True, {}, [], 2**53, -(2**53), 10**400, "x" * 257])
def test_an_id_that_servers_read_differently_is_refused_and_not_repeated(post: Post, id_: object) -> None:
    bodies = [{**call(), "id": id_}, {"jsonrpc": "2.0", "id": id_, "result": {}}]
    for error in [refusal(post(body)) for body in bodies]:
        if id_ != 10**400:
            assert str(error) == ID
        assert error.id is None


def test_a_call_without_an_id_is_refused(post: Post) -> None:
    for body in (without(call(), "id"), {"jsonrpc": "2.0", "method": "tools/call "}):
        error = refusal(post(body))
        assert (error.kind, str(error)) == ("id", "message.id: expected one in a request")
    assert str(refusal(post({"jsonrpc": "2.0", "result": {}}))) == ID


# ------------------------------------------------------------------------------------------------- batches

SINGLE = "body: expected one message; batches belong to 2025-03-26 only"


@pytest.mark.parametrize("version", ["2024-11-05", "2025-06-18", "2025-11-25", "2026-07-28", "2099-01-01"])
def test_a_batch_in_another_version_is_refused(post: Post, version: str) -> None:
    error = refusal(post([call()], headers={"mcp-protocol-version": version}))
    assert (error.kind, error.code, str(error), error.id) == ("batch", -32600, SINGLE, None)


def test_a_batch_on_the_http_sse_transport_is_refused(post: Post) -> None:
    assert str(refusal(post([call()], path="/messages?sessionId=1", drop=("mcp-protocol-version",)))) == SINGLE


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], "body: expected a batch of 1 to 50 messages"),
        ([ask("ping", id_=i) for i in range(51)], "body: expected a batch of 1 to 50 messages"),
        ([ask("ping"), [call()]], "message: expected an object"),
        ([ask("ping"), 1], "message: expected an object"),
        ([ask("ping"), ask("ping")], "body: expected each id once in a batch"),
        ([ask("initialize", {"protocolVersion": "2025-03-26"})], "body: expected no initialize in a batch"),
        (
            [ask("ping"), {"jsonrpc": "2.0", "id": 9, "result": {}}],
            "body: expected a batch of requests or of responses, got both",
        ),
        ([call(), {**call(), "id": 2, "result": {}}], BOTH),
    ],
)
def test_a_batch_that_is_no_list_of_calls_is_refused(post: Post, parts: list[object], text: str) -> None:
    assert str(refusal(post(parts, drop=("mcp-protocol-version",)))) == text


# ------------------------------------------------------------------------------------- versions and headers

MISSING = (
    "params._meta: expected io.modelcontextprotocol/protocolVersion and "
    "io.modelcontextprotocol/clientCapabilities, a string and an object"
)
SUPPORTED = ["2026-07-28"]  # of the versions that know this error
VERSION = "mcp-protocol-version: expected the version that _meta states"
NO_VERSION = "mcp-protocol-version: expected a version that this service knows, got another"
V, C = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"


@pytest.mark.parametrize(
    ("version", "requested"),
    [("2024-10-07", "2024-10-07"), ("v999", "v999"), ("", ""), ("<script>", ""), ("9" * 33, "")],
)
def test_an_unknown_version_is_refused_with_the_known_ones(post: Post, version: str, requested: str) -> None:
    for request in (
        post(call(), headers={"mcp-protocol-version": version}),
        bare("GET", accept="text/event-stream", mcp_protocol_version=version),
    ):
        error = refusal(request)
        assert (error.kind, error.code, error.status, str(error)) == ("version", -32022, 400, NO_VERSION)
        assert error.reason is Reason.UNSUPPORTED_VERSION
        assert error.data == {"supported": SUPPORTED, "requested": requested}


@pytest.mark.parametrize(
    ("meta", "kind", "code", "text"),
    [
        ({}, "meta", -32602, MISSING),
        ({V: "2026-07-28"}, "meta", -32602, MISSING),
        ({V: "2026-07-28", C: []}, "meta", -32602, MISSING),
        ({C: {}}, "meta", -32602, MISSING),
        ({V: None, C: {}}, "meta", -32602, "_meta: expected the protocol version as a string"),
        ({V: "2025-11-25", C: {}}, "headers", -32020, VERSION),
        ({V: "2026-07-28 ", C: {}}, "headers", -32020, VERSION),
    ],
)
def test_a_modern_request_needs_its_meta(modern: Post, meta: dict[str, Any], kind: str, code: int, text: str) -> None:
    error = refusal(modern("tools/call", {"name": "t"}, name="t", meta=meta))
    assert (error.kind, error.code, error.status, str(error), error.id) == (kind, code, 400, text, 1)


@pytest.mark.parametrize(
    "method",
    [
        "initialize",
        "ping",
        "resources/subscribe",
        "resources/unsubscribe",
        "logging/setLevel",
        "tasks/result",
        "tasks/list",
    ],
)
@pytest.mark.parametrize("params", [{}, {"uri": "file:///a", "level": "debug", "taskId": "t", "protocolVersion": "x"}])
def test_a_method_that_the_version_has_no_more_is_not_found(modern: Post, method: str, params: dict[str, Any]) -> None:
    error = refusal(modern(method, params))
    assert (error.code, error.status, error.reason, error.id) == (-32601, 404, Reason.UNKNOWN_METHOD, 1)
    assert str(error) == "message.method: expected one that this protocol version has"


def test_a_modern_request_without_params_is_refused(post: Post) -> None:
    request = post(ask("tools/list"), headers={"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"})
    assert str(refusal(request)) == MISSING


@pytest.mark.parametrize("drop", [(), ("mcp-protocol-version",)])
def test_a_modern_body_under_legacy_headers_is_refused(post: Post, drop: tuple[str, ...]) -> None:
    error = refusal(post(call(_meta={V: "2026-07-28", C: {}}), drop=drop))
    assert (error.code, error.reason, str(error)) == (-32020, Reason.HEADER_MISMATCH, VERSION)


@pytest.mark.parametrize(
    ("name", "headers", "drop", "text"),
    [
        ("t", {}, ("mcp-method",), "mcp-method: expected the body's method, got no such header"),
        ("t", {"mcp-method": "tools/list"}, (), "mcp-method: expected the body's method"),
        ("t", {"mcp-method": "Tools/Call"}, (), "mcp-method: expected the body's method"),
        (None, {}, (), "mcp-name: expected the body's name, got no such header"),
        (None, {"mcp_name": "t"}, (), "mcp-name: expected the body's name, got no such header"),
        ("T", {}, (), "mcp-name: expected the body's name"),
        ("t,t", {}, (), "mcp-name: expected the body's name"),
        ("", {}, (), "mcp-name: expected the body's name"),
        ("=?BASE64?dA==?=", {}, (), "mcp-name: expected the body's name"),
        ("=?base64?dB==?=", {}, (), "mcp-name: expected the body's name"),
        ("=?base64?dA?=", {}, (), "mcp-name: expected the body's name"),
        ("=?base64?ü?=", {}, (), "mcp-name: expected the body's name"),
        ("=?base64?/w==?=", {}, (), "mcp-name: expected the body's name"),
    ],
)
def test_a_modern_request_whose_headers_disagree_is_refused(
    modern: Post, name: str | None, headers: dict[str, str], drop: tuple[str, ...], text: str
) -> None:
    error = refusal(modern("tools/call", {"name": "t"}, name=name, headers=headers, drop=drop))
    assert (error.kind, error.code, error.status, error.reason) == ("headers", -32020, 400, Reason.HEADER_MISMATCH)
    assert (str(error), error.id) == (text, 1)


@pytest.mark.parametrize("name", ["get_value", "größe", " x ", "=?base64?eA==?=", "db://a,b"])
def test_a_name_in_the_base64_sentinel_is_compared_decoded(modern: Post, name: str) -> None:
    wrapped = f"=?base64?{base64.b64encode(name.encode()).decode()}?="
    assert only(modern("tools/call", {"name": name}, name=wrapped)).targets[0].name == name


def test_a_uri_with_a_comma_may_stand_in_the_name_header(modern: Post) -> None:
    assert only(modern("resources/read", {"uri": "db://a,b"}, name="db://a,b")).targets[0].name == "db://a,b"


def test_the_task_id_is_compared_if_it_is_mirrored(modern: Post) -> None:
    assert only(modern("tasks/get", {"taskId": "t-1"})).method == "tasks/get"
    assert only(modern("tasks/get", {"taskId": "t-1"}, name="t-1")).method == "tasks/get"
    assert str(refusal(modern("tasks/get", {"taskId": "t-1"}, name="t-2"))) == "mcp-name: expected the body's name"


def test_parameter_headers_are_not_looked_at(modern: Post) -> None:
    assert (
        only(modern("tools/call", {"name": "t"}, name="t", headers={"mcp-param-region": "a,b"})).method == "tools/call"
    )


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        (call(), {"mcp-method": "ping"}, "mcp-method: expected the body's method"),
        (call(), {"mcp-name": "other"}, "mcp-name: expected the body's name"),
        (ask("tools/list"), {"mcp-name": "x"}, "mcp-name: expected the body's name"),
        (
            {"jsonrpc": "2.0", "id": 1, "result": {}},
            {"mcp-method": "tools/call"},
            "mcp-method: expected the body's method",
        ),
    ],
)
def test_a_mirror_header_of_an_older_version_must_match_too(
    post: Post, body: object, headers: dict[str, str], text: str
) -> None:
    error = refusal(post(body, headers=headers))
    assert (error.code, str(error)) == (-32020, text)


def test_mirror_headers_of_an_older_version_that_match_are_fine(post: Post) -> None:
    assert only(post(call(), headers={"mcp-method": "tools/call", "mcp-name": "get_value"})).method == "tools/call"


def test_a_modern_notification_needs_no_mirror_headers(post: Post) -> None:
    headers = {"mcp-protocol-version": "2026-07-28"}
    exchange = decode(post({"jsonrpc": "2.0", "method": "notifications/cancelled"}, headers=headers), LIMITS)
    assert (exchange.era, exchange.messages[0].kind) == (Era.MODERN, MessageKind.NOTIFICATION)


def test_a_modern_client_sends_no_responses(post: Post) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "result": {}}
    error = refusal(post(body, headers={"mcp-protocol-version": "2026-07-28"}))
    assert (error.code, str(error)) == (-32600, "message: expected no response in this protocol version")


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"inputResponses": None}, "params.inputResponses: expected an object"),
        ({"inputResponses": []}, "params.inputResponses: expected an object"),
        ({"requestState": 1}, "params.requestState: expected a string"),
    ],
)
def test_a_modern_retry_must_have_its_shape(modern: Post, params: dict[str, Any], text: str) -> None:
    assert str(refusal(modern("tools/call", {"name": "t", **params}, name="t"))) == text


# ------------------------------------------------------------------------------------------------- sessions

SESSION = "mcp-session-id: expected one value of 1 to 4096 visible ASCII characters without a comma"


@pytest.mark.parametrize("session", ["", "a b", "a,b", "ü", "a\x7f", "x" * 4097, "a\n"])
def test_a_session_id_that_is_none_is_refused(post: Post, session: str) -> None:
    for error in (
        refusal(post(call(), headers={"mcp-session-id": session})),
        refusal(bare("DELETE", mcp_session_id=session)),
    ):
        assert (error.kind, error.status, str(error)) == ("session", 400, SESSION)


def test_a_long_session_id_is_fine(post: Post) -> None:
    assert decode(post(call(), headers={"mcp-session-id": "x" * 4096}), LIMITS).session == "x" * 4096


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("session_id=a&session_id=b", "path: expected one session id in the query, got more"),
        ("session_id=a&sessionId=a", "path: expected one session id in the query, got more"),
        ("session_id=", SESSION),
        ("session%5Fid=a%20b", SESSION),
        ("&".join(f"a{i}=1" for i in range(101)), "path: expected at most 100 query parameters"),
    ],
)
def test_a_session_in_the_query_must_be_one(post: Post, query: str, text: str) -> None:
    error = refusal(post(call(), path=f"/messages?{query}", drop=("mcp-protocol-version",)))
    assert (error.kind, str(error)) == ("session", text)


# ----------------------------------------------------------------------------------- bodies that are not bytes


@pytest.mark.parametrize("name", ["get_value!", "!"])
def test_a_name_that_may_have_been_rewritten_by_the_proxy_is_refused(post: Post, name: str) -> None:
    text = "message: expected names without '!' in a body that is not sent as bytes"
    for body in (call(name), ask(name), ask("resources/read", {"uri": f"a:{name}"})):
        error = refusal(post(body, text=True))
        assert (error.kind, str(error)) == ("doubtful_text", text)
        assert only(post(body)).kind is MessageKind.REQUEST


def test_a_member_that_may_have_been_rewritten_by_the_proxy_is_refused(post: Post) -> None:
    body = call(arguments={"a": [{"b!": 1}]})
    error = refusal(post(body, text=True))
    assert str(error) == "body: expected member names without '!' in a body that is not sent as bytes"
    assert only(post(body)).arguments == {"a": [{"b!": 1}]}


def test_a_body_that_is_not_bytes_is_read_all_the_same(post: Post) -> None:
    assert only(post(call(arguments={"text": "hello!"}), text=True)).arguments == {"text": "hello!"}
    assert json.loads(post(call()).body) == call()
