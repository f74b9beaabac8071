"""Bytes of a check -> HttpRequest; Reply -> bytes of an answer that always says whether it allows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from authz import COMPILED
from authz.envoy import codec
from authz.envoy.codec import REFUSAL, decode_check_request, encode, source_of
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.errors import MalformedMessage
from authz.model import HttpRequest, Reply

Build = Callable[..., pb.CheckRequest]
JWT = "envoy.filters.http.jwt_authn"


def decode(request: pb.CheckRequest) -> HttpRequest:
    return decode_check_request(request.SerializeToString(), "unix")


def answer(reply: Reply) -> pb.CheckResponse:
    return pb.CheckResponse.FromString(encode(reply))


def headers_of(options: Any) -> dict[str, str]:
    return {option.header.key: option.header.value for option in options}


# ---------------------------------------------------------------------------------------------- the question


def test_a_check_becomes_the_request_it_describes(check_request: Build) -> None:
    request = check_request(b'{"id":1}')
    data = request.SerializeToString()
    assert decode_check_request(data, "unix") == HttpRequest(
        method="POST",
        path="/mcp?x=1",
        host="valkey.example",
        headers={"content-type": "application/json"},
        body=b'{"id":1}',
        size=8,
        protocol="HTTP/1.1",
        source_address="192.0.2.7",
        peer="spiffe://cluster.local/ns/a/sa/agent",
        verified={},
        context={"mcp_server": "a/valkey"},
        stream_id="26317",
        caller="unix",
        wire=data,
    )


def test_a_body_that_is_sent_as_text_is_marked_as_text(check_request: Build) -> None:
    request = decode(check_request(b"", body='{"name":"é!"}'.encode(), size=14))
    assert (request.body, request.body_is_text, request.size) == ('{"name":"é!"}'.encode(), True, 14)


@pytest.mark.parametrize(
    ("body", "size", "read"),
    [(b"", 0, 0), (b"{}", 2, 2), (b"{}", 900, 900), (b"{}", 0, -1), (b"", 900, 900), (b"", -1, -1), (b"{}", -5, -1)],
)
def test_a_size_that_the_proxy_does_not_say_is_not_taken_for_zero(
    check_request: Build, body: bytes, size: int, read: int
) -> None:
    assert decode(check_request(body, size=size)).size == read


def test_raw_headers_are_joined_by_comma_and_bytes_that_are_not_utf8_are_replaced(check_request: Build) -> None:
    request = check_request()
    http = request.attributes.request.http
    http.ClearField("headers")
    for key, value, raw in [
        ("Origin", "", b"https://a.example"),
        ("x-group", "", b"one"),
        ("X-Group", "two", b""),
        ("x-user", "", b"ali\xffce"),
        ("x-empty", "", b""),
    ]:
        http.header_map.headers.add(key=key, value=value, raw_value=raw)
    assert decode(request).headers == {
        "origin": "https://a.example",
        "x-group": "one,two",
        "x-user": "ali\ufffdce",
        "x-empty": "",
    }


def test_header_names_in_another_case_are_one_name(check_request: Build) -> None:
    request = check_request()
    http = request.attributes.request.http
    http.headers["Content-Type"] = "text/plain"
    assert sorted(decode(request).headers["content-type"].split(",")) == ["application/json", "text/plain"]


def test_a_pipe_as_the_source_has_no_address(check_request: Build) -> None:
    request = check_request()
    request.attributes.source.ClearField("address")
    pipe = b"\x0a\x08" + b"\x12\x06" + b"\x0a\x04/sck"  # Peer.address, Address.pipe, Pipe.path
    request.attributes.source.MergeFromString(pipe)
    assert decode(request).source_address == ""
    assert source_of(request.SerializeToString()) == ""


def test_metadata_is_plain_data_with_doubles_and_only_of_wanted_filters(check_request: Build) -> None:
    request = check_request()
    claims = {"sub": "alice", "exp": 1e9, "ok": True, "none": None, "groups": ["a", {"b": []}], "empty": {}}
    request.attributes.metadata_context.filter_metadata[JWT].update({"jwt_payload": claims})
    request.attributes.metadata_context.filter_metadata["envoy.filters.http.mcp"].update({"method": "ping"})
    assert decode(request).verified == {JWT: {"jwt_payload": claims}}
    other = decode_check_request(request.SerializeToString(), "unix", ["envoy.filters.http.mcp", "absent"])
    assert other.verified == {"envoy.filters.http.mcp": {"method": "ping"}}


def routes(*resources: Mapping[str, object]) -> Callable[[pb.CheckRequest], None]:
    def change(request: pb.CheckRequest) -> None:
        context = request.attributes.route_metadata_context
        context.filter_metadata["envoy-gateway"].update({"resources": list(resources)})

    return change


@pytest.mark.parametrize(
    ("resources", "route"),
    [
        ([{"kind": "HTTPRoute", "namespace": "a", "name": "valkey"}], "a/valkey"),
        (
            [{"kind": "Gateway", "namespace": "g", "name": "x"}, {"kind": "HTTPRoute", "namespace": "a", "name": "b"}],
            "a/b",
        ),
        ([{"kind": "HTTPRoute", "namespace": "a", "name": "b"}] * 2, ""),
        ([{"kind": "HTTPRoute", "name": "b"}], ""),
        ([{"kind": "HTTPRoute", "namespace": "", "name": "b"}], ""),
        ([{"kind": "GRPCRoute", "namespace": "a", "name": "b"}], ""),
        ([], ""),
    ],
)
def test_the_route_is_the_one_that_the_gateway_names(
    check_request: Build, resources: list[Mapping[str, object]], route: str
) -> None:
    request = check_request()
    routes(*resources)(request)
    assert decode(request).route == route


def test_a_route_that_says_nothing_of_a_gateway_is_none(check_request: Build) -> None:
    request = check_request()
    request.attributes.route_metadata_context.filter_metadata["other"].update({"resources": []})
    assert decode(request).route == ""
    assert decode(check_request()).route == ""


def test_whom_the_connection_was_made_to_is_read(check_request: Build) -> None:
    request = check_request()
    request.attributes.destination.principal = "spiffe://td/ns/a/sa/b"
    assert decode(request).destination == "spiffe://td/ns/a/sa/b"


def no_attributes(request: pb.CheckRequest) -> None:
    request.ClearField("attributes")


def no_http(request: pb.CheckRequest) -> None:
    request.attributes.request.ClearField("http")


def both_bodies(request: pb.CheckRequest) -> None:
    request.attributes.request.http.body = b"{}"


def both_headers(request: pb.CheckRequest) -> None:
    request.attributes.request.http.header_map.headers.add(key="x", raw_value=b"y")


def both_values(request: pb.CheckRequest) -> None:
    request.attributes.request.http.ClearField("headers")
    request.attributes.request.http.header_map.headers.add(key="x", value="y", raw_value=b"z")


def deep_metadata(request: pb.CheckRequest) -> None:
    value: Any = "bottom"
    for _ in range(codec.MAX_METADATA_DEPTH):
        value = [value]
    request.attributes.metadata_context.filter_metadata[JWT].update({"jwt_payload": value})


def empty_value(request: pb.CheckRequest) -> None:
    request.attributes.metadata_context.filter_metadata[JWT].fields["jwt_payload"].SetInParent()


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (no_attributes, "not_http", "check: expected the attributes of an HTTP request, got none"),
        (no_http, "not_http", "check: expected the attributes of an HTTP request, got none"),
        (both_bodies, "ambiguous_body", "check: expected body or raw_body, got both"),
        (both_headers, "ambiguous_headers", "check: expected headers or header_map, got both"),
        (both_values, "ambiguous_headers", "check: expected value or raw_value of a header, got both"),
        (deep_metadata, "metadata", "check: expected metadata of at most 32 levels, got more"),
        (empty_value, "metadata", "check: expected a value in the metadata, got none"),
    ],
)
def test_a_check_that_cannot_be_read_without_doubt_is_refused(
    check_request: Build, change: Callable[[pb.CheckRequest], None], kind: str, text: str
) -> None:
    request = check_request()
    change(request)
    with pytest.raises(MalformedMessage) as refused:
        decode(request)
    assert (refused.value.kind, str(refused.value)) == (kind, text)


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05\x22", b"\x0a\x09\x22\x07\x12\x05\x22\x03\xff\xfe\xfd"])
def test_bytes_that_are_no_check_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage) as refused:
        decode_check_request(data, "unix")
    assert (refused.value.kind, str(refused.value)) == (
        "not_protobuf",
        "check: expected a CheckRequest, got other bytes",
    )


@settings(deadline=None)  # a shared machine
@given(st.binary(max_size=200))
def test_whatever_bytes_come_in_are_a_request_or_refused(data: bytes) -> None:
    source_of(data)
    with contextlib.suppress(MalformedMessage):
        assert isinstance(decode_check_request(data, ""), HttpRequest)


def test_the_source_is_found_without_decoding_the_rest(check_request: Build) -> None:
    data = check_request(b"x" * 100_000, source="2001:db8::1").SerializeToString()
    assert source_of(data) == "2001:db8::1"
    assert source_of(data[:300]) == "2001:db8::1"
    assert source_of(b"") == source_of(b"\x0a") == source_of(b"\x80" * 20) == ""


# ------------------------------------------------------------------------------------------------ the answer

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
replies = st.builds(
    Reply,
    allowed=st.booleans(),
    status=st.integers(-1, 1000) | st.sampled_from([200, 202, 204, 304, 401, 403, 429, 503]),
    headers=st.lists(
        st.tuples(st.text(max_size=8) | st.sampled_from(["retry-after", "Content-Type"]), st.text(max_size=8)),
        max_size=4,
    ),
    body=st.binary(max_size=50),
    metadata=st.dictionaries(st.text(max_size=8), plain, max_size=4),
)


@settings(deadline=None)  # a shared machine
@given(replies)
def test_no_reply_becomes_an_answer_that_leaves_the_verdict_open(reply: Reply) -> None:
    sent = answer(reply)
    assert sent.HasField("status")
    assert (sent.status.code == 0) == reply.allowed
    assert sent.WhichOneof("http_response") == ("ok_response" if reply.allowed else "denied_response")
    denied = sent.denied_response
    if not reply.allowed:
        assert 200 <= denied.status.code <= 599
        assert not (denied.body and denied.status.code in (204, 205, 304))
        assert not (denied.status.code == 200 and not denied.body)
        assert bool(denied.body) == ("content-type" in headers_of(denied.headers))
    for option in [*denied.headers, *sent.ok_response.response_headers_to_add]:
        assert option.append_action == pb.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        assert option.header.key
        assert option.header.key == option.header.key.lower()
        assert (option.header.key + option.header.value).isprintable()
        assert option.header.value.isascii()


@settings(deadline=None)  # a shared machine
@given(replies)
def test_what_is_not_exactly_true_does_not_allow(reply: Reply) -> None:
    for allowed in (1, "yes", None, [True]):
        if COMPILED:  # a type that is not the declared one: who calls answers REFUSAL then
            with pytest.raises(TypeError):
                encode(replace(reply, allowed=allowed))
        else:
            assert answer(replace(reply, allowed=allowed)).status.code != 0


def test_an_allowed_call_says_so_and_adds_headers_to_the_response() -> None:
    assert encode(Reply(allowed=True)) == b"\x0a\x00\x1a\x00"
    sent = answer(Reply(allowed=True, headers=[("RateLimit", '"tool";r=3;t=37')], metadata={"rule": "r", "left": 3}))
    assert (sent.status.code, sent.HasField("denied_response")) == (0, False)
    assert headers_of(sent.ok_response.response_headers_to_add) == {"ratelimit": '"tool";r=3;t=37'}
    assert dict(sent.dynamic_metadata) == {"rule": "r", "left": 3.0}


def test_a_denial_carries_status_headers_body_and_metadata() -> None:
    reply = Reply(
        allowed=False,
        status=200,
        headers=[("content-type", "text/event-stream")],
        body="data: é\n\n".encode(),
        metadata={"effect": "deny", "quotas": [{"limit": "a", "left": 0}], "none": None, "flag": True},
    )
    sent = answer(reply)
    assert (sent.status.code, sent.denied_response.status.code) == (7, 200)
    assert sent.denied_response.body == "data: é\n\n"
    assert headers_of(sent.denied_response.headers) == {"content-type": "text/event-stream"}
    assert sent.dynamic_metadata["quotas"][0]["left"] == 0.0
    assert sent.dynamic_metadata["flag"] is True


@pytest.mark.parametrize(("status", "code"), [(200, 7), (202, 7), (400, 7), (401, 16), (403, 7), (429, 8), (503, 8)])
def test_each_denial_has_a_code_that_is_not_ok(status: int, code: int) -> None:
    sent = answer(Reply(allowed=False, status=status, body=b"{}"))
    assert (sent.status.code, sent.denied_response.status.code) == (code, status)


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 103, 199, 299, 600, 999])
def test_a_status_that_would_break_the_message_becomes_403(status: int) -> None:
    assert answer(Reply(allowed=False, status=status, body=b"{}")).denied_response.status.code == 403


def test_an_empty_success_is_no_denial_but_202_is() -> None:
    assert answer(Reply(allowed=False, status=200)).denied_response.status.code == 403
    assert answer(Reply(allowed=False, status=202)).denied_response.status.code == 202


def test_a_status_without_content_loses_its_body() -> None:
    sent = answer(
        Reply(allowed=False, status=204, headers=[("content-type", "text/plain"), ("allow", "POST")], body=b"x")
    )
    assert (sent.denied_response.status.code, sent.denied_response.body) == (204, "")
    assert headers_of(sent.denied_response.headers) == {"allow": "POST"}


def test_headers_cannot_split_or_frame_the_response() -> None:
    headers = [
        ("retry-after", "5\r\nx-injected: 1"),
        ("x-bad\r\nname", "1"),
        (":status", "200"),
        ("", "empty"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("www-authenticate", "Basic"),
        ("WWW-Authenticate", 'Bearer realm="é\x7f\0"'),
    ]
    assert headers_of(answer(Reply(allowed=False, status=401, headers=headers)).denied_response.headers) == {
        "retry-after": "5??x-injected: 1",
        "www-authenticate": 'Basic, Bearer realm="???"',
    }


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"",
        pb.CheckResponse(),
        Reply(allowed=True, metadata={"x": object()}),
        Reply(allowed=True, metadata={"x": "\ud800"}),
        Reply(allowed=True, headers=[("x", 1)]),  # type: ignore[list-item]
    ],
)
def test_what_is_no_reply_is_an_error_and_not_an_answer(reply: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        encode(reply)


def test_the_answer_for_when_no_other_can_be_made_is_a_denial() -> None:
    sent = pb.CheckResponse.FromString(REFUSAL)
    assert (sent.status.code, sent.denied_response.status.code) == (7, 500)
    assert headers_of(sent.denied_response.headers) == {"content-type": "application/json"}
    assert '"code":-32603' in sent.denied_response.body
