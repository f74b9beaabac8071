"""The rules of one block -> those that may be for a principal, by index and not by scan.

Which of them holds is not decided here: whatever this leaves out would be "not for this caller".
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

from authz.model import Principal
from authz.policy.principals import Principals

FEW = 8  # rules that are looked at one by one: that costs less than to look them up


class ForSome(Protocol):
    """A rule as far as it is looked at here."""

    @property
    def principals(self) -> Principals | None: ...


class Candidates:
    """Places of rules in their block, ascending, by what in their `principals` could make them hold."""

    def __init__(self, rules: Sequence[ForSome]) -> None:
        self._any: list[int] = []  # also those that name peers: there are few
        self._by_entry: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._by_field: dict[str, list[int]] = defaultdict(list)  # where a token lacks it nobody can say
        for place, rule in enumerate(rules):
            principals = rule.principals
            if principals is None or principals.anyone_verified or principals.peers or principals.peer_prefixes:
                self._any.append(place)
                continue
            for field, value in dict.fromkeys((entry.field, entry.value) for entry in principals.entries):
                self._by_entry[field, value].append(place)
                self._by_field[field].append(place)

    def of(self, principal: Principal) -> Iterator[int]:
        """The places to look at for a verified `principal`, ascending, each once."""
        held = [("", principal.id), ("client_id", principal.client_id)]
        held += [("groups", group) for group in principal.groups]
        held += [("scopes", scope) for scope in principal.scopes]
        found = [places for entry in held if (places := self._by_entry.get(entry))]
        found += [places for field in principal.absent if (places := self._by_field.get(field))]
        last = -1
        for place in heapq.merge(self._any, *found):
            if place != last:
                yield place
            last = place
