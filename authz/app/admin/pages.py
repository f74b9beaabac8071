"""Requests -> answers for operators. Knows no connection, no gRPC and no metrics library.

No page changes anything but a reset of limits, which takes a token: there are no actions and no debugging aids to be
found by a web page or an agent.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from authz.app.admin.exchange import Answer, Request
from authz.app.admin.limits import Limits
from authz.app.admin.metadata import ResourceMetadata

_log = logging.getLogger("mcp_authz.admin")

_LIMITS, _RESET = "/api/limits", "/api/limits/reset"
_FILES = "/api/policies"
_PATHS = (_FILES, "/livez", "/metrics", "/policy", "/readyz")


class State(Protocol):
    """What the service tells of itself; asked on the event loop, so it must not take long."""

    def ready(self) -> tuple[bool, str]:
        """Whether calls should be sent here, and the reason or what is degraded, as text for people."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Servers, revision and problems, fit for JSON."""
        ...

    def files(self) -> Mapping[str, Any]:
        """How each policy file stands, fit for JSON."""
        ...


class Scrape(Protocol):
    """Where the metrics come from."""

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and text of all metrics for an Accept header; called in a thread."""
        ...


class Pages:
    """All there is to ask; without `limits` not of limits, without `metadata` not where tokens come from.

    What takes long is done in one thread, one at a time.
    """

    def __init__(
        self, scrape: Scrape, state: State, limits: Limits | None = None, metadata: ResourceMetadata | None = None
    ) -> None:
        self._scrape = scrape
        self._state = state
        self._limits = limits
        self._metadata = metadata
        self._paths = _PATHS if limits is None else (_LIMITS, _RESET, *_PATHS)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="admin")

    async def answer(self, request: Request) -> Answer:
        """The answer to one request; never raises, and tells nothing of what went wrong inside."""
        path = request.path
        if self._metadata is not None and self._metadata.is_asked(path):
            return self._metadata.answer(request)
        if path not in self._paths:
            return Answer(404, f"expected one of {', '.join(self._paths)}\n".encode())
        methods = ("POST",) if path == _RESET else ("GET", "HEAD")
        if request.method not in methods:
            return Answer(405, f"expected {' or '.join(methods)}\n".encode(), headers=(("Allow", ", ".join(methods)),))
        try:
            return await self._page(path, request)
        except Exception:
            _log.exception("admin: %s failed", path)
            return Answer(500, b"failed; the reason is in the log\n")

    def close(self) -> None:
        """Let go of the thread; what still waits for it is cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _page(self, path: str, request: Request) -> Answer:
        if self._limits is not None and path == _LIMITS:
            return await self._limits.show(request, self._in_thread)
        if self._limits is not None and path == _RESET:
            return await self._limits.reset(request)
        if path == "/metrics":
            return await self._metrics(request)
        if path in ("/policy", _FILES):
            state = self._state.files() if path == _FILES else self._state.describe()
            return Answer(200, await self._in_thread(lambda: _json(state)), "application/json")
        if path == "/livez":
            return Answer(200, b"alive\n")  # the event loop turns, which is all that a restart could mend
        ready, text = self._state.ready()
        return Answer(200 if ready else 503, f"{text.rstrip()}\n".encode("utf-8", "backslashreplace"))

    async def _metrics(self, request: Request) -> Answer:
        accept = (request.header("accept") or [""])[-1]
        loop = asyncio.get_running_loop()
        content_type, samples = await loop.run_in_executor(self._thread, self._scrape.render, accept)
        return Answer(200, samples, content_type)

    async def _in_thread(self, work: Callable[[], bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _json(state: Mapping[str, Any]) -> bytes:
    return json.dumps(state, indent=2).encode() + b"\n"
