"""What the shared store needs of a connection to Valkey or Redis: scripts and a walk over keys, nothing else.

Knows no client library: whoever connects (authz/app/store) implements `Server`, and so do tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script. `sha` is the hexadecimal SHA-1 of its text, by which a server that has it loaded knows it."""

    name: str
    text: str
    sha: str = field(init=False, default="")

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)


class Server(Protocol):
    """A connection, a pool of them or a cluster. Every method raises StoreError when there is no answer in time.

    A StoreError does not say whether the script has run. Replies are as RESP has them: bytes for strings, int, lists,
    None. Errors of the server itself (WRONGTYPE, OOM, READONLY, an error in the script) are StoreErrors too.
    """

    @property
    def cluster(self) -> bool:
        """Whether all keys of one `run` must be of one slot."""
        ...

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes]) -> Any:
        """What `script` replies: EVALSHA in one round trip, and EVAL where the server does not know it yet.

        In a cluster it runs at the primary that has the slot of `keys[0]`; there is always a key.
        """
        ...

    async def run_many(self, script: Script, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> Sequence[Any]:
        """The replies of many `run`s, (keys, args) each, in as few round trips as may be. Off the path of a call."""
        ...

    def scan(self, match: bytes) -> AsyncIterator[Sequence[bytes]]:
        """The keys that match the glob pattern, on all primaries, one page a round trip (a page may be empty).

        As SCAN promises: keys that are there throughout are among them, some perhaps twice. Off the path of a call.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...
