"""Mutants of the policies + the cases that could tell -> which mutants no case noticed. Prints nothing.

Each mutant is compiled from its document and stands in the place of the policy; only cases that were at its place are
played, until one gets something else than it wants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from authz.app.testing.cases import Case
from authz.app.testing.discovery import Found
from authz.app.testing.elements import WHOLE
from authz.app.testing.grafting import Grafting
from authz.app.testing.mutants import Mutant, mutants
from authz.app.testing.playing import Stage, play
from authz.app.testing.sightings import Sightings
from authz.policy.catalog.files import by_server
from authz.policy.compile.file import PolicyContext
from authz.policy.rules import Compiled
from authz.policy.selection import PolicySet
from authz.policy.text.document import Document, parse


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no case noticed; `reached` is how many cases were at its place."""

    document: Document
    mutant: Mutant
    reached: int


@dataclass(frozen=True, slots=True)
class Mutated:
    """What became of the mutants of one policy file: how many were killed, which survived, how many did not load.

    `cases` is how many cases it governs, baselines included.
    """

    file: str
    cases: int
    killed: int
    survivors: tuple[Survivor, ...]
    refused: int


async def mutate(
    found: Found, cases: Sequence[Case], sightings: Sightings, stage: Stage, context: PolicyContext
) -> AsyncIterator[Mutated]:
    """Every policy file that loads, one after the other; `sightings` are of `cases` with the policies as they are."""
    for file, compiled in sorted(found.policies.files.items()):
        if compiled.policy is None or file not in found.own:
            continue
        document = parse(found.directory.files[file], file)
        near: dict[str, list[Case]] = defaultdict(list)
        for case in cases:
            for of, spot in sightings.spots[case.id]:
                if of == file:
                    near[spot].append(case)
        yield await _Mutating(found.policies, compiled, document, near, stage, context).run()


class _Mutating:
    """The mutants of one file; `near` has the cases that were at each of its places."""

    def __init__(
        self,
        policies: PolicySet,
        compiled: Compiled,
        document: Document,
        near: Mapping[str, Sequence[Case]],
        stage: Stage,
        context: PolicyContext,
    ) -> None:
        self._policies = policies
        self._compiled = compiled
        self._document = document
        self._near = near
        self._stage = stage
        self._grafting = Grafting(document, compiled, context, by_server(policies.catalogs))

    async def run(self) -> Mutated:
        killed = refused = 0
        survivors = []
        for mutant in mutants(self._document.value, baseline=self._compiled.baseline):
            at = self._near.get(mutant.spot, ())
            policies = self._with(mutant)
            if policies is None:
                refused += 1
            elif await self._noticed(at, policies):
                killed += 1
            else:
                survivors.append(Survivor(self._document, mutant, len(at)))
        return Mutated(self._compiled.file, len(self._near.get(WHOLE, ())), killed, tuple(survivors), refused)

    def _with(self, mutant: Mutant) -> PolicySet | None:
        """The policies with the mutant in the place of its policy, None where it does not load."""
        file = self._compiled.file
        compiled = self._grafting.compile(mutant.value)
        policy = compiled.policy
        if policy is None:
            return None
        files: Mapping[str, Compiled] = {**self._policies.files, file: compiled}
        if compiled.shadow:
            return replace(self._policies, files=files)
        if compiled.baseline:
            baselines = tuple(policy if one.file == file else one for one in self._policies.baselines)
            return replace(self._policies, files=files, baselines=baselines)
        return replace(self._policies, files=files, policies={**self._policies.policies, policy.server: policy})

    async def _noticed(self, cases: Sequence[Case], policies: PolicySet) -> bool:
        for case in cases:
            if (await play(case, policies, self._stage)).failure is not None:
                return True
        return False
