"""Whatever comes in: an exchange or a MalformedMessage, and what is read is what every strict reader reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.errors import MalformedMessage
from authz.mcp.flaw import Flaw
from authz.mcp.message import BodyLimits, decode
from authz.model import Era, Exchange, HttpRequest, MessageKind

LIMITS = BodyLimits(max_bytes=1024 * 1024)
CORPUS = Path(__file__).parent.parent / "corpus" / "requests.jsonl"
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
VALID: list[Any] = [
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "arguments": {"a": [1, "x"]}}},
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "_meta": META, "requestState": "s"}},
    {"jsonrpc": "2.0", "id": "x", "method": "resources/read", "params": {"uri": "file:///a"}},
    {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "completion/complete",
        "params": {"ref": {"type": "ref/prompt", "name": "p"}},
    },
    {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "subscriptions/listen",
        "params": {"notifications": {"resourceSubscriptions": ["a:b"]}},
    },
    {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 3, "result": {"action": "accept"}},
    {"jsonrpc": "2.0", "id": 3, "error": {"code": -1, "message": "no"}},
    [{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}],
]
ODD: list[Any] = [
    None,
    True,
    1,
    1.5,
    "",
    "x",
    [],
    {},
    "tools/call",
    "notifications/initialized",
    "2.0",
    2**53,
    -1,
    "2026-07-28",
    "T",
    "!",
]
NAMES = [
    "method",
    "Method",
    "params",
    "id",
    "jsonrpc",
    "result",
    "error",
    "name",
    "uri",
    "_meta",
    "arguments",
    "ref",
    "x",
    "__proto__",
]


def replaced(value: Any, choose: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """`value` with one thing in it changed, left out or added."""
    if isinstance(value, dict) and value:
        name = choose(st.sampled_from(sorted(value)))
        change = choose(st.sampled_from(["deeper", "deeper", "odd", "drop", "add", "rename"]))
        if change == "deeper":
            return {**value, name: replaced(value[name], choose)}
        if change == "odd":
            return {**value, name: choose(st.sampled_from(ODD))}
        rest = {key: item for key, item in value.items() if key != name}
        if change == "drop":
            return rest
        added = choose(st.sampled_from(NAMES))
        return {**(value if change == "add" else rest), added: value[name]}
    if isinstance(value, list) and value:
        return [replaced(value[0], choose), *value[1:]]
    return choose(st.sampled_from(ODD))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    value = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(0, 3))):
        value = replaced(value, draw)
    raw = json.dumps(value, ensure_ascii=draw(st.booleans())).encode()
    if draw(st.integers(0, 4)):
        return raw
    at = draw(st.integers(0, len(raw)))
    return raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 2)) :]


HEADERS = st.fixed_dictionaries(
    {"content-type": st.sampled_from(["application/json", "application/json", "application/json", "text/plain"])},
    optional={
        "mcp-protocol-version": st.sampled_from(["2025-03-26", "2025-06-18", "2026-07-28", "2026-07-28", "x", ""]),
        "mcp-method": st.sampled_from(["tools/call", "tools/list", ""]),
        "mcp-name": st.sampled_from(["t", "=?base64?dA==?=", "=?base64??", "t,t"]) | st.text(max_size=4),
        "mcp-session-id": st.sampled_from(["s", "a b", ""]),
        "accept": st.sampled_from(["text/event-stream", "*/*"]),
        "traceparent": st.text(max_size=60),
        "x-envoy-auth-partial-body": st.sampled_from(["false", "false", "true"]),
        "upgrade": st.just("websocket"),
        "origin": st.just("https://a"),
        "access-control-request-method": st.just("POST"),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> HttpRequest:
    headers = draw(HEADERS)
    if draw(st.integers(0, 3)):
        headers.pop("upgrade", None)
    body = draw(bodies() | st.binary(max_size=60))
    if draw(st.integers(0, 3)):
        headers["content-length"] = str(len(body))
    return HttpRequest(
        draw(st.sampled_from(["POST", "POST", "POST", "POST", "GET", "DELETE", "OPTIONS", "PUT"])),
        draw(st.sampled_from(["/mcp", "/mcp", "/messages?session_id=1", "/.well-known/oauth-x"]) | st.text(max_size=8)),
        "lab",
        headers,
        body if draw(st.integers(0, 5)) else b"",
        body_is_text=draw(st.booleans()),
    )


def strictly(raw: bytes) -> Any:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        assert len(found) == len(pairs)
        return found

    def constant(name: str) -> None:
        raise AssertionError(name)

    return json.loads(raw.decode("utf-8"), object_pairs_hook=members, parse_constant=constant)


def read(request: HttpRequest) -> Exchange | None:
    try:
        return decode(request, LIMITS)
    except MalformedMessage as error:
        kind, status, shown = error.kind, error.status, error.id
    assert kind in set(Flaw)
    assert status in (400, 405, 413)
    assert type(shown) in (str, int, type(None))
    return None


@given(requests())
def test_any_request_gives_an_exchange_or_a_malformed_message(request_: HttpRequest) -> None:
    exchange = read(request_)
    if exchange is None:
        return
    assert exchange.messages
    if exchange.messages[0].kind is MessageKind.HTTP:
        assert not request_.body
        return
    assert request_.method == "POST"
    values = strictly(request_.body)
    parts = values if exchange.batch else [values]
    assert len(parts) == len(exchange.messages)
    for value, message in zip(parts, exchange.messages, strict=True):
        assert value["jsonrpc"] == "2.0"
        assert message.targets
        assert repr(message.id) == repr(value.get("id"))
        assert (message.kind is MessageKind.RESPONSE) == ("method" not in value)
        if message.kind is not MessageKind.RESPONSE:
            assert message.method == value["method"]
            assert "result" not in value
            assert "error" not in value
        if message.kind is MessageKind.NOTIFICATION:
            assert message.method.startswith("notifications/")
        if message.method == "tools/call":
            assert [target.name for target in message.targets] == [value["params"]["name"]]
            assert dict(message.arguments) == value["params"].get("arguments", {})
        if exchange.era is Era.MODERN and message.kind is MessageKind.REQUEST:
            assert request_.headers["mcp-method"] == message.method


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=12), st.text(max_size=12)), st.text(max_size=8))
def test_any_bytes_and_headers_give_an_exchange_or_a_malformed_message(
    body: bytes, headers: dict[str, str], method: str
) -> None:
    read(HttpRequest(method, "/mcp", "lab", headers, body))
    read(HttpRequest("POST", "/mcp", "lab", {**headers, "content-type": "application/json"}, body))


# ------------------------------------------------------------------------------------------------- the corpus


def corpus() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def as_request(case: dict[str, Any]) -> HttpRequest:
    """The case as the proxy would describe it: lower-case names, repeated lines joined by a comma."""
    http = case["http"]
    headers = {
        name.lower(): ",".join(value) if isinstance(value, list) else value for name, value in http["headers"].items()
    }
    body = base64.b64decode(http.get("body_b64") or "")
    overrides = case.get("check_request") or {}
    if body:
        headers.setdefault("x-envoy-auth-partial-body", "false")
        if "transfer-encoding" not in headers:
            headers.setdefault("content-length", str(len(body)))
    for name in overrides.get("drop_headers", ()):
        headers.pop(name, None)
    headers |= {name.lower(): value for name, value in overrides.get("headers", {}).items()}
    if "raw_body_b64" in overrides:
        body = base64.b64decode(overrides["raw_body_b64"])
    text = bool(overrides.get("use_body_string"))
    size = overrides.get("size", len(body))
    return HttpRequest(http["method"], http["path"], "lab", headers, body, body_is_text=text, size=size)


@pytest.mark.parametrize("case", corpus(), ids=lambda case: case["id"])
def test_a_request_of_the_corpus_is_read_or_refused(case: dict[str, Any]) -> None:
    exchange = read(as_request(case))
    if case["expect"] == "allow":
        assert exchange is not None


def test_the_legitimate_requests_of_the_corpus_are_read_whatever_comes_after() -> None:
    cases = [case for case in corpus() if case["class"] == "legit"]
    if CORPUS.exists():
        assert cases
    assert [case["id"] for case in cases if read(as_request(case)) is None] == []
