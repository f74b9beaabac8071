"""Bodies around the limit, through a real Envoy: one byte over never reaches the server, on no protocol."""

from __future__ import annotations

import json

import pytest
import wire
from corpus import AUTHORITY

LIMIT = 4 << 20  # envoy.yaml and the service's default
HEADERS = (
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", "2025-06-18"),
)


@pytest.fixture(scope="module", params=["native", "grpcio"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def body_of(size: int) -> bytes:
    """A tools/call of get_value, exactly `size` bytes."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "get_value", "arguments": {"pad": ""}},
    }
    empty = json.dumps(message)
    message["params"]["arguments"]["pad"] = "x" * (size - len(empty))  # type: ignore[index]
    return json.dumps(message).encode()


def over_http1(port: int, body: bytes, case: str) -> tuple[int, bytes]:
    lines = [("Host", AUTHORITY), *HEADERS, ("x-case", case), ("content-length", str(len(body)))]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return wire.send(port, f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body)


def over_http1_in_chunks(port: int, body: bytes, case: str) -> tuple[int, bytes]:
    lines = [("Host", AUTHORITY), *HEADERS, ("x-case", case), ("transfer-encoding", "chunked")]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines).encode()
    chunks = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return wire.send(port, b"POST /mcp HTTP/1.1\r\n" + head + b"\r\n" + framed + b"0\r\n\r\n")


def over_http2(port: int, body: bytes, case: str) -> tuple[int, bytes]:
    pseudo = ((":method", "POST"), (":path", "/mcp"), (":scheme", "http"), (":authority", AUTHORITY))
    return wire.send_h2(port, [*pseudo, *HEADERS, ("x-case", case)], body)


WAYS = [over_http1, over_http1_in_chunks, over_http2]


@pytest.mark.parametrize("way", WAYS)
def test_one_byte_below_the_limit_passes(recording, way):
    case = f"below {way.__name__}"
    status, body = way(recording.envoy.ports["allow-get"], body_of(LIMIT - 1), case)
    assert status == 200
    assert b'"content":[]' in body
    (request,) = recording.upstream.case(case)
    assert len(request.body) == LIMIT - 1


@pytest.mark.parametrize("way", WAYS)
def test_a_body_of_exactly_the_limit_is_denied_for_it_may_have_been_cut(recording, way):
    case = f"exact {way.__name__}"
    way(recording.envoy.ports["allow-get"], body_of(LIMIT), case)
    assert recording.upstream.case(case) == []


@pytest.mark.parametrize("over", [1, 8192, 1 << 20])
@pytest.mark.parametrize("way", WAYS)
def test_a_body_over_the_limit_never_reaches_the_server(recording, way, over):
    case = f"over {over} {way.__name__}"
    status, _ = way(recording.envoy.ports["allow-get"], body_of(LIMIT + over), case)
    # Envoy closes the connection while bytes still come in, so the client may see a reset in place of the 413
    assert status in (413, 0)
    assert recording.upstream.case(case) == []
