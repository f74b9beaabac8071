"""A case and policies -> what it got, by the service's own engine with the embedded store. Reads and prints nothing.

Every case has a store and a clock of its own, so that neither order nor time of day bears on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from authz.app.testing.cases import Case, Saying, Step
from authz.app.testing.comparing import differences
from authz.approval import OWN_ID
from authz.audit import Record
from authz.engine import Engine, EngineSettings
from authz.model import Approver, HttpRequest, Reply, Ruling
from authz.model import Step as Tried
from authz.policy.selection import PolicySet
from authz.policy.text.document import Path
from authz.state.approvals import Judge
from authz.state.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Failure:
    """Where and how a case got something else than it wanted.

    `differences` are sentences, `tried` every rule that was tried for the call; `call` counts the calls of the step
    from 1, 0 where it made none.
    """

    path: Path
    call: int
    differences: tuple[str, ...]
    tried: tuple[Tried, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: `failure` is None where it got what it wanted. `calls` is how many it made."""

    case: Case
    failure: Failure | None
    calls: int


@dataclass(frozen=True, slots=True)
class Stage:
    """What cases are played with: settings that bear on decisions and approvals; `sessions` as of MemoryStore."""

    settings: EngineSettings = field(default_factory=EngineSettings)
    judge: Judge = field(default_factory=Judge)
    sessions: int = 10


@dataclass(slots=True)
class Seen:
    """A sink that keeps the records of the call at hand."""

    records: list[Record] = field(default_factory=list)

    def write(self, record: Record) -> bool:
        """Take it."""
        self.records.append(record)
        return True


class Watcher(Protocol):
    """Who wants to know of the calls that cases make: the first and the last of each step."""

    async def see(
        self, case: Case, policies: PolicySet, request: HttpRequest, records: Sequence[Record], now: float
    ) -> None:
        """Told of `request`, which was decided by `policies` at `now`, and of what was recorded."""
        ...


async def play(case: Case, policies: PolicySet, stage: Stage, watcher: Watcher | None = None) -> Outcome:
    """Play `case` against `policies` until it gets something else than it wants."""
    return await _Play(case, in_force(case, policies), stage, watcher).play()


def in_force(case: Case, policies: PolicySet) -> PolicySet:
    """The policies as `case` wants them: a shadow file's own cases are played as if it enforced."""
    compiled = policies.files.get(case.policy)
    policy = compiled.policy if compiled is not None else None
    if policy is None or not policy.shadow:
        return replace(policies, shadows={}) if policies.shadows else policies
    if policy.baseline:
        return replace(policies, shadows={}, baselines=(*policies.baselines, policy))
    return replace(policies, shadows={}, policies={**policies.policies, policy.server: policy})


class _Play:
    """One case while it is played."""

    def __init__(self, case: Case, policies: PolicySet, stage: Stage, watcher: Watcher | None) -> None:
        self._case = case
        self._policies = policies
        self._stage = stage
        self._watcher = watcher
        self._now = case.time
        self._seen = Seen()
        self._asked = ""  # the request for approval that was made or joined last
        self._calls = 0
        ids = itertools.count(1)
        self._store = MemoryStore(
            self._clock, wall=self._clock, new_id=lambda: f"request-{next(ids)}", sessions=stage.sessions
        )
        self._engine = Engine(
            policies,
            self._store,
            (self._seen,),
            stage.settings,
            clock=self._clock,
            timer=_no_time,
            new_id=lambda: "tested",
        )

    def _clock(self) -> float:
        return self._now

    async def play(self) -> Outcome:
        for step in self._case.steps:
            failure = await self._step(step)
            if failure is not None:
                return Outcome(self._case, failure, self._calls)
        return Outcome(self._case, None, self._calls)

    async def _step(self, step: Step) -> Failure | None:
        self._now += step.advance
        if step.time is not None:
            if step.time < self._now:
                return Failure(step.path, 0, ("time: expected no earlier time than that of the step before",))
            self._now = step.time
        if step.saying is not None:
            said = await self._say(step.saying)
            if said:
                return Failure(step.path, 0, (said,))
        if step.request is None or step.wanted is None:
            return None
        for call in range(1, step.repeat + 1):
            self._seen.records.clear()
            reply = await self._engine.check(step.request)
            self._calls += 1
            found = differences(step.wanted, reply, self._seen.records)
            if self._watcher is not None and call in (1, step.repeat):
                await self._watcher.see(self._case, self._policies, step.request, tuple(self._seen.records), self._now)
            self._remember(reply)
            if found:
                explained = await self._engine.explain(step.request)
                return Failure(step.path, call, tuple(found), explained.steps)
        return None

    def _remember(self, reply: Reply) -> None:
        for record in self._seen.records:
            if record.decision.approval is not None and not reply.allowed:
                self._asked = record.decision.approval.id

    async def _say(self, saying: Saying) -> str:
        """Let a person decide; what is wrong with what came of it, "" if nothing is."""
        word = "approve" if saying.granted else "deny"
        if not self._asked:
            return f"{word}: no call has asked for an approval yet"
        person = saying.person
        claim = self._stage.settings.approval_claim
        own = person.id if claim == OWN_ID else person.claims.get(claim, "")
        approver = Approver(person.id, frozenset(person.groups), own if isinstance(own, str) else "")
        record = await self._store.record(self._asked)
        ruling = self._stage.judge.judge(
            approver, record, saying.granted, comment=saying.comment, at=self._now, origin=""
        )
        if isinstance(ruling, Ruling):
            await self._store.submit(self._asked, ruling)
            return "" if saying.refused is None else f"{word}: expected refused {saying.refused}, got it taken"
        if ruling is saying.refused:
            return ""
        wanted = "it taken" if saying.refused is None else f"refused {saying.refused}"
        return f"{word}: expected {wanted}, got refused {ruling}"


def _no_time() -> float:
    return 0.0
