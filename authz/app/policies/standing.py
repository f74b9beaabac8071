"""The policies in force -> how each file stands: accepted, kept at its last good version, or refused; since when.

Remembers the last load, so that a file that did not change keeps its time. Knows no HTTP.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from authz.errors import Problem
from authz.policy.rules import Compiled, Policy
from authz.policy.selection import PolicySet

_SHORT = 12  # hex digits of a digest, as in the revision of the whole


class State(enum.StrEnum):
    """How one file stands."""

    ACCEPTED = "accepted"
    LAST_GOOD = "last good version"  # what the file says now is refused, what it said before is in force
    REFUSED = "refused"  # nothing of it is in force


@dataclass(frozen=True, slots=True)
class Standing:
    """One file. `digest` is of its bytes as they are now, `in_force` of those that decide ("": none)."""

    kind: str
    server: str
    state: State
    digest: str
    in_force: str


class Standings:
    """How the files stand, and since when (epoch seconds)."""

    def __init__(self, policies: PolicySet, *, now: float) -> None:
        self._since: dict[str, tuple[Standing, float]] = {}
        self._problems: Mapping[str, list[Problem]] = {}
        self._warnings: Mapping[str, list[Problem]] = {}
        self.loaded(policies, now=now)

    def loaded(self, policies: PolicySet, *, now: float) -> None:
        """Policies were loaded, or kept, at `now`."""
        self._problems, self._warnings = _by_file(policies.problems), _by_file(policies.warnings)
        before, self._since = self._since, {}
        for file, standing in _standings(policies, self._problems).items():
            known = before.get(file)
            self._since[file] = known if known is not None and known[0] == standing else (standing, now)

    def describe(self) -> Mapping[str, Any]:
        """By file, fit for JSON; problems of the directory as a whole are under its own name."""
        described = {
            file: {
                "kind": one.kind,
                "server": one.server,
                "state": one.state.value,
                "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds"),
                "revision": one.in_force[:_SHORT],
                "found": one.digest[:_SHORT],
                **_told(self._problems.get(file, ()), self._warnings.get(file, ())),
            }
            for file, (one, since) in sorted(self._since.items())
        }
        others = sorted({*self._problems, *self._warnings} - described.keys())
        return {
            "files": described,
            "others": {file: _told(self._problems.get(file, ()), self._warnings.get(file, ())) for file in others},
        }


def _standings(policies: PolicySet, problems: Mapping[str, list[Problem]]) -> Mapping[str, Standing]:
    shadows = (one for several in policies.shadows.values() for one in several)
    deciding = {one.file: one for one in (*policies.policies.values(), *policies.baselines, *shadows)}
    found = {file: _standing(one, deciding.get(file)) for file, one in policies.files.items()}
    for file, one in policies.catalogs.items():
        last = one.version if one.catalog is not None else ""
        state = State.ACCEPTED if file not in problems else State.LAST_GOOD if last else State.REFUSED
        found[file] = Standing("catalog", one.server, state, one.digest, last)
    return found


def _standing(one: Compiled, deciding: Policy | None) -> Standing:
    kind = "baseline" if one.baseline else "policy"
    kind = f"shadow {kind}" if one.shadow else kind
    if deciding is None:
        return Standing(kind, one.server, State.REFUSED, one.digest, "")
    state = State.ACCEPTED if deciding is one.policy else State.LAST_GOOD
    return Standing(kind, one.server, state, one.digest, deciding.digest)


def _by_file(problems: tuple[Problem, ...]) -> Mapping[str, list[Problem]]:
    found: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        found[problem.file].append(problem)
    return dict(found)


def _told(problems: list[Problem] | tuple[()], warnings: list[Problem] | tuple[()]) -> Mapping[str, Any]:
    return {"problems": [str(one) for one in problems], "warnings": [str(one) for one in warnings]}
