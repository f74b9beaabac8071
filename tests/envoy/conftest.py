"""A check as the proxy sends it, and an engine that does what a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from authz.envoy.pb import ext_authz_pb2 as pb
from authz.model import HttpRequest, Reason, Reply


def build(raw: bytes = b"{}", source: str = "192.0.2.7", **changes: Any) -> pb.CheckRequest:
    """A POST of `raw` from `source`; `changes` set fields of the http attributes."""
    request = pb.CheckRequest()
    request.attributes.source.address.socket_address.address = source
    request.attributes.source.principal = "spiffe://cluster.local/ns/a/sa/agent"
    request.attributes.context_extensions["mcp_server"] = "a/valkey"
    http = request.attributes.request.http
    http.id, http.method, http.path, http.host, http.protocol = (
        "26317",
        "POST",
        "/mcp?x=1",
        "valkey.example",
        "HTTP/1.1",
    )
    http.headers["content-type"] = "application/json"
    http.raw_body = raw
    http.size = len(raw)
    for name, value in changes.items():
        setattr(http, name, value)
    return request


@dataclass
class FakeEngine:
    """Allows everything, or answers by `answer`; remembers what it was asked and what it refused."""

    answer: Callable[[HttpRequest], Awaitable[Any]] | None = None
    refusal: Callable[[Reason], Any] = lambda reason: Reply(
        allowed=False, status=503 if reason is Reason.BUSY else 400, body=json.dumps({"reason": reason}).encode()
    )
    asked: list[HttpRequest] = field(default_factory=list)
    refused: list[tuple[Reason, HttpRequest | None, Exception | None]] = field(default_factory=list)
    refusing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))  # released with each refusal

    async def check(self, request: HttpRequest) -> Any:
        self.asked.append(request)
        if self.answer is None:
            return Reply(allowed=True)
        return await self.answer(request)

    def refuse(self, reason: Reason, request: HttpRequest | None, error: Exception | None = None) -> Any:
        self.refused.append((reason, request, error))
        self.refusing.release()
        return self.refusal(reason)


@pytest.fixture
def check_request() -> Callable[..., pb.CheckRequest]:
    return build


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()
