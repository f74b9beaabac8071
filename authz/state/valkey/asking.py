"""An attempt with requests for approval in a cluster -> a discharge, the grant claimed last in the requester's slot.

First it is looked at how the requests stand, then what that comes to is done: file them, or claim their grants.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from authz.errors import StoreError
from authz.model import Discharge
from authz.state.store import Attempt
from authz.state.valkey import away, scripts
from authz.state.valkey.bill import (
    ANY,
    CLAIM,
    FILE,
    PEEK,
    REFERENCES,
    Approved,
    Line,
    State,
    approve_call,
    conclude,
    read_approved,
    repeat_key,
)
from authz.state.valkey.requests import INDEX_KEYS, EncodedRequest
from authz.state.valkey.slots import Cluster, Slots, anchor

# The hash of a digest and the id of the request that counts for it.
_Grant: TypeAlias = tuple[bytes, bytes]
_TRIES = 5  # each time another call was faster
_UNSEEN: State = (math.inf, 0.0, -1.0)


async def approve(
    cluster: Cluster, attempt: Attempt, lines: Sequence[Line], requests: Sequence[EncodedRequest | None]
) -> Discharge:
    """The discharge of an attempt with requests.

    Where they stand otherwise once it is their turn, because another call or a person was faster, they are looked at
    anew; raises StoreError where they never stay as they are.
    """
    for _ in range(_TRIES):
        discharge = await _Asking(cluster, attempt, lines, requests).discharge()
        if discharge is not None:
            return discharge
    raise StoreError(f"requests for approval: expected them to stay as they are, got changes {_TRIES} times")


class _Asking:
    """One try."""

    def __init__(
        self, cluster: Cluster, attempt: Attempt, lines: Sequence[Line], requests: Sequence[EncodedRequest | None]
    ) -> None:
        self._cluster = cluster
        self._attempt = attempt
        self._lines = lines
        self._requests = requests
        self._slots = Slots(cluster, attempt, lines, next(one.tag for one in requests if one is not None))

    async def discharge(self) -> Discharge | None:
        """None where something has changed meanwhile."""
        seen = await self._home(PEEK)
        filing = self._filing(seen) if seen.outcome == FILE else set()
        kept = self._kept(seen) if seen.outcome == CLAIM else {}
        fits = await self._look(seen, filing, away.by_slot(kept.values()))
        if self._attempt.peek or not fits or _refused(seen) or seen.outcome not in (CLAIM, FILE):
            return self._concluded(replace(seen, paid=seen.paid and fits))
        if seen.outcome == FILE:
            return await self._file(seen, filing)
        return await self._claim(kept)

    async def _file(self, seen: Approved, filing: set[int]) -> Discharge | None:
        """Charge what the parts in `filing` owe and file their requests."""
        words: list[bytes] = []
        for part in sorted(filing):
            encoded, request = self._requests[part], self._attempt.parts[part].request
            if encoded is not None and request is not None:
                timeout, anonymous = repr(request.timeout).encode(), b"%d" % request.anonymous
                words += (encoded.id, encoded.where, timeout, anonymous)
        blocked = await self._index(b"keep", *words)
        if blocked >= 0.0:
            return self._concluded(replace(seen, blocked=blocked))
        charged = [b""] * len(self._requests)
        fits = True
        try:
            for tag in self._slots.others:
                places = [at for at in self._slots.slots[tag] if self._lines[at].part in filing]
                if not places:
                    continue
                paid, references = await self._slots.run(REFERENCES if fits else PEEK, places)
                fits = fits and paid
                if fits:
                    self._slots.charged(tag, references)
                    for at, text in zip(places, references, strict=True):
                        charged[self._lines[at].part] += away.pack(tag, text)
            done = await self._home(0 if fits else PEEK, FILE, charged)
        except StoreError:
            await self._slots.give_back()
            raise
        if not any(standing is not None and standing.filed for standing in done.standings):
            await self._slots.tell_afresh(await self._slots.give_back())
            with contextlib.suppress(StoreError):  # it lists what is not there until its time is over
                await self._index(b"drop", *words[::4])
            if done.outcome == CLAIM:
                return None
        return self._concluded(done)

    async def _claim(self, kept: Mapping[_Grant, bytes]) -> Discharge | None:
        """Charge everything and claim a use of each grant.

        What filing has charged in other slots is taken first, so that of several calls one alone gives it back.
        """
        taken = {grant: await self._swap(grant, b"") for grant in kept}
        left = away.by_slot(taken.values())
        all_taken = set(left)
        fits = True
        try:
            for tag in self._slots.others:
                back = left.get(tag, b"") if fits else b""
                fitted = await self._slots.charge(tag, peek=not fits, given_back=back)
                if back and fitted:
                    del left[tag]
                fits = fits and fitted
            done = await self._home(0 if fits else PEEK, CLAIM)
        except StoreError:
            await self._slots.give_back()
            raise
        if not (fits and done.paid):
            for grant, text in taken.items():
                with contextlib.suppress(
                    StoreError
                ):  # then nobody gives it back, and it stays until its window is over
                    await self._swap(grant, away.without(text, all_taken - set(left)))
            await self._slots.tell_afresh(await self._slots.give_back())
            return None if done.outcome == FILE else self._concluded(replace(done, paid=False))
        # The call is paid: what is not given back stays until its window is over, and the index only counts changes.
        with contextlib.suppress(StoreError):
            for tag, text in left.items():
                await self._cluster.server.run(scripts.UNDO, [anchor(tag)], [self._cluster.time, text, b"0"])
        with contextlib.suppress(StoreError):
            ids = sorted({standing.id.encode() for standing in done.standings if standing is not None})
            await self._index(b"claim", b"%d" % len(ids), *ids)
        return self._concluded(done)

    async def _look(self, seen: Approved, filing: set[int], given_back: Mapping[bytes, bytes]) -> bool:
        """Whether what would be charged fits in the slots that are not home; how all limits there stand."""
        claims = seen.outcome == CLAIM
        fits = True
        for tag in self._slots.others:
            places = self._slots.slots[tag]
            owing = [at for at in places if claims or self._lines[at].part in filing]
            if owing:
                repeat = self._slots.repeat(tag) if claims else b""
                paid, _ = await self._slots.run(PEEK, owing, repeat, given_back.get(tag, b""))
                fits = fits and paid
            if len(owing) < len(places):
                await self._slots.run(PEEK, [at for at in places if at not in owing], told=False)
        return fits

    async def _home(self, flags: int, wanted: bytes = ANY, charged: Sequence[bytes] = ()) -> Approved:
        """What approve.lua says in the slot of who asks; `charged` is by part what filing charged elsewhere."""
        own = self._slots.slots.get(self._slots.home, [])
        mine = [self._lines[at] for at in own]
        repeat = b""
        if self._attempt.repeat_key:
            asks = next(part.request for part in self._attempt.parts if part.request is not None)
            anonymous = self._lines[0].charge.anonymous if self._lines else asks.anonymous
            repeat = repeat_key(self._attempt, self._slots.home, anonymous)
        cluster = self._cluster
        keys, args = approve_call(cluster.now(), flags, cluster.window, repeat, mine, self._requests, wanted, charged)
        approved = read_approved(await cluster.server.run(scripts.APPROVE, keys, args), len(own))
        self._slots.states |= dict(zip(own, approved.states, strict=True))
        return approved

    async def _swap(self, grant: _Grant, text: bytes) -> bytes:
        """What filing `grant` charged in other slots and nobody has taken; now that is `text`."""
        key, id_ = grant
        return bytes(await self._cluster.server.run(scripts.AWAY, [key], [id_, text]))

    async def _index(self, *words: bytes) -> float:
        return float(await self._cluster.server.run(scripts.INDEX, INDEX_KEYS, [self._cluster.time, *words]))

    def _filing(self, seen: Approved) -> set[int]:
        """The parts that file a request: of each digest the first."""
        first: dict[bytes, int] = {}
        for part, (standing, request) in enumerate(zip(seen.standings, self._requests, strict=True)):
            if standing is not None and request is not None and not standing.id:
                first.setdefault(request.keys[0], part)
        return set(first.values())

    def _kept(self, seen: Approved) -> dict[_Grant, bytes]:
        """What filing has charged in other slots, by grant."""
        return {
            (request.keys[0], standing.id.encode()): text
            for request, standing, text in zip(self._requests, seen.standings, seen.away, strict=True)
            if request is not None and standing is not None and text
        }

    def _concluded(self, approved: Approved) -> Discharge:
        states = [self._slots.states.get(at, _UNSEEN) for at in range(len(self._lines))]
        return conclude(replace(approved, states=states), [line.charge for line in self._lines])


def _refused(seen: Approved) -> bool:
    return seen.blocked >= 0.0 or any(wait >= 0.0 for state in (*seen.states, *seen.filings) for wait in state[2::3])
