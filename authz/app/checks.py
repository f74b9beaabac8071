"""The Check with what only the program knows: its deadline, and how many are in flight. Bytes in, bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from authz.envoy.codec import encode
from authz.model import HttpRequest, Reason, Reply


class Gauge(Protocol):
    """Counts what is in flight."""

    def inc(self) -> None: ...
    def dec(self) -> None: ...


class Refuser(Protocol):
    """Who denies what was not decided."""

    def refuse(self, reason: Reason, request: HttpRequest | None, error: Exception | None = None) -> Reply: ...


class Checks:
    """`check` within `timeout` seconds, else `busy`: an answer of ours before the proxy gives up and makes its own."""

    def __init__(
        self, check: Callable[[bytes, str], Awaitable[bytes]], refuser: Refuser, in_flight: Gauge, timeout: float
    ) -> None:
        self._check = check
        self._refuser = refuser
        self._in_flight = in_flight
        self._timeout = timeout

    async def check(self, data: bytes, caller: str) -> bytes:
        """The answer to `data`; raises nothing but the cancellation of this call."""
        self._in_flight.inc()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._check(data, caller)
        except TimeoutError:
            return encode(self._refuser.refuse(Reason.BUSY, None))
        finally:
            self._in_flight.dec()
