"""What holds for every request and every answer of the listener, whatever is asked: headers, sizes, times.

An ASGI application around another; knows no page.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("mcp_authz.approvals")

MAX_BODY = 16 * 1024  # bytes: a comment of 1,000 characters, percent-encoded, and a token
BODY_TIME = 10.0  # seconds for a body to arrive
ANSWER_TIME = 30.0  # for everything after that
STREAM_TIME = 16 * 60.0  # for a stream of events, which ends itself a minute before

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# OWASP Secure Headers. `same-origin` and not `no-referrer`: under that a form's Origin would be `null`.
_HEADERS = (
    ("content-security-policy", _CSP),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=()"),
    ("x-robots-tag", "noindex"),
)


class Shell:
    """Around an application: bounded bodies, bounded time, and the headers that keep its answers to themselves."""

    def __init__(self, app: ASGIApp, *, streams: frozenset[str], answer_time: float = ANSWER_TIME) -> None:
        self._app = app
        self._streams = streams
        self._answer_time = answer_time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS:
                    headers[name] = value
            await send(message)

        try:
            async with asyncio.timeout(BODY_TIME):
                body = await _body(receive)
        except TimeoutError:
            body, refusal = None, PlainTextResponse("expected the body sooner\n", 408, {"connection": "close"})
        except _Gone:
            return  # half of a request decides nothing
        else:
            refusal = PlainTextResponse(f"expected at most {MAX_BODY} bytes\n", 413, {"connection": "close"})
        if body is None:
            await refusal(scope, receive, sending)
            return
        try:
            async with asyncio.timeout(STREAM_TIME if scope["path"] in self._streams else self._answer_time):
                await self._app(scope, _again(body, receive), sending)
        except TimeoutError:
            _log.warning("approvals: %s %s took too long and was given up", scope["method"], scope["path"])
            if started:
                raise
            await PlainTextResponse("this took too long\n", 503, {"retry-after": "5"})(scope, receive, sending)


class _Gone(Exception):  # noqa: N818 - no error: nobody waits for the answer any more
    """The client went before all of the body had come."""


async def _body(receive: Receive) -> bytes | None:
    """The whole body, None where it is too large; raises _Gone."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once and then what comes after it (a disconnect)."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
