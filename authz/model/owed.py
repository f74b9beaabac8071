"""What is owed for a call before it may pass, and what came of paying: limits, approvals and how they stand."""

from __future__ import annotations

import enum
from typing import TypeAlias

from msgspec import Struct

from authz.model.approvals import Approval, Standing


class Algorithm(enum.StrEnum):
    """How a limit counts (policies/README.md 6)."""

    SLIDING_WINDOW = "sliding_window"
    FIXED_WINDOW = "fixed_window"
    TOKEN_BUCKET = "token_bucket"  # noqa: S105 - the name of an algorithm


class OnStoreError(enum.StrEnum):
    """What a limit does while the store of its counters does not answer."""

    LOCAL = "local"
    DENY = "deny"
    ALLOW = "allow"


class Limit(Struct, frozen=True, gc=False):
    """One rate limit of a policy. `key` identifies its counters over reloads (policies/README.md 6).

    `window` is in seconds. `burst` is how many calls a full token bucket holds, for `TOKEN_BUCKET` only; it fills at
    `max` per `window`.
    """

    name: str
    key: tuple[str, ...]
    max: int
    window: float
    server: str
    algorithm: Algorithm = Algorithm.SLIDING_WINDOW
    burst: int = 0
    on_store_error: OnStoreError = OnStoreError.LOCAL


class Charge(Struct, frozen=True, gc=False):
    """An obligation: count `cost` on one counter of a limit.

    `descriptor` names the counter within the limit, a tuple of (part, value) pairs, never a joined string.
    `session` is the agent's session id where the limit counts per session: then `descriptor` names the principal's
    part only and the store keeps at most as many session counters for it as its setting `sessions` says.
    `anonymous` charges live in a table of their own.
    """

    limit: Limit
    descriptor: tuple[tuple[str, str], ...]
    cost: float = 1.0
    session: str = ""
    anonymous: bool = False


Obligation: TypeAlias = Charge | Approval


class Quota(Struct, frozen=True, gc=False):
    """What is left of a limit after a decision. `reset` is in seconds: when a whole window is free again."""

    limit: Limit
    remaining: int
    reset: float


class Discharge(Struct, frozen=True, gc=False):
    """The outcome of paying obligations: all were paid (`paid`), or nothing was.

    `exhausted` are the limits that refused, with `retry_after` in seconds until the call could pass. `standings` has
    one entry a part of the attempt, None for a part that owes no approval and for one whose request could not even be
    filed because a limit is exhausted. `quotas` are the limits as they stand now. `degraded` says that it was decided
    without the store that was asked.
    """

    paid: bool
    exhausted: tuple[Limit, ...] = ()
    retry_after: float = 0.0
    quotas: tuple[Quota, ...] = ()
    standings: tuple[Standing | None, ...] = ()
    degraded: bool = False
