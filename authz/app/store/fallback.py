"""What limits say for when the shared store does not answer (`on_store_error`) -> a discharge without it."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from msgspec.structs import replace

from authz.errors import StoreError
from authz.model import Charge, Discharge, Limit, OnStoreError
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed


class Outcome(enum.StrEnum):
    """Who judged an attempt."""

    SHARED = "shared"  # the store that was asked
    LOCAL = "local"  # this replica's own counters
    DENIED = "denied"  # nobody: a limit says deny, or a grant is needed
    ALLOWED = "allowed"  # nobody: every limit says allow


class Fallback:
    """This replica's counters. `local` holds what this replica has paid in the shared store too, so it begins nowhere.

    It judges by its share, `max` // `replicas` and at least 1: what all replicas admit stays near `max` (above it where
    there are more replicas than `max`). None: nobody knows how many there are, and each admits up to `max`.
    """

    def __init__(self, local: MemoryStore) -> None:
        self._local = local
        self.replicas: int | None = None

    async def discharge(self, attempt: Attempt) -> tuple[Outcome, Discharge]:
        """Who judged it and how; raises StoreError where it must be denied."""
        limits: dict[tuple[str, ...], Limit] = {}
        parts = []
        for part in attempt.parts:
            if part.request is not None:
                raise StoreError("approvals are known to the shared store alone, which does not answer")
            charges = []
            for charge in part.charges:
                on_error = charge.limit.on_store_error
                if on_error is OnStoreError.DENY:
                    raise StoreError(
                        f"{charge.limit.name}: the shared store does not answer, and on_store_error is deny"
                    )
                if on_error is OnStoreError.LOCAL:
                    limits[charge.limit.key] = charge.limit
                    charges.append(self._share(charge))
            parts.append(Owed(tuple(charges)))
        if not limits:
            return Outcome.ALLOWED, Discharge(paid=True, standings=(None,) * len(parts), degraded=True)
        judged = await self._local.discharge(Attempt(parts, attempt.repeat_key, attempt.peek))
        return Outcome.LOCAL, _restored(judged, limits)

    def _share(self, charge: Charge) -> Charge:
        among = self.replicas or 1
        if among == 1:
            return charge
        limit = charge.limit
        share = replace(limit, max=max(1, limit.max // among), burst=max(min(1, limit.burst), limit.burst // among))
        return replace(charge, limit=share)


def _restored(judged: Discharge, limits: Mapping[tuple[str, ...], Limit]) -> Discharge:
    """`judged` with the limits as the policy has them; callers are told of those and not of shares."""
    return replace(
        judged,
        exhausted=tuple(limits[limit.key] for limit in judged.exhausted),
        quotas=tuple(replace(quota, limit=limits[quota.limit.key]) for quota in judged.quotas),
        degraded=True,
    )
