"""New and decided requests for approval -> messages to the webhook, beside the page or where that is elsewhere."""

from __future__ import annotations

import asyncio
import contextlib

from authz.app.approvals.announcer import FilingSink, WebhookAnnouncer
from authz.app.approvals.metrics import DeliveryMetrics
from authz.app.approvals.options import Hook
from authz.app.approvals.webhook import Webhook
from authz.model import ApprovalRecord
from authz.state.store import Approvals

PATIENCE = 2.0  # seconds for messages on their way when it stops


class Messenger:
    """Tells `hook` of what was filed and decided here, by the page's address: `url`, without a slash at the end.

    Where no setting says it, the page is bound first and sets `url` then.
    """

    def __init__(self, approvals: Approvals, hook: Hook, metrics: DeliveryMetrics, url: str) -> None:
        self.url = url
        self._webhook = Webhook(hook, metrics)
        self._announcer = WebhookAnnouncer(approvals, self._webhook, self.link)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def sink(self) -> FilingSink:
        """What is to be told of every decision, so that people hear of requests."""
        return FilingSink(self._announcer)

    def link(self, id_: str) -> str:
        """The page's address of a request."""
        return f"{self.url}/requests/{id_}"

    def filed(self, id_: str) -> None:
        """A request was filed."""
        self._announcer.filed(id_)

    def decided(self, record: ApprovalRecord) -> None:
        """A request was decided."""
        self._announcer.decided(record)

    async def start(self) -> None:
        """Send from now on."""
        self._tasks = [asyncio.create_task(work) for work in (self._webhook.run(), self._announcer.run())]

    async def stop(self) -> None:
        """Send what is on its way for two seconds, and end."""
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._announcer.drained()
                    await self._webhook.drained()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
