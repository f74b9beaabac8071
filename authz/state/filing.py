"""What filing a request has charged -> the same taken back, so that a call counts once, when it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from authz.model import Charge
from authz.state.counter import Counter
from authz.state.filed import Filed
from authz.state.repeats import Identity, identify


@dataclass(frozen=True, slots=True)
class Charged:
    """One charge that filing a request has paid, and where it was counted."""

    identity: Identity
    counters: tuple[Counter, ...]
    cost: float


def charged_by(charges: Iterable[Charge], places: Mapping[Identity, tuple[Counter, ...]]) -> tuple[Charged, ...]:
    """What filing a request charges, for `take_back`."""
    return tuple(Charged(identify(charge), places[identify(charge)], charge.cost) for charge in charges)


def take_back(
    requests: Iterable[Filed], found: Mapping[Identity, tuple[Counter, ...]], now: float
) -> list[tuple[Counter, tuple[Any, ...]]]:
    """Let the counters of what filing `requests` has charged forget it; how they were, for `put_back`.

    `found` are the counters that the charges of the call itself have now. One that was not there at the filing took
    over what the counter it had shared until then had counted, and so the charge.
    """
    states: list[tuple[Counter, tuple[Any, ...]]] = []
    for filed in dict.fromkeys(requests):
        for charged in filed.charged:
            if charged.counters[0].due <= now:
                continue
            for counter in dict.fromkeys((*charged.counters, *found.get(charged.identity, ()))):
                counter.used(now)
                states.append((counter, counter.saved()))
                counter.take_back(filed.filed, charged.cost, now)
    return states


def put_back(states: Iterable[tuple[Counter, tuple[Any, ...]]]) -> None:
    """Undo `take_back`."""
    for counter, state in list(states)[::-1]:  # mypyc 2.4 fails at reversed() here
        counter.restore(state)
