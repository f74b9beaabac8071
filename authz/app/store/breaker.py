"""Failures and successes -> whether the shared store is asked at all. Knows no clock and no connection."""

from __future__ import annotations

from authz.app.store.failures import Cause, StoreFailure

CONSECUTIVE = 5  # as Envoy's outlier detection (`consecutive_5xx`)


class Breaker:
    """Closed: calls ask. Open, after `CONSECUTIVE` failures in a row: none does, until a probe has succeeded.

    A call that fails for want of a connection has not waited and counts for nothing: in a cluster one node may be away
    while the others answer. `why` is the failure that opened it, None while it is closed.
    """

    def __init__(self, why: StoreFailure) -> None:
        """Open until the first probe succeeds; `why` says so."""
        self.why: StoreFailure | None = why
        self._failures = 0

    @property
    def closed(self) -> bool:
        """Whether calls ask."""
        return self.why is None

    def failed(self, failure: StoreFailure) -> bool:
        """A call has failed; whether that opens it."""
        if failure.cause is Cause.CONNECTION or not self.closed:
            return False
        self._failures += 1
        if self._failures < CONSECUTIVE:
            return False
        self.why = failure
        return True

    def succeeded(self) -> None:
        """A call has succeeded. That alone does not close it: the call was asked before it opened."""
        self._failures = 0

    def probed(self, failure: StoreFailure | None) -> bool:
        """A probe has ended, with a failure or None; whether that changes anything."""
        if failure is None:
            self._failures = 0
            changed, self.why = not self.closed, None
            return changed
        if failure.cause is Cause.TIMEOUT and self.closed:
            return self.failed(failure)  # it waits no longer than a call does, so it is no more of a sign
        changed, self.why = self.closed, failure
        return changed
