"""The contract every store keeps: obligations are discharged in one atomic step, or nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from authz.model import Discharge, Obligation


@dataclass(frozen=True, slots=True)
class Attempt:
    """All that one HTTP request owes.

    `parts` has the obligations of each message (a batch has several); they are paid together or not at all.
    `repeat_key` identifies the HTTP request, b"" where it cannot be identified: the same key within 10 s was already
    paid and is not charged again (the proxy retries a check whose answer it did not get, policies/README.md 5).
    `peek` asks what would happen and pays nothing.
    """

    parts: Sequence[Sequence[Obligation]]
    repeat_key: bytes = b""
    peek: bool = False


class Store(Protocol):
    """What outlives one call: counters, grants and requests already paid."""

    async def discharge(self, attempt: Attempt) -> Discharge:
        """Pay all of `attempt` or nothing; raises StoreError when the store cannot tell."""
        ...

    async def close(self) -> None:
        """Let go of what the store holds; a closed store raises StoreError."""
        ...
