"""What is counted now, for people, and which replicas there are. Off the path of a call."""

from __future__ import annotations

import ast
import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from authz.errors import StoreError
from authz.model import Algorithm, Limit, OnStoreError
from authz.state.store import Usage
from authz.state.valkey.charges import ALGORITHMS
from authz.state.valkey.keys import PREFIX, limit_mark, tag
from authz.state.valkey.scripts import BEAT, FORGET, LIMITS, STRIP, USAGE
from authz.state.valkey.server import Server

SEEN = 15.0  # seconds that a replica counts as there
_LIMITS = 10_000  # that a replica tells of
_LONGEST = 7 * 24 * 3600.0  # seconds at least that a limit's name is known after the last replica told of it
_PAGE = 500
_TAG = tag("index")
_KEYS = (PREFIX + _TAG + b"}ir", PREFIX + _TAG + b"}il")
_COUNTER_AT = len(PREFIX) + 4 + 1  # where a counter's key says its kind, after the tag and `}`
_MARK = slice(_COUNTER_AT + 1, _COUNTER_AT + 9)
_KINDS = b"[cfso]"


class Overview:
    """`now` gives the time to pass to scripts, -1 for the server's own. `sessions` is the store's."""

    def __init__(self, server: Server, now: Callable[[], float], sessions: int) -> None:
        self._server = server
        self._now = now
        self._sessions = sessions
        self._replica = secrets.token_hex(8)
        self._limits: dict[bytes, Limit] = {}
        self._told: set[bytes] = set()

    def note(self, limit: Limit) -> None:
        """`limit` is in use in this replica."""
        if len(self._limits) >= _LIMITS:
            self._limits.clear()
        mark = limit_mark(limit)
        if self._limits.get(mark) != limit:
            self._limits[mark] = limit
            self._told.discard(mark)

    async def beat(self, replica: str) -> int:
        """Write the replica and the limits that are new; how many replicas there are."""
        new = [mark for mark in self._limits if mark not in self._told]
        longest = max((limit.window for limit in self._limits.values()), default=0.0)
        args = [self._time(), (replica or self._replica).encode(), repr(SEEN).encode()]
        args.append(repr(max(_LONGEST, 2 * longest)).encode())
        for mark in new[:_PAGE]:
            args += (mark, _encode(self._limits[mark]))
        replicas, known = await self._server.run(BEAT, _KEYS, args)
        self._told.update(new[:_PAGE])
        if known < len(self._told):
            self._told.clear()  # they are lost: tell again
        return int(replicas)

    async def usage(self, most: int, server: str, name: str) -> Sequence[Usage]:
        """Up to `most` counters of the limit `name` of `server`, "": of all. Looks at all keys until it has them."""
        limits = {
            mark: limit
            for mark, limit in (await self._known()).items()
            if server in ("", limit.server) and name in ("", limit.name)
        }
        if not limits:
            return ()
        usages: list[Usage] = []
        seen: set[bytes] = set()  # a walk may come by a key twice
        # Only the keys of one limit can be told apart by the server.
        marked = next(iter(limits)) if len(limits) == 1 else b""
        async for page in self._server.scan(PREFIX + b"????}" + _KINDS + marked + b"*"):
            calls = [(key, limit) for key in page if key not in seen and (limit := limits.get(key[_MARK]))]
            seen.update(key for key, _ in calls)
            replies = await self._server.run_many(USAGE, [([key], self._usage_args(limit)) for key, limit in calls])
            for (key, limit), reply in zip(calls, replies, strict=True):
                usages += self._decode(key, limit, reply)
            if len(usages) >= most:
                break
        return tuple(usages[:most])

    async def reset(self, server: str, limit: str) -> int:
        """Forget counters; how many there were."""
        count = 0
        for mark, one in (await self._known()).items():
            if one.server != server or limit not in ("", one.name):
                continue
            # Also what says which values a caller has counters for (v).
            async for page in self._server.scan(PREFIX + b"????}[cfsov]" + mark + b"*"):
                gone = await self._server.run_many(FORGET, [([key], []) for key in page])
                count += sum(
                    there for key, there in zip(page, gone, strict=True) if key[_COUNTER_AT : _COUNTER_AT + 1] != b"v"
                )
            async for page in self._server.scan(PREFIX + b"????}g*"):
                await self._server.run_many(STRIP, [([key], [mark]) for key in page])
        return count

    async def _known(self) -> dict[bytes, Limit]:
        """The limits that any replica has told of, by their mark."""
        listed = await self._server.run(LIMITS, _KEYS[1:], [])
        try:
            told = {mark: _decode(text) for mark, text in zip(listed[::2], listed[1::2], strict=True)}
        except (TypeError, ValueError, KeyError) as error:
            raise StoreError(f"limits: expected their names, got {error!r}") from error
        return told | self._limits

    def _usage_args(self, limit: Limit) -> list[bytes]:
        numbers = (ALGORITHMS[limit.algorithm], limit.window, limit.max, self._sessions)
        return [self._time(), *(repr(number).encode() for number in numbers)]

    def _decode(self, key: bytes, limit: Limit, reply: Sequence[bytes]) -> list[Usage]:
        kind = key[_COUNTER_AT : _COUNTER_AT + 1]
        usages = []
        for field, used, reset, who in zip(*(reply[at::4] for at in range(4)), strict=True):
            anonymous, descriptor = ast.literal_eval(who.decode())
            most = limit.burst if limit.algorithm is Algorithm.TOKEN_BUCKET else limit.max
            if kind == b"s":
                descriptor = tuple(part for part in descriptor if part[0] != "tool" and not part[0].startswith("args."))
            session = field[1:].decode("utf-8", "surrogatepass") if field[:1] == b"+" else ""
            shared = kind in b"so" or field == b"s"
            times = self._sessions if field == b"c" else 1
            usages.append(
                Usage(limit, descriptor, session, anonymous, shared, float(used), float(most * times), float(reset))
            )
        return usages

    def _time(self) -> bytes:
        return repr(self._now()).encode()


def _encode(limit: Limit) -> bytes:
    return json.dumps(structs.asdict(limit)).encode()


def _decode(text: bytes) -> Limit:
    values: dict[str, Any] = json.loads(text)
    values["key"] = tuple(values["key"])
    values["algorithm"] = Algorithm(values["algorithm"])
    values["on_store_error"] = OnStoreError(values["on_store_error"])
    return Limit(**values)
