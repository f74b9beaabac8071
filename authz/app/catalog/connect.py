"""Where a server is -> a connected client of the official SDK that cannot be made to read without end.

Knows the transports; what is read over them is for `reading`.
"""

from __future__ import annotations

import contextlib
import http
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TextIO
from urllib.parse import urlsplit

import httpx2
from mcp import Client, MCPError
from mcp.client.client import ConnectMode
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from authz.errors import SettingsError

MAX_BYTES = 8 << 20  # what a server may say in all; the largest of those known say a quarter of a MiB
_OLD_TRANSPORT = frozenset((400, 404, 405))  # MCP 2025-11-25, transports, "Backwards Compatibility"


@dataclass(frozen=True, slots=True)
class Place:
    """A server: a URL, or a command to be started. `headers` go with every request, `environment` to the command."""

    url: str = ""
    command: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class TooMuch(Exception):  # noqa: N818 - it is no error of ours
    """A server said more than it may."""


class Refused(Exception):  # noqa: N818 - it is no error of ours
    """A server wants to know better who asks; the SDK would hide its status."""


@asynccontextmanager
async def connect(place: Place, *, seconds: float, errors: TextIO, mode: ConnectMode = "auto") -> AsyncIterator[Client]:
    """A client that has agreed on a protocol version with the server at `place`.

    Of HTTP, Streamable HTTP of both eras is tried first, and HTTP+SSE where the server says that it knows no such
    endpoint, or where the URL ends in `/sse`. `seconds` bounds each answer; `errors` gets a command's standard error;
    `mode` is the era that Streamable HTTP is to speak, the newest that the server knows unless it is given.
    """
    async with contextlib.AsyncExitStack() as stack:
        if place.command:
            yield await stack.enter_async_context(_of_command(place, seconds, errors))
        elif urlsplit(place.url).path.endswith("/sse"):
            yield await stack.enter_async_context(_of_sse(place, seconds))
        else:
            try:
                client = await stack.enter_async_context(_of_http(place, seconds, mode))
            except (httpx2.HTTPStatusError, MCPError, ExceptionGroup) as error:
                if not await _is_old(place, seconds):
                    raise
                await stack.aclose()
                try:
                    client = await stack.enter_async_context(_of_sse(place, seconds))
                except Exception:
                    raise error from None
            yield client


def checked(url: str) -> str:
    """`url`, if it is one of HTTP; raises SettingsError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"scan: expected a URL of http or https, or -- and a command, got {url!r}")
    if parts.username or parts.password:
        raise SettingsError("scan: expected a URL without a password in it: use --header or --token-file")
    return url


def _of_command(place: Place, seconds: float, errors: TextIO) -> Client:
    # -P: not even a module of ours may come from the directory that somebody happens to be in.
    bounded = ["-P", "-m", "authz.app.catalog.bounded", str(MAX_BYTES), *place.command]
    parameters = StdioServerParameters(command=sys.executable, args=bounded, env=dict(place.environment))
    return Client(stdio_client(parameters, errlog=errors), read_timeout_seconds=seconds)


@asynccontextmanager
async def _of_http(place: Place, seconds: float, mode: ConnectMode) -> AsyncIterator[Client]:
    async with _web(place, seconds) as web:
        transport = streamable_http_client(place.url, http_client=web, max_sse_event_size=MAX_BYTES)
        async with Client(transport, mode=mode, read_timeout_seconds=seconds) as client:
            yield client


@asynccontextmanager
async def _of_sse(place: Place, seconds: float) -> AsyncIterator[Client]:
    def made(
        headers: dict[str, str] | None = None, timeout: httpx2.Timeout | None = None, auth: httpx2.Auth | None = None
    ) -> httpx2.AsyncClient:
        return _web(place, seconds)

    transport = sse_client(place.url, httpx_client_factory=made, sse_read_timeout=seconds)
    async with Client(transport, mode="legacy", read_timeout_seconds=seconds) as client:
        yield client


async def _is_old(place: Place, seconds: float) -> bool:
    """Whether the server refuses the newer transport's first request as a server of the older one does."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    async with _web(place, seconds) as web:
        try:
            answer = await web.post(place.url, json=body, headers={"accept": "application/json, text/event-stream"})
        except httpx2.HTTPError:
            return False
    return answer.status_code in _OLD_TRANSPORT


def _web(place: Place, seconds: float) -> httpx2.AsyncClient:
    transport = _Bounded(httpx2.AsyncHTTPTransport())
    headers = {"accept-encoding": "identity", **place.headers}
    return httpx2.AsyncClient(transport=transport, headers=headers, timeout=seconds, trust_env=False)


class _Bounded(httpx2.AsyncBaseTransport):
    """Counts what all answers together say, before anything is unpacked."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self._left = MAX_BYTES

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
            await answer.aclose()
            raise TooMuch("answered packed, which was not asked for and could be of any size")
        if answer.status_code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            await answer.aclose()
            raise Refused(f"answered {answer.status_code}: give it a token or a header that it accepts")
        answer.stream = _Counted(answer.stream, self)  # type: ignore[arg-type]
        return answer

    def take(self, size: int) -> None:
        """Count `size` bytes; raises TooMuch."""
        self._left -= size
        if self._left < 0:
            raise TooMuch(f"said more than {MAX_BYTES} bytes")

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, counter: _Bounded) -> None:
        self._inner = inner
        self._counter = counter

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._counter.take(len(chunk))
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
