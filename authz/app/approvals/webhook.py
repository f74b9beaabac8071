"""Notices -> signed POSTs to one address of the settings, tried again while it fails, from tasks of their own.

Signatures and headers are those of Standard Webhooks (github.com/standard-webhooks, version 1). Redirects are not
followed and no proxy of the environment is used: nothing but the setting says where a message goes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Callable

import httpx2
import stamina

from authz.app.approvals.messages import Notice, body
from authz.app.approvals.metrics import DeliveryMetrics
from authz.app.approvals.options import Hook

_log = logging.getLogger("mcp_authz.approvals")
# At its level of information the library logs every address in full, and that of a Slack hook is a secret.
logging.getLogger("httpx2").setLevel(logging.WARNING)

QUEUE = 1000  # notices that wait
SENDERS = 4  # so that one slow delivery does not hold up all others
TIMEOUT = 10.0  # seconds of one try
ATTEMPTS = 6  # with waits of 1, 2, 4, 8 and 16 s and up to 1 s of jitter: half a minute
_TOO_EARLY = frozenset((408, 425, 429))


class _Again(Exception):  # noqa: N818 - a signal to the retrying library
    """A try that failed in a way that may pass."""


class Webhook:
    """Delivers notices to `hook`. `wait` is the first pause between tries, in seconds; `clock` wall-clock seconds."""

    def __init__(
        self,
        hook: Hook,
        metrics: DeliveryMetrics,
        *,
        wait: float = 1.0,
        attempts: int = ATTEMPTS,
        room: int = QUEUE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hook = hook
        self._metrics = metrics
        self._wait = wait
        self._attempts = attempts
        self._clock = clock
        self._queue: asyncio.Queue[Notice] = asyncio.Queue(room)

    def send(self, notice: Notice) -> None:
        """Queue a notice; dropped, counted and logged where there is no room."""
        try:
            self._queue.put_nowait(notice)
        except asyncio.QueueFull:
            self._metrics.delivered("dropped")
            _log.warning("webhook: %s dropped: %d messages wait already", notice.id, self._queue.qsize())

    async def run(self) -> None:
        """Deliver until cancelled."""
        limits = httpx2.Limits(max_connections=SENDERS)
        async with (
            httpx2.AsyncClient(follow_redirects=False, trust_env=False, timeout=TIMEOUT, limits=limits) as client,
            asyncio.TaskGroup() as senders,
        ):
            for _ in range(SENDERS):
                senders.create_task(self._sender(client))

    async def drained(self) -> None:
        """Wait until what is queued has gone."""
        await self._queue.join()

    async def _sender(self, client: httpx2.AsyncClient) -> None:
        while True:
            notice = await self._queue.get()
            try:
                self._metrics.delivered(await self._deliver(client, notice))
            except Exception:
                self._metrics.delivered("failed")
                _log.exception("webhook: %s could not be sent", notice.id)
            finally:
                self._queue.task_done()

    async def _deliver(self, client: httpx2.AsyncClient, notice: Notice) -> str:
        content = body(notice, self._hook.form)
        try:
            async for attempt in stamina.retry_context(
                on=_Again, attempts=self._attempts, timeout=None, wait_initial=self._wait, wait_max=60.0,
                wait_jitter=self._wait,
            ):  # fmt: skip
                with attempt:
                    return await self._try(client, notice.id, content)
        except _Again as error:
            _log.warning("webhook: %s was given up after %d tries: %s", notice.id, self._attempts, error)
        return "failed"

    async def _try(self, client: httpx2.AsyncClient, id_: str, content: bytes) -> str:
        headers = {"content-type": "application/json", **self._signed(id_, content)}
        try:
            # The body of the answer is nobody's business, and may have any length.
            async with (
                asyncio.timeout(TIMEOUT),
                client.stream("POST", self._hook.url, content=content, headers=headers) as answer,
            ):
                status = answer.status_code
        except (httpx2.TransportError, TimeoutError) as error:
            raise _Again(type(error).__name__) from error  # its text may have the address
        if status >= 500 or status in _TOO_EARLY:
            raise _Again(f"status {status}")
        if 200 <= status < 300:
            return "delivered"
        _log.warning("webhook: %s was rejected with status %d", id_, status)
        return "rejected"

    def _signed(self, id_: str, content: bytes) -> dict[str, str]:
        stamp = str(int(self._clock()))
        headers = {"webhook-id": id_, "webhook-timestamp": stamp}
        if self._hook.secret:
            signed = f"{id_}.{stamp}.".encode() + content
            digest = hmac.new(self._hook.secret, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers
