"""An open page -> a stream of server-sent events: that something which this approver may see has changed, never what.

WHATWG HTML, 9.2. Knows no store: it hears of changes from the watch.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from authz.app.approvals import wording
from authz.app.approvals.desk import Desk, state_of
from authz.app.approvals.identify import Door
from authz.app.approvals.rendering import Rendering
from authz.app.approvals.watch import Crowded, Listener, Watch
from authz.model import ApprovalRecord, ApprovalStatus, Approver

LIFE = 15 * 60.0  # seconds after which the page asks anew, and is asked who it is
BEAT = 15.0  # seconds between signs of life, below the idle timeouts of proxies
RETRY = 3000  # ms


class Events:
    """The streams. `beat` and `life` are in seconds."""

    def __init__(self, watch: Watch, desk: Desk, door: Door, rendering: Rendering, *, beat: float = BEAT) -> None:
        self._watch = watch
        self._desk = desk
        self._door = door
        self._rendering = rendering
        self._beat = beat
        self._told: dict[Approver, tuple[str, int]] = {}  # of the records below
        self._records: Sequence[ApprovalRecord] | None = None

    async def stream(self, request: Request) -> Response:
        """One stream; `since` in the query, or Last-Event-ID, is the state that the page shows."""
        visitor = self._door.visitor(request)
        if visitor is None:
            return self._rendering.say(wording.NOT_IN)
        place = self._watch.listening(visitor.approver.id)
        try:
            listener = place.__enter__()
        except Crowded:
            return self._rendering.say(wording.CROWDED, visitor)
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")

        async def lines() -> AsyncIterator[bytes]:
            try:
                async for line in self._lines(request, listener, since):
                    yield line
            finally:
                place.__exit__(None, None, None)

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def _lines(self, request: Request, listener: Listener, since: str) -> AsyncIterator[bytes]:
        yield f"retry: {RETRY}\n\n".encode()
        end = time.monotonic() + LIFE
        while not self._watch.stopped and time.monotonic() < end:
            visitor = self._door.visitor(request)
            if visitor is None:
                return
            if self._watch.records is not None:
                state, waiting = self._state(visitor.approver, self._watch.records)
                if state != since:
                    since = state
                    yield f"id: {state}\nevent: change\ndata: {waiting}\n\n".encode()
            if not await listener.wait(self._beat):
                yield b": here\n\n"

    def _state(self, approver: Approver, records: Sequence[ApprovalRecord]) -> tuple[str, int]:
        """How what an approver may see stands, and how many wait; found once for all their pages."""
        if self._records is not records:
            self._records = records
            self._told.clear()
        if approver not in self._told:
            seen = self._desk.visible(approver, records)
            waiting = sum(record.status is ApprovalStatus.PENDING for record in seen)
            self._told[approver] = state_of(seen), waiting
        return self._told[approver]
