"""Something that is asked -> its answer, or a failure once a deadline is over. Knows no store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from authz.app.store.failures import Cause, StoreFailure

GRACE = 0.002  # seconds to read what has come while the event loop was held up

T = TypeVar("T")


async def in_time(asked: Awaitable[T], seconds: float) -> T:
    """What is asked; raises StoreFailure once `seconds` are over.

    Where this process itself was busy beyond the deadline, an answer that has come meanwhile still counts.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as deadline:
            due = loop.time() + seconds
            bell = loop.call_at(due, _ring, loop, deadline, due)
            try:
                return await asked
            finally:
                bell.cancel()
    except TimeoutError:
        raise StoreFailure(f"no answer within {seconds * 1000:g} ms", Cause.TIMEOUT) from None


def _ring(loop: asyncio.AbstractEventLoop, deadline: asyncio.Timeout, due: float) -> None:
    """The deadline is over. Where it was the event loop that was late, what has come meanwhile is read first."""
    now = loop.time()
    deadline.reschedule(now + GRACE if now - due > GRACE else now)
