"""By what a request's policy is chosen: the words of `--select-by` and of a policy's `match` (policies/README.md 1)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Way(enum.StrEnum):
    """What tells of which server a request is, in the order in which it is looked at.

    All but the host are the proxy's word: a context extension of its route (which always counts), the route itself,
    and whom the connection was made to, as its certificate says. The host is what the client writes.
    """

    EXTENSION = "extension"
    ROUTE = "route"
    DESTINATION = "destination"
    HOST = "host"


# What `match` may say beside a host. Each of these is compared exactly.
EXACT = (Way.ROUTE, Way.DESTINATION)


@dataclass(frozen=True, slots=True)
class Match:
    """An entry of `match`: the `value` that `way` must give.

    A host is in lower case, and `path` ("": any) belongs to it, on segment boundaries.
    """

    way: Way
    value: str
    path: str = ""

    def __str__(self) -> str:
        """The entry for a person."""
        return f"{self.way} {self.value!r}" + (f" with path {self.path!r}" if self.way is Way.HOST else "")


def compile_matches(entries: Iterable[Mapping[str, Any]]) -> tuple[Match, ...]:
    """The entries of `match` as the schema lets them be: of each the one way that it names."""
    return tuple(_compile_match(entry) for entry in entries)


def _compile_match(entry: Mapping[str, Any]) -> Match:
    for way in EXACT:
        if way in entry:
            return Match(way, entry[way])
    return Match(Way.HOST, entry["host"].lower(), entry.get("path", "").rstrip("/"))


def unused(matches: Sequence[Match], ways: Sequence[Way]) -> list[tuple[int, Way]]:
    """Which entries name a way by which nothing is chosen."""
    return [(at, match.way) for at, match in enumerate(matches) if match.way not in ways]
