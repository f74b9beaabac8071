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

from authz.app.phrases import reason
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
    `failures` how often it did not.
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
        self._failing = ""
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
        except (OSError, TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            self.failures += 1
            text = reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
            if text != self._failing:
                kept = f"; {len(self.keys)} keys from before stay in force" if self.keys else ""
                _log.error("identity %s: %s gives no keys: %s%s", self.name, self._place, text, kept)
            self._failing = text
            return False
        self.fetched_at = time.time()
        if changed or self._failing:
            _log.info("identity %s: %d keys from %s", self.name, len(self.keys), self._place)
        self._failing = ""
        return True


@contextlib.asynccontextmanager
async def fetching(fetchers: Sequence[Fetcher]) -> AsyncIterator[None]:
    """Within, keys are kept up to date; begins with those that come at once."""
    if fetchers:
        await asyncio.wait([asyncio.ensure_future(one.fetch()) for one in fetchers], timeout=_PATIENCE)
    tasks = [asyncio.ensure_future(one.run()) for one in fetchers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
        client.stream("GET", url, headers={"accept": "application/json"}) as answer,
    ):
        if answer.status_code != 200:
            raise ValueError(f"expected status 200, got {answer.status_code}")
        async for part in answer.aiter_bytes():
            text += part
            if len(text) > _LARGEST:
                raise ValueError(f"expected a key set of at most {_LARGEST} bytes, got more")
    return text
