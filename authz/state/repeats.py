"""Keys of requests -> what they have just paid, so that a check asked twice is charged once (policies/README.md 5)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from authz.model import Charge

# Which charge it is, whatever its cost and its limit's current `max`.
Identity: TypeAlias = tuple[tuple[str, ...], float, tuple[tuple[str, str], ...], str]


def identify(charge: Charge) -> Identity:
    """What makes two charges the same one."""
    return (charge.limit.key, charge.limit.window, charge.descriptor, charge.session)


Claims: TypeAlias = Sequence[tuple[bytes, str]]  # digests, and the ids of the requests whose grants were claimed


@dataclass(slots=True)
class Paid:
    """What a request has paid: costs by charge, and by digest the ids of the requests whose grants it has claimed."""

    costs: dict[Identity, float] = field(default_factory=dict)
    claims: dict[bytes, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, charges: Iterable[Charge], claims: Claims) -> Paid:
        """What `charges` and `claims` come to."""
        paid = cls()
        for charge in charges:
            identity = identify(charge)
            paid.costs[identity] = paid.costs.get(identity, 0.0) + charge.cost
        for digest, id_ in claims:
            paid.claims.setdefault(digest, []).append(id_)
        return paid

    def copy(self) -> Paid:
        """The same, for the caller to use up."""
        return Paid(dict(self.costs), {digest: list(ids) for digest, ids in self.claims.items()})

    def include(self, other: Paid) -> None:
        """Count what `other` counts beyond this."""
        for identity, cost in other.costs.items():
            self.costs[identity] = max(cost, self.costs.get(identity, 0.0))
        for digest, ids in other.claims.items():
            self.claims[digest] = max(ids, self.claims.get(digest, []), key=len)

    def cover(self, charge: Charge) -> float:
        """The part of its cost that is not paid yet; what is covers no other charge."""
        identity = identify(charge)
        known = self.costs.get(identity, 0.0)
        covered = min(charge.cost, known)
        self.costs[identity] = known - covered
        return charge.cost - covered


class Repeats:
    """At most `most` keys, each for `window` seconds from when it first paid.

    When there are more the oldest is forgotten: its request would be charged again, never let through for nothing.
    What was paid is kept as it was told and read only where a request comes again: one in many thousands does.
    """

    def __init__(self, window: float, most: int) -> None:
        self._window = window
        self._most = most
        # The oldest first.
        self._kept: OrderedDict[bytes, tuple[float, Paid | tuple[Sequence[Charge], Claims]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, key: bytes, now: float) -> Paid | None:
        """What `key` has paid, the caller's own to use up; None if nothing."""
        known = self._kept.get(key)
        if known is None or known[0] <= now:
            return None
        _, paid = known
        return paid.copy() if isinstance(paid, Paid) else Paid.of(*paid)

    def remember(self, key: bytes, charges: Sequence[Charge], claims: Claims, now: float) -> None:
        """`key` has paid `charges` and claimed `claims`, all of them, be it now or partly before."""
        before = self.recall(key, now)
        if before is not None:
            before.include(Paid.of(charges, claims))
            self._kept[key] = (self._kept[key][0], before)
            return
        if key in self._kept:
            del self._kept[key]
        elif len(self._kept) >= self._most:
            self._kept.popitem(last=False)
        # Tuples all the way down: the garbage collector lets go of those for good.
        self._kept[key] = (now + self._window, (tuple(charges), tuple(claims)))

    def reclaim(self, now: float) -> None:
        """Forget a few keys whose time is over; more than one attempt can add."""
        kept = self._kept
        for _ in range(2):
            if not kept:
                return
            key = next(iter(kept))
            if kept[key][0] > now:
                return
            del kept[key]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
