"""A file or URL -> the keys of one issuer, kept up to date off the path; the last good ones stay whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import httpx2

from authz.app.phrases import counted, reason
from authz.identity.keys import Keys

_log = logging.getLogger("mcp_authz.tokens")

INTERVAL = 300.0  # seconds between two fetches; Envoy's jwt_authn has 10 minutes, go-oidc asks on a miss only
SOONEST = 10.0  # seconds between two fetches that unknown keys ask for: whoever sends such tokens must not choose
_FILE_INTERVAL = 10.0
_BACK_OFF = (1.0, 60.0)  # seconds until a failed fetch is tried again: at first, at most
TIMEOUT = 5.0
_LARGEST = 1024 * 1024  # bytes of a key set; a hundred keys have a tenth of that
_PATIENCE = 2.0  # seconds that a start waits for the first keys


class Fetcher:
    """Fetches one key set at once, then every `interval` seconds, and sooner when a token names an unknown key.

    `place` is a path or an `http` or `https` URL. `fetched_at` is when it last succeeded (epoch seconds, 0: never),
    `failures` how often it did not and `problem` why it does not now; `tried` is set once it is known whether it does.
    """

    def __init__(
        self,
        name: str,
        place: str,
        keys: Keys,
        *,
        interval: float | None = None,
        soonest: float = SOONEST,
        back_off: tuple[float, float] = _BACK_OFF,
    ) -> None:
        self.name = name
        self.keys = keys
        self.fetched_at = 0.0
        self.failures = 0
        self._fetch = _reading(place)
        self._place = place
        url = "://" in place
        self._interval = interval or (INTERVAL if url else _FILE_INTERVAL)
        self._soonest = soonest
        self._back_off = back_off
        self._missed = asyncio.Event()
        self.tried = asyncio.Event()
        self.problem = ""
        keys.missed = self._missed.set

    async def run(self) -> None:
        """Fetch until cancelled."""
        pause = self._back_off[0]
        while True:
            self._missed.clear()
            if await self.fetch():
                pause = self._back_off[0]
                await asyncio.sleep(self._soonest)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._missed.wait(), max(0.0, self._interval - self._soonest))
            else:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that replicas do not ask at once
                pause = min(2 * pause, self._back_off[1])

    async def fetch(self) -> bool:
        """Fetch once; whether that gave keys."""
        try:
            changed = self.keys.replace(await self._fetch())
        except Exception as error:  # whatever a peer and the libraries that read it can think of: the task must go on
            self.failures += 1
            if not isinstance(error, OSError | httpx2.HTTPError | ValueError):
                _log.exception("identity %s: %s could not be fetched", self.name, self._place)
            text = _why(error)
            if text != self.problem:
                kept = f"; {counted(len(self.keys), 'key')} from before in force" if self.keys else ""
                _log.error("identity %s: %s gives no keys: %s%s", self.name, self._place, text, kept)
            self.problem = text
            return False
        finally:
            self.tried.set()
        self.fetched_at = time.time()
        if changed or self.problem:
            _log.info("identity %s: %s from %s", self.name, counted(len(self.keys), "key"), self._place)
        if changed:
            for text in self.keys.passed_over:
                _log.warning("identity %s: %s: %s", self.name, self._place, text)
        self.problem = ""
        return True


@contextlib.asynccontextmanager
async def fetching(fetchers: Sequence[Fetcher]) -> AsyncIterator[None]:
    """Within, keys are kept up to date; begins once the first are there, or after a moment's patience."""
    for one in fetchers:
        one.tried.clear()
    tasks = [asyncio.create_task(one.run()) for one in fetchers]
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for one in fetchers:
                    await one.tried.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return f"no answer within {TIMEOUT:g} s"
    return reason(error) if isinstance(error, OSError) and error.errno else str(error) or type(error).__name__


def _reading(place: str) -> Callable[[], Awaitable[bytes]]:
    if "://" in place:
        return lambda: _get(place)
    path = Path(place)
    return lambda: asyncio.to_thread(_read, path)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"expected a key set of at most {_LARGEST} bytes, got more")
    return text


async def _get(url: str) -> bytes:
    """The body of `url`. Redirects are not followed: who can make one would choose who signs tokens."""
    text = b""
    async with (
        asyncio.timeout(TIMEOUT),
        httpx2.AsyncClient(timeout=TIMEOUT) as client,
        client.stream("GET", url, headers={"accept": "application/json", "accept-encoding": "identity"}) as answer,
    ):
        if answer.status_code != 200:
            raise ValueError(f"expected status 200, got {answer.status_code}")
        # As it comes: what is packed could be a thousand times as large.
        async for part in answer.aiter_raw():
            text += part
            if len(text) > _LARGEST:
                raise ValueError(f"expected a key set of at most {_LARGEST} bytes, got more")
    return text
