"""What a person approves: the parameters as they were written, without what the protocol itself varies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.mcp.exact import ELICITATION_KEY, canonical_params
from authz.mcp.message import BodyLimits, decode

LIMITS = BodyLimits()


def canonical(params: str) -> str:
    return canonical_params(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%s}' % params.encode(), 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"arguments":{"n":9007199254740992}}', '{"arguments":{"n":9007199254740993}}'),
        ('{"arguments":{"n":1}}', '{"arguments":{"n":1.0}}'),
        ('{"arguments":{"n":0}}', '{"arguments":{"n":-0}}'),
        ('{"arguments":{"n":0.1}}', '{"arguments":{"n":0.1000000000000000055511151231257827}}'),
        ('{"arguments":{"n":1}}', '{"arguments":{"n":"1"}}'),
        ('{"arguments":{"n":1}}', '{"arguments":{"n":true}}'),
        ('{"arguments":{"n":null}}', '{"arguments":{}}'),
        ('{"arguments":{"k":"caf\\u00e9"}}', '{"arguments":{"k":"cafe\\u0301"}}'),
        ('{"arguments":{"k":"a"}}', '{"arguments":{"k":"a\\u0000"}}'),
        ('{"arguments":{"k":["a","b"]}}', '{"arguments":{"k":["b","a"]}}'),
        ('{"arguments":{"k":"a,b"}}', '{"arguments":{"k":["a","b"]}}'),
        ('{"arguments":{"a\\",\\"b":1}}', '{"arguments":{"a":1}}'),
        ('{"task":{"ttl":1}}', '{"task":{"ttl":2}}'),
        ('{"_meta":{"example.org/dry-run":true}}', '{"_meta":{"example.org/dry-run":false}}'),
        ('{"inputResponses":{"city":{"action":"accept"}}}', "{}"),
        ('{"requestState":"a"}', "{}"),
    ],
)
def test_what_a_server_may_read_differently_is_another_text(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"arguments":{"a":1,"b":2}}', '{ "arguments" : {"b":2,\n"a":1} }'),
        ('{"arguments":{"k":"a"}}', '{"arguments":{"k":"\\u0061"}}'),
        ('{"name":"t","_meta":{"progressToken":1}}', '{"name":"t","_meta":{"progressToken":2}}'),
        ('{"name":"t","_meta":{"traceparent":"00-1"}}', '{"name":"t"}'),
        ('{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"x"}}}', '{"_meta":{}}'),
        (json.dumps({"inputResponses": {ELICITATION_KEY: {"action": "accept"}}}), "{}"),
    ],
)
def test_spelling_order_and_what_the_protocol_varies_are_the_same_text(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


def test_a_part_of_a_batch_is_its_own() -> None:
    body = json.dumps([{"params": {"name": "a"}}, {"params": {"name": "b"}}, {}]).encode()
    assert [canonical_params(body, part) for part in range(3)] == ['{"name":"a"}', '{"name":"b"}', "{}"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_the_text_is_json_that_says_the_same(arguments: Any) -> None:
    body = json.dumps({"params": {"name": "t", "arguments": arguments}}).encode()
    assert json.loads(canonical_params(body, 0)) == {"name": "t", "arguments": arguments}


def test_the_answer_to_our_own_question_is_no_continuation(modern: Any) -> None:
    own = {"name": "t", "inputResponses": {ELICITATION_KEY: {"action": "accept"}}}
    both = {"name": "t", "inputResponses": {ELICITATION_KEY: {"action": "accept"}, "city": {"action": "accept"}}}
    stateful = {**own, "requestState": "x"}
    empty = {"name": "t", "inputResponses": {}}
    seen = [
        (message.continuation, message.answered)
        for params in (own, both, stateful, empty)
        for message in decode(modern("tools/call", params, name="t"), LIMITS).messages
    ]
    assert seen == [(False, True), (True, True), (True, True), (True, False)]


@pytest.mark.parametrize(
    ("capabilities", "opens"),
    [
        ({}, False),
        ({"elicitation": {}}, False),
        ({"elicitation": {"form": {}}}, False),
        ({"elicitation": {"url": {}}}, True),
        ({"elicitation": {"url": True}}, False),
        ({"elicitation": True}, False),
    ],
)
def test_only_a_client_that_says_so_can_open_urls(modern: Any, post: Any, capabilities: Any, opens: bool) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    assert decode(modern("tools/call", {"name": "t"}, name="t", meta=meta), LIMITS).messages[0].opens_urls is opens
    begun = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {}}
    request = post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": begun})
    assert decode(request, LIMITS).messages[0].opens_urls is opens
