"""The seam to the engine: a request was filed or decided -> people hear of it, later and from another task.

`filed` costs an append and never waits; what is told is read from the store off the path.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from authz.app.approvals.messages import Event, Notice
from authz.app.approvals.webhook import Webhook
from authz.audit import Record
from authz.errors import StoreError
from authz.model import ApprovalRecord
from authz.state.store import Approvals

_log = logging.getLogger("mcp_authz.approvals")

ROOM = 1000  # requests that nobody has been told of yet


class Announcer(Protocol):
    """Whoever wants to hear of requests."""

    def filed(self, id_: str) -> None:
        """A request was made (a Standing with `filed`). Called on the event loop; returns at once, never raises."""
        ...


class WebhookAnnouncer:
    """Tells a webhook. `link` makes the page's address of a request."""

    def __init__(self, approvals: Approvals, webhook: Webhook, link: Callable[[str], str], *, room: int = ROOM) -> None:
        self._approvals = approvals
        self._webhook = webhook
        self._link = link
        self._filed: asyncio.Queue[str] = asyncio.Queue(room)

    def filed(self, id_: str) -> None:
        """Queue a new request; with no room it is only on the page, and the log says so."""
        try:
            self._filed.put_nowait(id_)
        except asyncio.QueueFull:
            _log.warning("webhook: request %s is not announced: %d others wait already", id_, self._filed.qsize())

    def decided(self, record: ApprovalRecord) -> None:
        """Tell of a decision."""
        self._webhook.send(Notice(Event.DECIDED, record, self._link(record.id)))

    async def run(self) -> None:
        """Look up what was filed and tell of it, until cancelled."""
        while True:
            id_ = await self._filed.get()
            try:
                record = await self._approvals.record(id_)
            except StoreError as error:
                _log.warning("webhook: request %s is not announced: %s", id_, error)
            else:
                if record is not None:
                    self._webhook.send(Notice(Event.REQUESTED, record, self._link(id_)))
            finally:
                self._filed.task_done()

    async def drained(self) -> None:
        """Wait until what was filed is with the webhook."""
        await self._filed.join()


class FilingSink:
    """An AuditSink that passes on which requests were filed: every decision comes by, most of them file none."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer

    def write(self, record: Record) -> bool:
        """Announce the request that this decision filed. Always True: nobody is denied for want of a message."""
        standing = record.decision.approval
        if standing is not None and standing.filed:
            self._announcer.filed(standing.id)
        return True
