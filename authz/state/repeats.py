"""Keys of requests -> what they have just paid, so that a check asked twice is charged once (policies/README.md 5)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from authz.model import Charge

# Which charge it is, whatever its cost and its limit's current `max`.
Identity: TypeAlias = tuple[tuple[str, ...], float, tuple[tuple[str, str], ...], str]


def identify(charge: Charge) -> Identity:
    """What makes two charges the same one."""
    return (charge.limit.key, charge.limit.window, charge.descriptor, charge.session)


@dataclass(slots=True)
class Paid:
    """What a request has paid: costs by charge, and by digest the ids of the requests whose grants it has claimed."""

    costs: dict[Identity, float] = field(default_factory=dict)
    claims: dict[bytes, list[str]] = field(default_factory=dict)

    def copy(self) -> Paid:
        """The same, for the caller to use up."""
        return Paid(dict(self.costs), {digest: list(ids) for digest, ids in self.claims.items()})

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
    """

    def __init__(self, window: float, most: int) -> None:
        self._window = window
        self._most = most
        self._paid: OrderedDict[bytes, tuple[float, Paid]] = OrderedDict()  # the oldest first

    def __len__(self) -> int:
        return len(self._paid)

    def recall(self, key: bytes, now: float) -> Paid | None:
        """What `key` has paid, the caller's own to use up; None if nothing."""
        known = self._paid.get(key)
        return known[1].copy() if known is not None and known[0] > now else None

    def remember(self, key: bytes, charges: Iterable[Charge], claims: Iterable[tuple[bytes, str]], now: float) -> None:
        """`key` has paid `charges` and claimed `claims` (digest and id), all of them, be it now or partly before."""
        paid = Paid()
        for charge in charges:
            identity = identify(charge)
            paid.costs[identity] = paid.costs.get(identity, 0.0) + charge.cost
        for digest, id_ in claims:
            paid.claims.setdefault(digest, []).append(id_)
        known = self._paid.get(key)
        if known is not None and known[0] > now:
            _, before = known
            for identity, cost in paid.costs.items():
                before.costs[identity] = max(cost, before.costs.get(identity, 0.0))
            for digest, ids in paid.claims.items():
                before.claims[digest] = max(ids, before.claims.get(digest, []), key=len)
            return
        self._paid[key] = (now + self._window, paid)
        self._paid.move_to_end(key)
        if len(self._paid) > self._most:
            self._paid.popitem(last=False)

    def reclaim(self, now: float) -> None:
        """Forget a few keys whose time is over; more than one attempt can add."""
        for _ in range(2):
            key = next(iter(self._paid), None)
            if key is None or self._paid[key][0] > now:
                return
            del self._paid[key]

    def clear(self) -> None:
        """Forget everything."""
        self._paid.clear()
