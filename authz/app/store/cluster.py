"""The primaries of a cluster as the shared store's `Server`: each script runs where the slot of its first key is.

Which node has which slot is learned from CLUSTER SLOTS and from redirections (https://valkey.io/topics/cluster-spec/).
A node that is away fails the calls for its slots at once and no others.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import hiredis

from authz.app.store.address import Place
from authz.app.store.failures import Cause, StoreFailure, word
from authz.app.store.link import DIAL, Dialer, Link
from authz.app.store.primary import accepted, run_many, run_on, scan
from authz.state.valkey.server import Script, Server

SLOTS = 16_384
_NOWHERE = Place()


class ClusterServer(Server):
    """All keys of one `run` must be of one slot. `seeds` are nodes to begin with.

    `trouble` is called when a node is lost or slots have moved: then `mend` should be called soon.
    """

    def __init__(self, dialer: Dialer, seeds: Sequence[Place], trouble: Callable[[], None]) -> None:
        self._dialer = dialer
        self._seeds = tuple(seeds)
        self._trouble = trouble
        self._links: dict[Place, Link] = {}
        self._slots: list[Place] = [_NOWHERE] * SLOTS
        self._stale = True  # whether slots may be elsewhere
        self._closing = False

    @property
    def cluster(self) -> bool:
        """Yes."""
        return True

    async def mend(self) -> None:
        """Learn where slots are, if anything has changed, and have links; raises StoreFailure if no node answers."""
        for link in list(self._links.values()):
            if link.stalled:
                link.close()
        if self._stale:
            self._stale = False
            try:
                self._slots = await self._ask_for_slots()
            except StoreFailure:
                self._stale = True
                raise
        primaries = set(self._slots) - {_NOWHERE}
        missing = [place for place in primaries if place not in self._links]
        failures = await asyncio.gather(*map(self._connect, missing), return_exceptions=True)
        for place in set(self._links) - primaries:
            self._links[place].close()
        failed = [failure for failure in failures if isinstance(failure, BaseException)]
        for failure in failed:
            if not isinstance(failure, StoreFailure):
                raise failure
        # A replica may have taken its place.
        self._stale = self._stale or bool(failed)
        if not self._links:
            raise StoreFailure("; ".join(map(str, failed)) or "no node has any slot", Cause.CONNECTION)

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """What `script` replies where the slot of `keys[0]` is, after at most one redirection; raises StoreFailure."""
        slot = slot_of(keys[0])
        link = self._link(self._slots[slot])
        reply = await run_on(link, script, keys, args)
        if isinstance(reply, hiredis.ReplyError) and word(reply) in ("MOVED", "ASK"):
            kind, _, where = str(reply).split(" ", 2)
            place = _place(where, link.place)
            if kind == "MOVED":
                self._slots[slot] = place
                self._suspect()
            link = self._link(place)
            reply = await run_on(link, script, keys, args, *(["ASKING"] if kind == "ASK" else []))
        return accepted(link, reply)

    async def run_many(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> Sequence[Any]:
        """The replies of many; raises the first StoreFailure."""
        return await run_many(self, script, calls)

    async def scan(self, match: bytes) -> AsyncIterator[Sequence[bytes]]:
        """The keys that match on all primaries, one after the other; raises StoreFailure."""
        for place in sorted(set(self._slots), key=str):
            async for page in scan(self._link(place), match):
                yield page

    async def close(self) -> None:
        """Let go of all links."""
        self._closing = True
        for link in list(self._links.values()):
            link.close()

    def _link(self, place: Place) -> Link:
        link = self._links.get(place)
        if link is None:
            self._suspect()
            raise StoreFailure(f"{place if place != _NOWHERE else 'cluster'}: not connected", Cause.CONNECTION)
        return link

    async def _connect(self, place: Place) -> None:
        self._links[place] = await self._dialer.dial(place, self._lost)

    def _lost(self, link: Link) -> None:
        if self._links.get(link.place) is link:
            del self._links[link.place]
        if not self._closing:
            self._suspect()

    def _suspect(self) -> None:
        self._stale = True
        self._trouble()

    async def _ask_for_slots(self) -> list[Place]:
        """The place of each slot's primary, from the first node that knows."""
        said = []
        for place in dict.fromkeys((*self._links, *(set(self._slots) - {_NOWHERE}), *self._seeds)):
            try:
                link = self._links.get(place) or await self._dialer.dial(place)
                try:
                    async with asyncio.timeout(DIAL):
                        ranges = await link.command("CLUSTER", "SLOTS")
                finally:
                    if self._links.get(place) is not link:
                        link.close()
            except TimeoutError:
                said.append(f"{place}: no answer")
            except StoreFailure as failure:
                said.append(str(failure))
            else:
                slots = [_NOWHERE] * SLOTS
                for first, last, (host, port, *_), *_ in ranges:
                    found = Place((host or b"").decode() or place.host, port)
                    slots[first : last + 1] = [found] * (last + 1 - first)
                if any(ranges):
                    return slots
                said.append(f"{place}: knows of no slots")
        raise StoreFailure("; ".join(said), Cause.CONNECTION)


def slot_of(key: bytes) -> int:
    """The slot of a key: CRC16 (XMODEM) of what is between its first braces, or of all of it."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    return binascii.crc_hqx(key[start + 1 : end] if end > start + 1 else key, 0) % SLOTS


def _place(where: str, here: Place) -> Place:
    """The HOST:PORT of a redirection; without a host it is the one that sent it."""
    host, _, port = where.rpartition(":")
    return Place(host or here.host, int(port))
