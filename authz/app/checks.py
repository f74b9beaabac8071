"""The Check with what only the program knows: its deadline, and how many are in flight. Bytes in, bytes out."""

from __future__ import annotations

import asyncio
import time
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
        self._begun = 0

    async def check(self, data: bytes, caller: str) -> bytes:
        """The answer to `data`; raises nothing but the cancellation of this call."""
        self._begun += 1
        self._in_flight.inc()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._check(data, caller)
        except TimeoutError:
            return encode(self._refuser.refuse(Reason.BUSY, None))
        finally:
            self._in_flight.dec()

    async def quiet(self, interval: float, patience: float) -> bool:
        """Wait until no check has begun for `interval` seconds, at most `patience`; whether it became quiet."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            begun = self._begun
            await asyncio.sleep(interval)
            if begun == self._begun:
                return True
        return False
