"""Keys of requests -> what they have just paid, so that a check asked twice is charged once (policies/README.md 5)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeAlias

from authz.model import Charge

# Which charge it is, whatever its cost and its limit's current `max`.
Identity: TypeAlias = tuple[tuple[str, ...], float, tuple[tuple[str, str], ...], str]


def identify(charge: Charge) -> Identity:
    """What makes two charges the same one."""
    return (charge.limit.key, charge.limit.window, charge.descriptor, charge.session)


class Repeats:
    """At most `most` keys, each for `window` seconds from when it first paid.

    When there are more the oldest is forgotten: its request would be charged again, never let through for nothing.
    """

    def __init__(self, window: float, most: int) -> None:
        self._window = window
        self._most = most
        self._paid: OrderedDict[bytes, tuple[float, dict[Identity, float]]] = OrderedDict()  # the oldest first

    def __len__(self) -> int:
        return len(self._paid)

    def recall(self, key: bytes, now: float) -> dict[Identity, float]:
        """What `key` has paid, by charge; a dictionary of the caller's own."""
        due, paid = self._paid.get(key, (now, {}))
        return dict(paid) if due > now else {}

    def remember(self, key: bytes, charges: Iterable[Charge], now: float) -> None:
        """`key` has paid `charges`, all of them, be it now or partly before."""
        costs: dict[Identity, float] = {}
        for charge in charges:
            identity = identify(charge)
            costs[identity] = costs.get(identity, 0.0) + charge.cost
        known = self._paid.get(key)
        if known is not None and known[0] > now:
            for identity, cost in costs.items():
                known[1][identity] = max(cost, known[1].get(identity, 0.0))
            return
        self._paid[key] = (now + self._window, costs)
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
