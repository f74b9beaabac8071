"""What the tests of this room share: HTTP requests as the proxy describes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from authz.model import HttpRequest

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def build_post(
    body: object = None,
    *,
    raw: bytes | None = None,
    path: str = "/mcp",
    size: int = -1,
    text: bool = False,
    drop: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
) -> HttpRequest:
    content = raw if raw is not None else json.dumps(body).encode()
    found = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "content-length": str(len(content)),
        "x-envoy-auth-partial-body": "false",
        "mcp-protocol-version": "2025-06-18",
    }
    found.update(headers or {})
    for name in drop:
        del found[name]
    return HttpRequest("POST", path, "lab", found, content, body_is_text=text, size=size)


def build_modern(
    method: str,
    params: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    meta: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    drop: tuple[str, ...] = (),
    id_: object = 1,
) -> HttpRequest:
    found = {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
    if name is not None:
        found["mcp-name"] = name
    body = {
        "jsonrpc": "2.0",
        "id": id_,
        "method": method,
        "params": {**(params or {}), "_meta": META if meta is None else meta},
    }
    return build_post(body, headers={**found, **(headers or {})}, drop=drop)


@pytest.fixture
def post() -> Callable[..., HttpRequest]:
    return build_post


@pytest.fixture
def modern() -> Callable[..., HttpRequest]:
    return build_modern
