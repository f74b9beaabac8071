"""The shared store: obligations -> a discharge, by one script on a server that all replicas ask.

Knows no client library and no event loop, only a `Server`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from authz.errors import StoreError
from authz.model import ApprovalRecord, Charge, Discharge, Ruling
from authz.state.approvals import FILING_LIMIT
from authz.state.store import Approvals, Attempt, Store, Usage, any_record
from authz.state.valkey.admission import Admission
from authz.state.valkey.asking import approve
from authz.state.valkey.bill import (
    INDEX,
    PEEK,
    Line,
    approve_call,
    conclude,
    discharge_call,
    read_approved,
    read_discharged,
    repeat_key,
    settle,
)
from authz.state.valkey.charges import EncodedCharge, encode_charge
from authz.state.valkey.overview import Overview
from authz.state.valkey.people import People
from authz.state.valkey.requests import EncodedRequest, encode_request
from authz.state.valkey.scripts import APPROVE, DISCHARGE
from authz.state.valkey.server import Server
from authz.state.valkey.slots import Cluster, Slots

_CACHED = 10_000  # charges whose keys are known: about 10 MB


class ValkeyStore(Store, Approvals):
    """Limits and approvals that hold over all replicas that ask the same server, by the server's own time.

    The settings are MemoryStore's. One attempt is one script call, and so one round trip, on a single server; and in a
    cluster where all that it owes is in one slot, which is that of who asks. Where it is in several, there is one call
    for each slot, that of who asks last (slots.py; with requests for approval each slot is asked first, asking.py);
    what was charged is given back precisely when a later slot refuses.

    So there is never more admitted than `max`. What may be counted that did not happen: the charges of an attempt that
    a later slot refused, until they are given back; for good, that is until their window ends, where the give-back
    fails, or the attempt is cancelled between two slots. What may be counted less: a counter that a server lost
    (failover, data flushed). Whoever was counted with others while an anonymous caller's replica had no place left for
    it begins a window of its own when it gets one.

    Limits' `max` may change, the counter stays. `clock` is for tests: seconds in place of the server's time.
    """

    def __init__(
        self,
        server: Server,
        *,
        sessions: int = 10,
        max_anonymous: int = 50_000,
        max_values: int = 1_000,
        repeat_window: float = 10.0,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
        timer: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._server = server
        self._sessions = sessions
        self._values = max_values
        self._repeat_window = repeat_window
        self._new_id = new_id
        self._clock = clock
        self._admission = Admission(max_anonymous, timer)
        self._encoded: dict[Charge, EncodedCharge] = {}
        self._overview = Overview(server, self._now, sessions)
        self._overview.note(FILING_LIMIT)
        self._people = People(server, self._now)
        self._cluster = Cluster(server, self._now, repeat_window)
        self._closed = False

    async def discharge(self, attempt: Attempt) -> Discharge:
        """Pay all of `attempt` or nothing; raises StoreError when the server cannot tell, and for a bad cost.

        A cost above the whole limit never passes: `retry_after` is `math.inf`. Of a peek, `paid` says whether the
        attempt would be.
        """
        self._require_open()
        lines = [
            Line(at, charge, self._encode(charge)) for at, part in enumerate(attempt.parts) for charge in part.charges
        ]
        if any(part.request is not None for part in attempt.parts):
            return await self._approve(attempt, lines)
        parts = len(attempt.parts)
        if not lines:
            return Discharge(paid=True, standings=(None,) * parts)
        if self._server.cluster and len({line.encoded.tag for line in lines}) > 1:
            return await Slots(self._cluster, attempt, lines, lines[0].encoded.tag).discharge()
        first = lines[0]
        repeat = repeat_key(attempt, first.encoded.tag, first.charge.anonymous) if attempt.repeat_key else b""
        flags = PEEK if attempt.peek else 0
        keys, args = discharge_call(self._now(), flags, self._repeat_window, repeat, [line.encoded for line in lines])
        reply = await self._server.run(DISCHARGE, keys, args)
        paid, states = read_discharged(reply, len(lines))
        return settle(paid, [line.charge for line in lines], states, parts)

    async def usage(self, most: int = 1_000, *, server: str = "", limit: str = "") -> Sequence[Usage]:
        """Up to `most` counters in use now of limits that some replica has told of (`beat`); raises StoreError."""
        self._require_open()
        return await self._overview.usage(most, server, limit)

    async def reset(self, server: str, limit: str = "") -> int:
        """Forget the counters of the limit named `limit` of `server` ("": of all its limits); how many there were."""
        self._require_open()
        return await self._overview.reset(server, limit)

    async def beat(self, replica: str = "") -> int:
        """Tell that this replica is there and which limits it knows; how many were there in the last 15 s.

        For a background task, every few seconds. `replica` is a name of its own, by default a random one.
        """
        self._require_open()
        return await self._overview.beat(replica)

    async def records(
        self, *, most: int = 200, pending: bool | None = None, wanted: Callable[[ApprovalRecord], bool] = any_record
    ) -> Sequence[ApprovalRecord]:
        """Up to `most` requests that wait, serve or have ended in the last day, the newest first."""
        self._require_open()
        return await self._people.records(most, pending, wanted)

    async def record(self, id_: str) -> ApprovalRecord | None:
        """The request `id_`, None if there is none."""
        self._require_open()
        return await self._people.record(id_)

    async def submit(self, id_: str, ruling: Ruling) -> ApprovalRecord | None:
        """Add `ruling` if the request still waits; the request afterwards, None if there is none."""
        self._require_open()
        return await self._people.submit(id_, ruling)

    async def changes(self) -> int:
        """A number that grows whenever any request is filed, decided, claimed or expires."""
        self._require_open()
        return await self._people.changes()

    async def close(self) -> None:
        """Let go of the server; whatever is asked afterwards raises StoreError."""
        if not self._closed:
            self._closed = True
            await self._server.close()

    @property
    def overflowed(self) -> int:
        """Charges of anonymous callers so far that this replica had no place for."""
        return self._admission.overflowed

    async def _approve(self, attempt: Attempt, lines: Sequence[Line]) -> Discharge:
        """An attempt that needs somebody's yes."""
        requests: list[EncodedRequest | None] = [
            None if part.request is None else encode_request(part.request, self._new_id()) for part in attempt.parts
        ]
        if self._server.cluster:
            return await approve(self._cluster, attempt, lines, requests)
        if lines:
            tag, anonymous = lines[0].encoded.tag, lines[0].charge.anonymous
        else:
            tag = next(request.tag for request in requests if request is not None)
            anonymous = next(part.request.anonymous for part in attempt.parts if part.request is not None)
        repeat = repeat_key(attempt, tag, anonymous) if attempt.repeat_key else b""
        flags = INDEX | (PEEK if attempt.peek else 0)
        keys, args = approve_call(self._now(), flags, self._repeat_window, repeat, lines, requests)
        approved = read_approved(await self._server.run(APPROVE, keys, args), len(lines))
        return conclude(approved, [line.charge for line in lines])

    def _encode(self, charge: Charge) -> EncodedCharge:
        known = self._encoded.get(charge)
        if known is None:
            known = encode_charge(charge, self._sessions, self._values)
            if len(self._encoded) >= _CACHED:
                self._encoded.clear()
            self._encoded[charge] = known
            self._overview.note(charge.limit)
        if charge.anonymous and not self._admission.admits(known.keys[0], charge.limit.window):
            return encode_charge(charge, self._sessions, self._values, overflow=True)
        return known

    def _now(self) -> float:
        return -1.0 if self._clock is None else self._clock()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("valkey store: expected it open, got a call after close")
