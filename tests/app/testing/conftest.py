"""Directories of policies with their tests, played as the command plays them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from authz.app import wiring
from authz.app.callers import believing
from authz.app.settings.settings import Settings
from authz.app.testing.discovery import Found, find
from authz.app.testing.mutating import Mutated, mutate
from authz.app.testing.playing import Outcome, Stage, play
from authz.app.testing.sightings import Sightings
from authz.state.approvals import Judge


@dataclass
class Played:
    """What became of a directory's cases."""

    found: Found
    outcomes: list[Outcome]
    sightings: Sightings
    stage: Stage
    settings: Settings

    @property
    def failed(self) -> dict[str, tuple[str, ...]]:
        """By name, how each failed case failed."""
        return {one.case.name: one.failure.differences for one in self.outcomes if one.failure}

    def mutated(self) -> list[Mutated]:
        async def all_of_them() -> list[Mutated]:
            cases = [one.case for one in self.outcomes]
            context = wiring.policy_context(self.settings)
            return [one async for one in mutate(self.found, cases, self.sightings, self.stage, context)]

        return asyncio.run(all_of_them())


@pytest.fixture
def finding(policies: Callable[[Mapping[str, Any]], Path]) -> Callable[..., Found]:
    """Write files and read them, as the command does."""

    def look(files: Mapping[str, str], settings: Settings | None = None) -> Found:
        settings = settings or Settings()
        return find(policies(files), wiring.policy_context(settings), wiring.identities(settings))

    return look


@pytest.fixture
def playing(finding: Callable[..., Found]) -> Callable[..., Played]:
    """Write files and play their cases; `settings` are those of the service."""

    def play_all(files: Mapping[str, str], settings: Settings | None = None) -> Played:
        settings = settings or Settings()
        found = finding(files, settings)
        assert not found.problems, "\n".join(map(str, found.problems))
        stage = Stage(
            wiring.engine_settings(settings, verifiers=believing(settings.identity)),
            Judge(settings.approve_unidentified),
            settings.sessions,
        )
        sightings = Sightings(stage)

        async def outcomes() -> list[Outcome]:
            cases = [case for file in found.files for case in file.cases]
            return [await play(case, found.policies, stage, sightings) for case in cases]

        return Played(found, asyncio.run(outcomes()), sightings, stage, settings)

    return play_all
