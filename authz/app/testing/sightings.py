"""The calls of cases -> which elements of which policy file each case got at, and how. Counts and prints nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from msgspec import structs

from authz.app.testing.cases import Case
from authz.app.testing.elements import WHOLE, Way
from authz.app.testing.playing import Stage
from authz.audit import Record
from authz.engine import Engine
from authz.model import Charge, Effect, HttpRequest, Step
from authz.policy.limits import LimitRule
from authz.policy.rules import Policy
from authz.policy.selection import SERVER_EXTENSION, PolicySet
from authz.state.memory import MemoryStore

Spot: TypeAlias = tuple[str, str]  # a policy file, and a place in it as traces name it

_CONSTRAINTS = (".arguments", ".strict_arguments")
_REQUIRE = ".require["


class Sightings:
    """A Watcher that remembers; `stage` is what the cases are played with.

    `ways` has, by spot, how any case got there; `spots` by case id where it was, blocks that were chosen included.
    """

    def __init__(self, stage: Stage) -> None:
        self.ways: dict[Spot, set[Way]] = defaultdict(set)
        self.spots: dict[str, set[Spot]] = defaultdict(set)
        self._stage = stage
        self._limits: tuple[PolicySet | None, Mapping[tuple[str, ...], Spot]] = (None, {})

    async def see(
        self, case: Case, policies: PolicySet, request: HttpRequest, records: Sequence[Record], now: float
    ) -> None:
        """Note what one call got at."""
        policy = policies.select(request).policy
        if not isinstance(policy, Policy):
            return
        spots = self.spots[case.id]
        # The trace does not say whose a step is, so each file is asked by itself.
        for one in (policy, *policies.baselines):
            spots.add((one.file, WHOLE))
            alone = replace(one, server=policy.server, identity=policy.identity, catalog=policy.catalog)
            for step in await self._steps(alone, request, now):
                spots.add((one.file, step.place))
                way = _way(step)
                if way is not None:
                    self.ways[one.file, step.place].add(way)
        for spot, way in self._charged(policies, records):
            spots.add(spot)
            self.ways[spot].add(way)

    async def _steps(self, policy: Policy, request: HttpRequest, now: float) -> Sequence[Step]:
        engine = Engine(
            PolicySet({policy.server: policy}), MemoryStore(lambda: now), (), self._stage.settings, clock=lambda: now
        )
        named = structs.replace(request, context={SERVER_EXTENSION: policy.server})
        return (await engine.explain(named)).steps

    def _charged(self, policies: PolicySet, records: Sequence[Record]) -> Iterator[tuple[Spot, Way]]:
        if self._limits[0] is not policies:
            self._limits = (policies, _limit_spots(policies))
        for record in records:
            for owed in record.obligations:
                if not isinstance(owed, Charge):
                    continue
                spot = self._limits[1][owed.limit.key]
                if record.decision.effect is Effect.ALLOW:
                    yield spot, Way.CHARGED
                if owed.limit.name in record.decision.limits:
                    yield spot, Way.EXHAUSTED


def _way(step: Step) -> Way | None:
    constraint = step.place.endswith(_CONSTRAINTS) or (_REQUIRE in step.place and step.place.endswith("]"))
    if step.result == "held":
        return Way.PASSED if constraint else Way.DECIDED
    if step.result == "no" and (constraint or step.place == "origins"):
        return Way.FAILED
    return None


def _limit_spots(policies: PolicySet) -> Mapping[tuple[str, ...], Spot]:
    """Where each limit stands, by the key of its counters."""
    return {
        limit.limit.key: (policy.file, limit.name)
        for policy in (*policies.policies.values(), *policies.baselines)
        for limit in _limits(policy)
    }


def _limits(policy: Policy) -> Iterator[LimitRule]:
    sections = ((*one.exact.values(), *one.globs.values()) for one in policy.sections.values())
    for block in chain(policy.categories.values(), *sections):
        for rule in block.rules:
            yield from rule.limits
    for shared in policy.limits:
        yield shared.rule
