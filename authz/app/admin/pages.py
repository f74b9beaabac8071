"""Method, path and Accept header -> an answer for operators. Knows no connection, no gRPC and no metrics library.

Nothing here changes anything: there are no actions and no debugging aids to be found by a web page or an agent.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

_log = logging.getLogger("mcp_authz.admin")

_TEXT = "text/plain; charset=utf-8"
_PATHS = ("/livez", "/metrics", "/policy", "/readyz")


class State(Protocol):
    """What the service tells of itself; asked on the event loop, so it must not take long."""

    def ready(self) -> tuple[bool, str]:
        """Whether calls should be sent here, and the reason or what is degraded, as text for people."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Servers, revision and problems, fit for JSON."""
        ...


class Scrape(Protocol):
    """Where the metrics come from."""

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and text of all metrics for an Accept header; called in a thread."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `headers` come on top of Content-Type and Content-Length."""

    status: int
    body: bytes
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


class Pages:
    """All there is to ask. What takes long is done in one thread, one request at a time."""

    def __init__(self, scrape: Scrape, state: State) -> None:
        self._scrape = scrape
        self._state = state
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="admin")

    async def answer(self, method: str, target: str, accept: str) -> Answer:
        """The answer to one request; never raises, and tells nothing of what went wrong inside."""
        path = target.partition("?")[0]
        if path not in _PATHS:
            return Answer(404, f"expected one of {', '.join(_PATHS)}\n".encode())
        if method not in ("GET", "HEAD"):
            return Answer(405, b"expected GET or HEAD\n", headers=(("Allow", "GET, HEAD"),))
        try:
            return await self._page(path, accept)
        except Exception:
            _log.exception("admin: %s failed", path)
            return Answer(500, b"failed; the reason is in the log\n")

    def close(self) -> None:
        """Let go of the thread; what still waits for it is cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _page(self, path: str, accept: str) -> Answer:
        loop = asyncio.get_running_loop()
        if path == "/metrics":
            content_type, samples = await loop.run_in_executor(self._thread, self._scrape.render, accept)
            return Answer(200, samples, content_type)
        if path == "/policy":
            state = self._state.describe()
            return Answer(200, await loop.run_in_executor(self._thread, _json, state), "application/json")
        if path == "/livez":
            return Answer(200, b"alive\n")  # the event loop turns, which is all that a restart could mend
        ready, text = self._state.ready()
        return Answer(200 if ready else 503, f"{text.rstrip()}\n".encode("utf-8", "backslashreplace"))


def _json(state: Mapping[str, Any]) -> bytes:
    return json.dumps(state, indent=2).encode() + b"\n"
