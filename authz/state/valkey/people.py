"""Requests for approval as people see and decide them, from the scripts of the shared store. Off the path of a call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authz.errors import StoreError
from authz.model import ApprovalRecord, Ruling
from authz.state.store import any_record, is_wanted
from authz.state.valkey.requests import (
    INDEX_KEYS,
    decode_record,
    encode_ruling,
    grant_key,
    owner_key,
    record_key,
)
from authz.state.valkey.scripts import INDEX, LIST, READ, RULE
from authz.state.valkey.server import Server

_ALL = 10_000  # requests: more than the index lists
_PAGE = 100  # requests that are read in one go: about 2 ms of this process


@dataclass(frozen=True, slots=True)
class People:
    """`now` gives the time to pass to scripts, -1 for the server's own."""

    server: Server
    now: Callable[[], float]

    async def records(
        self, most: int, pending: bool | None, wanted: Callable[[ApprovalRecord], bool]
    ) -> Sequence[ApprovalRecord]:
        """The newest first, without parameters: long ones would hold up the calls that wait for the same server.

        What is not known of a request before it is read is read a page at a time.
        """
        chosen = wanted is not any_record or pending is False  # by what only the record says
        args = [self._time(), b"%d" % (_ALL if chosen else most)] + ([b"pending"] if pending else [])
        listed = await self.server.run(LIST, INDEX_KEYS, args)
        found = [(id_.decode(), where) for id_, where in zip(listed[::2], listed[1::2], strict=True) if where]
        records: list[ApprovalRecord] = []
        while found and len(records) < most:
            page, found = found[:_PAGE], found[_PAGE:]
            replies = await self.server.run_many(READ, [self._read(id_, where, listed=True) for id_, where in page])
            read = [decode_record(id_, reply) for (id_, _), reply in zip(page, replies, strict=True)]
            records += [record for record in read if record is not None and is_wanted(record, pending, wanted)]
        return tuple(records[:most])

    async def record(self, id_: str) -> ApprovalRecord | None:
        """The request `id_`, None if there is none."""
        where = await self._where(id_)
        return None if where is None else await self._record(id_, where)

    async def submit(self, id_: str, ruling: Ruling) -> ApprovalRecord | None:
        """What has become of the request `id_` after `ruling`."""
        where = await self._where(id_)
        record = None if where is None else await self._record(id_, where)
        if where is None or record is None:
            return None
        keys = [grant_key(where), owner_key(record.request)]
        if not self.server.cluster:
            keys += INDEX_KEYS
        satisfies = bytes(ruling.satisfies)
        args = [self._time(), id_.encode(), b"1" if ruling.granted else b"0", satisfies, encode_ruling(ruling)]
        taken, due, decided = await self.server.run(RULE, keys, args)
        if taken and self.server.cluster:
            # The ruling stands. The index only lists, and lets go of what it has not heard of when its time is over.
            with contextlib.suppress(StoreError):
                what = [b"end", id_.encode(), due] if decided else [b"change"]
                await self.server.run(INDEX, INDEX_KEYS, [self._time(), *what])
        return await self._record(id_, where)

    async def changes(self) -> int:
        """A number that grows."""
        return int(await self.server.run(INDEX, INDEX_KEYS, [self._time(), b"changes"]))

    async def _where(self, id_: str) -> bytes | None:
        # An id is ASCII; whatever else somebody asks for is unknown.
        if not id_.isascii():
            return None
        listed = await self.server.run(LIST, INDEX_KEYS, [self._time(), b"0", id_.encode()])
        return listed[1] if listed else None

    async def _record(self, id_: str, where: bytes) -> ApprovalRecord | None:
        return decode_record(id_, await self.server.run(READ, *self._read(id_, where)))

    def _read(self, id_: str, where: bytes, *, listed: bool = False) -> tuple[list[bytes], list[bytes]]:
        keys, args = [grant_key(where), record_key(where, id_)], [self._time(), id_.encode()]
        return keys, [*args, b"1"] if listed else args

    def _time(self) -> bytes:
        return repr(self.now()).encode()
