"""The store's count of changes -> metrics, and the pages that are open. One question a second for all of them together.

While nobody looks it asks every five seconds, for the metrics alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from authz.app.approvals.desk import present
from authz.app.approvals.lapses import Lapse, Lapses
from authz.errors import StoreError
from authz.model import ApprovalRecord, ApprovalStatus
from authz.state.store import Approvals

_log = logging.getLogger("mcp_authz.approvals")

MOST = 64  # open pages in all
MOST_EACH = 8  # of one approver


class Crowded(Exception):  # noqa: N818 - no error: there is no place now
    """Too many pages are open."""


class Listener:
    """One open page: told when there is something new to look at."""

    def __init__(self) -> None:
        self.news = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Wait for news, at most `seconds`; whether there are any."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.news.wait()
        told = self.news.is_set()
        self.news.clear()
        return told


class Watch:
    """Asks the store. `pending` hears how many requests wait, `expired` of each that nobody decided or used in time.

    `oldest` hears when the one that has waited longest was filed (epoch seconds, NaN: none waits). All three are of the
    whole store: each replica hears of all. `busy` and `idle` are seconds between two questions.
    """

    def __init__(
        self,
        approvals: Approvals,
        pending: Callable[[float], None],
        expired: Callable[[Lapse], None] = lambda _: None,
        *,
        oldest: Callable[[float], None] = lambda _: None,
        busy: float = 1.0,
        idle: float = 5.0,
    ) -> None:
        self.records: Sequence[ApprovalRecord] | None = None  # as last read; None: not yet
        self.stopped = False
        self._approvals = approvals
        self._pending = pending
        self._oldest = oldest
        self._lapses = Lapses(expired)
        self._busy = busy
        self._idle = idle
        self._seen = -1
        self._lost = False
        self._wake = asyncio.Event()
        self._listeners: dict[Listener, str] = {}

    @contextlib.contextmanager
    def listening(self, who: str) -> Iterator[Listener]:
        """A place among the listeners; raises Crowded where there is none for `who`."""
        if len(self._listeners) >= MOST or Counter(self._listeners.values())[who] >= MOST_EACH:
            raise Crowded
        listener = Listener()
        self._listeners[listener] = who
        self._wake.set()
        try:
            yield listener
        finally:
            del self._listeners[listener]

    async def run(self) -> None:
        """Ask until cancelled. A store that does not answer is asked again; the log says so once."""
        while True:
            try:
                await self._look()
            except StoreError as error:
                if not self._lost:
                    _log.warning("approvals: the store does not tell what is pending: %s", error)
                self._lost = True
            else:
                self._lost = False
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._busy if self._listeners else self._idle):
                    await self._wake.wait()

    def stop(self) -> None:
        """Let every open page go."""
        self.stopped = True
        for listener in self._listeners:
            listener.news.set()

    async def _look(self) -> None:
        changes = await self._approvals.changes()
        if changes == self._seen:
            return
        self.records = await present(self._approvals)
        self._seen = changes
        waiting = [record.requested_at for record in self.records if record.status is ApprovalStatus.PENDING]
        self._pending(len(waiting))
        self._oldest(min(waiting, default=math.nan))
        # One page a turn of the event loop: each looks through all requests, and calls must not wait for all pages.
        for listener in tuple(self._listeners):
            listener.news.set()
            await asyncio.sleep(0)
        for id_ in self._lapses.look(self.records):
            record = await self._approvals.record(id_)
            if record is not None:
                self._lapses.add(record)
