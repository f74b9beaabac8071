"""`mcp-authz test DIR`: policy tests, played by the service's own engine -> what failed, in the manner of pytest."""

from __future__ import annotations

import asyncio
import enum
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from authz.app import wiring
from authz.app.callers import believing
from authz.app.phrases import counted, reason
from authz.app.settings.settings import Settings
from authz.app.testing import choosing, coverage, reporting
from authz.app.testing.cases import Case
from authz.app.testing.discovery import Found, find
from authz.app.testing.junit import junit
from authz.app.testing.mutating import mutate
from authz.app.testing.page import page
from authz.app.testing.playing import Outcome, Stage, play
from authz.app.testing.sightings import Sightings
from authz.app.testing.watching import changes
from authz.errors import AuthzError, PolicyError
from authz.policy.selection import PolicySet
from authz.state.approvals import Judge


class Exit(enum.IntEnum):
    """What the exit code says; as pytest has it, but for what cannot be read."""

    PASSED = 0
    FAILED = 1  # a case failed, a mutant survived, or a floor was not reached
    BROKEN = 2  # a policy or test file cannot be used: nothing was played
    NONE = 5  # there were no cases to play


class Unwritable(AuthzError):  # noqa: N818 - named for what it is about
    """A report that cannot be written; the text names the option."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked on the command line. The floors are percentages, None where nothing fails by them."""

    directory: Path
    expression: str = ""
    verbose: bool = False
    junit: Path | None = None
    coverage: bool = False
    html: Path | None = None
    mutate: bool = False
    min_coverage: float | None = None
    min_score: float = 100.0


def run(wanted: Wanted, settings: Settings) -> int:
    """Play the cases once; the exit code. Raises AuthzError for what the command line got wrong."""
    return _Run(wanted, settings).once()


def watch(wanted: Wanted, settings: Settings) -> None:
    """Play the cases now and whenever a policy or a test file changes, until Ctrl-C."""
    runner = _Run(wanted, settings)
    try:
        for _ in changes(wanted.directory):
            runner.console.rule(time.strftime("%H:%M:%S"))
            runner.once()
    except KeyboardInterrupt:
        runner.console.print()


class _Run:
    """Plays what is asked for; of the policies of the last time only what has changed is compiled again."""

    def __init__(self, wanted: Wanted, settings: Settings) -> None:
        self.console = reporting.new_console()
        self._wanted = wanted
        self._chosen = choosing.parse(wanted.expression) if wanted.expression.strip() else None
        self._identities = wiring.identities(settings)
        self._context = wiring.policy_context(settings)
        self._platform = settings.baseline
        self._stage = Stage(
            wiring.engine_settings(settings, verifiers=believing(settings.identity)),
            Judge(settings.approve_unidentified),
            settings.sessions,
        )
        self._previous: PolicySet | None = None

    def once(self) -> int:
        started = time.perf_counter()
        try:
            found = find(
                self._wanted.directory, self._context, self._identities, self._previous, platform=self._platform
            )
        except PolicyError as error:
            return self._broken(str(error).splitlines())
        self._previous = found.policies
        if found.problems:
            return self._broken([str(problem) for problem in found.problems])
        cases = [case for file in found.files for case in file.cases]
        chosen = [case for case in cases if self._chosen is None or self._chosen(case.id)]
        if not chosen:
            said = f"{len(cases)} deselected" if cases else "expected test files (*_test.yaml) beside the policies"
            print(f"{self._wanted.directory}: no cases to play: {said}", file=sys.stderr)
            return Exit.NONE
        return asyncio.run(self._played(found, chosen, len(cases) - len(chosen), started))

    def _broken(self, problems: Sequence[str]) -> int:
        for problem in problems:
            print(problem)
        print(f"{counted(len(problems), 'problem')}, nothing was played", file=sys.stderr)
        return Exit.BROKEN

    async def _played(self, found: Found, cases: Sequence[Case], deselected: int, started: float) -> int:
        wanted, say = self._wanted, self.console.print
        sightings = Sightings(self._stage) if wanted.coverage or wanted.html or wanted.mutate else None
        outcomes = [await play(case, found.policies, self._stage, sightings) for case in cases]
        took = time.perf_counter() - started
        for line in reporting.progress(outcomes, width=self.console.width, verbose=wanted.verbose):
            say(line)
        for line in reporting.failures(outcomes):
            say(line)
        say()
        for line in reporting.short_summary(outcomes):
            say(line)
        say(reporting.total(outcomes, deselected=deselected, took=took))
        if wanted.junit is not None:
            _write("--junit", wanted.junit, junit(outcomes, took))
        failed = any(outcome.failure for outcome in outcomes)
        if sightings is not None and not self._covered(found, sightings):
            failed = True
        if sightings is not None and wanted.mutate and not await self._mutated(found, outcomes, sightings):
            failed = True
        return Exit.FAILED if failed else Exit.PASSED

    def _covered(self, found: Found, sightings: Sightings) -> bool:
        """Whether coverage is above its floor; shows it where it is asked for."""
        wanted = self._wanted
        if not (wanted.coverage or wanted.html):
            return True
        files = coverage.cover(found, sightings)
        if wanted.coverage:
            for line in coverage.lines(files):
                self.console.print(line)
        if wanted.html is not None:
            _write("--coverage-html", wanted.html, page(found, files))
        percent = coverage.percent(files)
        if wanted.min_coverage is not None and percent < wanted.min_coverage:
            self.console.print(f"coverage: expected at least {wanted.min_coverage:g} %, got {percent:.1f} %")
            return False
        return True

    async def _mutated(self, found: Found, outcomes: Sequence[Outcome], sightings: Sightings) -> bool:
        """Whether enough mutants were noticed; shows those that were not."""
        if any(outcome.failure for outcome in outcomes):
            self.console.print("no mutants: expected cases that pass on the policies as they are")
            return False
        started = time.perf_counter()
        cases = [outcome.case for outcome in outcomes]
        results = [one async for one in mutate(found, cases, sightings, self._stage, self._context)]
        for line in reporting.mutated(results, took=time.perf_counter() - started):
            self.console.print(line)
        return reporting.score(results) >= self._wanted.min_score


def _write(option: str, path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Unwritable(f"{option}: {path}: {reason(error)}") from error
