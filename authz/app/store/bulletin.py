"""The shared store is away, or is back -> one line of the log each time, not one for each call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from authz.app.store.failures import Cause, StoreFailure

_log = logging.getLogger("mcp_authz.state")


class Bulletin:
    """What people read of the store at `where`. `clock` is monotonic seconds. `why` is None where the store answers."""

    def __init__(self, where: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = where
        self._clock = clock
        self._since = clock()

    def started(self, why: StoreFailure | None, replicas: int | None) -> None:
        """The first answer, or that there was none."""
        if why is None:
            _log.info("state %s: connected, replicas: %s", self._where, replicas)
        else:
            self._away(why)

    def changed(self, why: StoreFailure | None) -> None:
        """It does not answer any more, or does again, or does not for another reason."""
        now = self._clock()
        if why is None:
            _log.info("state %s: answers again, after %.1f s", self._where, now - self._since)
        else:
            self._away(why)
        self._since = now

    def _away(self, why: StoreFailure) -> None:
        text = "state %s: %s: until it answers again each limit does what its on_store_error says"
        _log.error(text, self._where, why, exc_info=why.__cause__ if why.cause is Cause.OTHER else None)
