"""The shared store with a deadline, a breaker and something to fall back on, as the engine's one store.

A call waits for the shared store no longer than its deadline, and not at all once the store is known not to answer.
Knows no protocol and no address.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from authz.app.store.breaker import Breaker
from authz.app.store.bulletin import Bulletin
from authz.app.store.deadline import in_time
from authz.app.store.failures import Cause, StoreFailure
from authz.app.store.fallback import Fallback, Outcome
from authz.errors import StoreError
from authz.model import ApprovalRecord, Discharge, Ruling
from authz.state.memory import MemoryStore
from authz.state.store import Approvals, Attempt, Store, Usage, any_record

PATIENT = 2.0  # seconds for what people ask, and to connect
THOROUGH = 20.0  # seconds for a walk over all keys: a million take 1 s, 10 s on a busy machine (measured)
PROBE = 0.5  # seconds between probes while the store is away, a quarter more or less: replicas must not march in step
BEAT = 2.0  # seconds between probes while all is well, by which replicas know of each other

T = TypeVar("T")


class Shared(Store, Approvals, Protocol):
    """A store that replicas share. Trouble with the server is a StoreFailure, other StoreErrors are the attempt's."""

    async def beat(self) -> int:
        """Write that this replica is there; how many there are. Raises StoreFailure."""
        ...


