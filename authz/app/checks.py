"""The Check with what only the program knows: its deadline, and how many are in flight. Bytes in, bytes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol

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
    """`check` within `timeout` seconds, else `busy`: an answer of ours before the proxy gives up and makes its own.

    With `at_once` a check begins without a task and a deadline, which cost a tenth of what a call costs, and gets them
    where it has to wait for something. Then nothing that it does before it first waits may look for its task, as
    `asyncio.timeout` does: so it is for stores in memory, which never wait.
    """

    def __init__(
        self,
        check: Callable[[bytes, str], Coroutine[Any, Any, bytes]],
        refuser: Refuser,
        in_flight: Gauge,
        timeout: float,
        *,
        at_once: bool = False,
    ) -> None:
        self._check = check
        self._refuser = refuser
        self._in_flight = in_flight
        self._timeout = timeout
        self._at_once = at_once
        self._begun = 0

    def check(self, data: bytes, caller: str) -> bytes | Awaitable[bytes]:
        """The answer to `data`, or what will give it; raises nothing but the cancellation of this call."""
        self._begun += 1
        coroutine = self._check(data, caller)
        if not self._at_once:
            return self._in_time(coroutine)
        try:
            waited = coroutine.send(None)
        except StopIteration as answered:
            answer: bytes = answered.value
            return answer
        return self._in_time(_Begun(coroutine, waited))

    async def _in_time(self, answer: Awaitable[bytes]) -> bytes:
        self._in_flight.inc()
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
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


class _Begun:
    """A coroutine that has begun and waits for `waited`, as something that a task can await to its end."""

    def __init__(self, coroutine: Coroutine[Any, Any, bytes], waited: object) -> None:
        self._coroutine = coroutine
        self._waited = waited

    def __await__(self) -> Generator[Any, Any, bytes]:
        waited = self._waited
        try:
            while True:
                try:
                    come = yield waited
                except BaseException as error:
                    waited = self._coroutine.throw(error)
                else:
                    waited = self._coroutine.send(come)
        except StopIteration as answered:
            answer: bytes = answered.value
            return answer