class GuardedStore(Store, Approvals):
    """`shared` while it answers within `timeout` seconds, else what each limit says (`Fallback`).

    `mend` has connections made, `wake` is set by who sees that it is time to. `observe` is told how many seconds each
    answer took. `where` is for people.

    An attempt that is not answered in time may have been paid: it is judged again here, so it may count twice, in the
    shared store and here, never nowhere. What was paid here alone is not counted in the shared store when that is back:
    in a window with an outage all replicas together admit at most `max` twice, where their number is known. To add it
    afterwards would charge some calls a second time, those that the store has paid without being heard, at a time that
    is not theirs, and send every replica's counters to a store that has just come back; who cannot afford twice `max`
    says `deny`, which is the default where `cost` is given.
    """

    def __init__(
        self,
        shared: Shared,
        local: MemoryStore,
        mend: Callable[[], Awaitable[None]],
        wake: asyncio.Event,
        *,
        where: str,
        timeout: float,
        observe: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.local = local
        self._shared = shared
        self._mend = mend
        self._wake = wake
        self._where = where
        self._timeout = timeout
        self._observe = observe
        self._jitter = jitter
        self._fallback = Fallback(local)
        self._breaker = Breaker(StoreFailure("not asked yet", Cause.CONNECTION))
        self._bulletin = Bulletin(where)
        self._watching: asyncio.Task[None] | None = None
        self._closed = False
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._failures = dict.fromkeys(Cause, 0)

    async def start(self) -> None:
        """Connect, and watch the store from now on. That it does not answer is logged and no reason not to start."""
        await self._probe()
        self._bulletin.started(self._breaker.why, self.replicas)
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching and let go of both stores; a closed store raises StoreError."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await self._shared.close()
        await self.local.close()

    # ------------------------------------------------------------------------------------------- a call's path

    async def discharge(self, attempt: Attempt) -> Discharge:
        """Pay all of `attempt` or nothing, by the shared store or without it; raises StoreError where that denies."""
        self._require_open()
        if self._breaker.closed:
            started = time.perf_counter()
            try:
                discharge = await in_time(self._shared.discharge(attempt), self._timeout)
            except StoreFailure as failure:
                self._failed(failure)
            else:
                if self._observe is not None:
                    self._observe(time.perf_counter() - started)
                self._breaker.succeeded()
                self._outcomes[Outcome.SHARED] += 1
                if discharge.paid and not attempt.peek:
                    self.local.note(attempt)
                return discharge
        try:
            outcome, discharge = await self._fallback.discharge(attempt)
        except StoreError:
            self._outcomes[Outcome.DENIED] += 1
            raise
        self._outcomes[outcome] += 1
        return discharge

    def _failed(self, failure: StoreFailure) -> None:
        self._failures[failure.cause] += 1
        opened = self._breaker.failed(failure)
        if opened:
            self._bulletin.changed(self._breaker.why)
        if opened or failure.cause is Cause.CONNECTION:
            self._wake.set()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("store: expected it open, got a call after close")

    # ------------------------------------------------------------------------------------------- beside the calls

    async def _watch(self) -> None:
        while True:
            woken = not self._breaker.closed
            if not woken:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT):
                        woken = await self._wake.wait()
            self._wake.clear()
            if await self._probe():
                self._bulletin.changed(self._breaker.why)
            if woken:  # however often it is woken
                await asyncio.sleep(PROBE * (0.75 + self._jitter() / 2))

    async def _probe(self) -> bool:
        """Whether that has changed anything."""
        failure: StoreFailure | None = None
        try:
            async with asyncio.timeout(PATIENT):
                await self._mend()
            self._fallback.replicas = await in_time(self._shared.beat(), self._timeout)
        except StoreFailure as found:
            failure = found
        except TimeoutError:
            failure = StoreFailure(f"no connection within {PATIENT:g} s", Cause.CONNECTION)
        except Exception as error:  # whatever it is, the watch must go on
            failure = StoreFailure(f"{type(error).__name__}: {error}", Cause.OTHER)
            failure.__cause__ = error
        if failure is not None:
            self._failures[failure.cause] += 1
        return self._breaker.probed(failure)

    # --------------------------------------------------------------------------------------------- what people ask

    async def usage(self, most: int = 1_000, *, server: str = "", limit: str = "") -> Sequence[Usage]:
        """Up to `most` counters in use now, of all replicas; raises StoreError."""
        return await self._patiently(lambda: self._shared.usage(most, server=server, limit=limit), THOROUGH)

    async def reset(self, server: str, limit: str = "") -> int:
        """Forget counters, this replica's own too; how many there were in the shared store. Raises StoreError."""
        number = await self._patiently(lambda: self._shared.reset(server, limit), THOROUGH)
        await self.local.reset(server, limit)
        return number

    async def records(
        self, *, most: int = 200, pending: bool | None = None, wanted: Callable[[ApprovalRecord], bool] = any_record
    ) -> Sequence[ApprovalRecord]:
        """As of the shared store; raises StoreError."""
        return await self._patiently(lambda: self._shared.records(most=most, pending=pending, wanted=wanted))

    async def record(self, id_: str) -> ApprovalRecord | None:
        """As of the shared store; raises StoreError."""
        return await self._patiently(lambda: self._shared.record(id_))

    async def submit(self, id_: str, ruling: Ruling) -> ApprovalRecord | None:
        """As of the shared store; raises StoreError, after which nobody knows whether it was taken."""
        return await self._patiently(lambda: self._shared.submit(id_, ruling))

    async def changes(self) -> int:
        """As of the shared store; raises StoreError."""
        return await self._patiently(self._shared.changes)

    async def _patiently(self, ask: Callable[[], Awaitable[T]], seconds: float = 0.0) -> T:
        self._require_open()
        if self._breaker.why is not None:
            raise self._breaker.why.again()
        patience = seconds or PATIENT
        try:
            async with asyncio.timeout(patience):
                return await ask()
        except TimeoutError:
            failure = StoreFailure(f"no answer within {patience:g} s", Cause.TIMEOUT)
        except StoreFailure as found:
            failure = found
        self._failures[failure.cause] += 1
        self._wake.set()
        raise failure

    # ------------------------------------------------------------------------------------------ what it tells

    @property
    def up(self) -> bool:
        """Whether calls are judged by the shared store."""
        return self._breaker.closed

    @property
    def problem(self) -> str:
        """Why they are not, "" where they are."""
        why = self._breaker.why
        return f"state {self._where}: {why}" if why else ""

    @property
    def replicas(self) -> int | None:
        """How many replicas share the store, as last known; None: never known."""
        return self._fallback.replicas

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """Attempts so far by who judged them."""
        return self._outcomes

    @property
    def failures(self) -> Mapping[Cause, int]:
        """Failures so far by cause, those of probes among them."""
        return self._failures

    def describe(self) -> Mapping[str, Any]:
        """Where the store is and how it stands, fit for JSON."""
        return {"store": self._where, "up": self.up, "problem": self.problem, "replicas": self.replicas}
