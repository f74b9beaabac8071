"""A directory that changes -> the policies in force: watch, load beside the event loop, swap in one step.

What does not load never replaces what did. Changes are found by looking (a poll of names, inodes, sizes and times),
as inotify loses a ConfigMap's inode and hears nothing of network file systems. Knows no engine and no metrics library.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from authz.app.phrases import reason
from authz.app.policies.ahead import reading_ahead
from authz.app.policies.beside import beside
from authz.app.policies.directory import YOUNG, Directory, Known, Stamp, read_directory, stamp
from authz.app.policies.platform import combined
from authz.errors import PolicyError, Problem
from authz.policy.catalog.load import is_catalog
from authz.policy.compile.file import PolicyContext, is_baseline
from authz.policy.compile.policies import compile_policies
from authz.policy.selection import PolicySet
from authz.policy.text.source import Source, digest_of

log = logging.getLogger("mcp_authz.reload")

INTERVAL = 0.5  # seconds between looks: an edit, its settling and its load fit in the 2 s that are promised
SETTLE = 0.1  # a file that is being written changes again within this
MAX_SETTLE = 5  # looks; what changes for ever is loaded all the same
_YOUNG_NS = YOUNG  # for as long content is compared and not only how files look
_EMPTY = "expected policy files (*.yaml), got none"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one attempt to load gave.

    `policies` are those in force from now on, with the problems and warnings of this attempt; `kept` says why they
    decide as before, "" if they are what the directory says now. `took` is in seconds.
    """

    policies: PolicySet
    took: float
    kept: str = ""


class LoadObserver(Protocol):
    """Who wants to know of every load, such as the metrics; the log is told of it anyway."""

    def __call__(self, loaded: Loaded) -> None:
        """Told on the event loop, after the swap."""
        ...


class Loader:
    """Reads and compiles one directory; remembers what its files held, and how they looked.

    With `platform`, a directory of the platform's own, both are one (`platform.combined`).
    """

    def __init__(
        self,
        root: Path,
        context: PolicyContext,
        *,
        owners: frozenset[int] | None = None,
        platform: Path | None = None,
    ) -> None:
        self.root = root
        self._platform = platform
        self._known_platform = Known(_YOUNG_NS)
        self._context = context
        self._owners = owners
        self._stamp: Stamp = ()
        self._digest = b""
        self._known = Known(_YOUNG_NS)

    def first(self) -> Loaded:
        """The load at the start; raises PolicyError with every problem where the service must not start."""
        started = time.perf_counter()
        try:
            directory = self._read()
        except NotADirectoryError as error:
            place = Path(error.filename)
            text = f"expected a directory, such as {place.parent}, got a file"
            raise PolicyError([Problem(str(place), 0, 0, "", text)]) from error
        except OSError as error:
            raise PolicyError([self._unread(error)]) from error
        if directory.empty:
            raise PolicyError([self._problem(_EMPTY), *directory.warnings])
        policies = compile_directory(directory, self._context)
        if policies.fatal:
            raise PolicyError(policies.problems)
        return Loaded(policies, time.perf_counter() - started)

    def again(self, current: PolicySet) -> Loaded | None:
        """Load what is there now; None where the content is what was loaded last. Never raises for what it finds."""
        started = time.perf_counter()
        before = self._digest

        def keep(why: str, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> Loaded:
            kept = replace(current, problems=problems, warnings=warnings)
            return Loaded(kept, time.perf_counter() - started, why)

        try:
            directory = self._read()
        except OSError as error:
            # The next look differs from this, so that the directory is read as soon as it is there again.
            self._stamp, self._digest = (), b""
            return keep(f"cannot be read: {reason(error)}", (self._unread(error),))
        if self._digest == before:
            return None
        if directory.empty:
            return keep(_EMPTY, (self._problem(_EMPTY),), directory.warnings)
        policies = compile_directory(directory, self._context, current)
        if policies.fatal:
            return keep("what is there cannot be used", policies.problems, policies.warnings)
        return Loaded(policies, time.perf_counter() - started)

    def changed(self) -> bool:
        """Whether the directory may differ from what was loaded last; costs a stat for each file."""
        try:
            now = self._look()
        except OSError:
            return self._stamp != ()
        return now != self._stamp or (bool(now) and time.time_ns() - max(seen[4] for seen in now) < _YOUNG_NS)

    def looks(self) -> Stamp:
        """How the files look now; empty where they cannot be looked at."""
        try:
            return self._look()
        except OSError:
            return ()

    def _look(self) -> Stamp:
        return stamp(self.root) + (stamp(self._platform) if self._platform else ())

    def _unread(self, error: OSError) -> Problem:
        """The problem of a directory that cannot be read."""
        return Problem(str(error.filename or self.root), 0, 0, "", f"cannot be read: {reason(error)}")

    def _problem(self, text: str) -> Problem:
        return Problem(str(self.root), 0, 0, "", text)

    def _read(self) -> Directory:
        # A ConfigMap may be swapped while it is read: half of the old and half of the new is neither.
        for _ in range(3):
            before = self._look()
            directory = read_directory(self.root, owners=self._owners, known=self._known)
            if self._platform:
                own = read_directory(self._platform, owners=self._owners, known=self._known_platform)
                directory = combined(directory, own)
            if self._look() == before:
                break
        self._stamp, self._digest = before, _digest(directory)
        return directory


class Watcher:
    """Keeps the policies in force up to date with their directory until it is cancelled.

    `swap` and `observer` are called on the event loop; each load happens beside it, within `memory()`.
    """

    def __init__(
        self,
        loader: Loader,
        current: PolicySet,
        swap: Callable[[PolicySet], None],
        observer: LoadObserver,
        *,
        memory: Callable[[], AbstractContextManager[None]] = nullcontext,
        interval: float = INTERVAL,
        settle: float = SETTLE,
    ) -> None:
        self._loader = loader
        self._current = current
        self._swap = swap
        self._observer = observer
        self._memory = memory
        self._interval = interval
        self._settle = settle
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Load now (SIGHUP), without waiting for the next look."""
        self._asked.set()

    async def run(self) -> None:
        """Look for ever. A look that fails is logged, and the next one comes all the same."""
        while True:
            asked = await self._pause()
            try:
                if asked or await beside(self._loader.changed):
                    await self._load(settle=not asked)
            except Exception as error:
                log.exception("policies: looking for changes failed, the policies in force stay")
                self._observer(Loaded(self._with_failure(error), 0.0, "looking for changes failed"))

    def _with_failure(self, error: Exception) -> PolicySet:
        """The policies in force, with a problem that tells operators that they are not kept up to date."""
        problem = Problem("", 0, 0, "", f"looking for changes failed: {type(error).__name__}")
        self._current = replace(self._current, problems=(problem,))
        return self._current

    async def _pause(self) -> bool:
        try:
            await asyncio.wait_for(self._asked.wait(), self._interval)
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    async def _load(self, *, settle: bool) -> None:
        if settle:
            seen = await beside(self._loader.looks)
            for _ in range(MAX_SETTLE):
                await asyncio.sleep(self._settle)
                now = await beside(self._loader.looks)
                if now == seen:
                    break
                seen = now
        loaded = await beside(self._again)
        if loaded is None:
            if not settle:
                log.info("policies: revision %s stays, nothing has changed", self._current.revision)
            return
        replaced = _replaced(self._current, loaded.policies)
        # One assignment on the loop: a call sees all of the old policies or all of the new.
        self._swap(loaded.policies)
        self._current = loaded.policies
        self._observer(loaded)
        await beside(lambda: self._finish(loaded, replaced))

    def _again(self) -> Loaded | None:
        with self._memory():
            return self._loader.again(self._current)

    def _finish(self, loaded: Loaded, replaced: list[object]) -> None:
        """What can be many lines and much memory, beside the calls."""
        with self._memory():
            log_load(loaded)
            _drop(replaced)


def _replaced(before: PolicySet, now: PolicySet) -> list[object]:
    """What every file was compiled to and is no longer, held so that the swap frees none of it."""
    kept = {id(one.policy) for one in now.files.values()} | {id(one) for one in now.policies.values()}
    shadows = (one for several in before.shadows.values() for one in several)
    policies = (*before.policies.values(), *before.baselines, *shadows)
    found: list[object] = [one for one in policies if id(one) not in kept]
    found += [one for file, one in before.files.items() if now.files.get(file) is not one]
    return found + [one for file, one in before.catalogs.items() if now.catalogs.get(file) is not one]


def _drop(replaced: list[object]) -> None:
    """Free one after the other: a set of 1000 that goes at once holds every call for 60 ms (measured).

    Between two of them calls have their turn.
    """
    while replaced:
        replaced.pop()


def compile_directory(directory: Directory, context: PolicyContext, previous: PolicySet | None = None) -> PolicySet:
    """The policies of a directory; files that may not be used are broken files with a problem of their own."""
    # What is refused is compiled as an empty file: it counts as one that is there and broken, and its server is known.
    files = {**directory.files, **dict.fromkeys(directory.refused, b"")}
    before = previous.files if previous is not None else {}
    changed = {
        name: text
        for name, text in directory.files.items()
        if isinstance(text, Source)
        and not is_catalog(name)
        and (name not in before or before[name].digest != text.digest)
    }
    with reading_ahead(changed):
        policies = compile_policies(files, context, previous)
    problems = [problem for problem in policies.problems if problem.file not in directory.refused]
    return replace(
        policies,
        problems=tuple(sorted([*problems, *directory.refused.values(), *directory.not_taken])),
        warnings=tuple(sorted([*policies.warnings, *directory.warnings])),
        # A start would be without what somebody wrote for all servers; later it is a team's mistake, and nobody else's.
        fatal=policies.fatal or (previous is None and any(is_baseline(one.file) for one in directory.not_taken)),
    )


def log_load(loaded: Loaded) -> None:
    """Say in the log what was loaded; problems read exactly as `validate` prints them."""
    for problem in loaded.policies.problems:
        log.error("%s", problem)
    for warning in loaded.policies.warnings:
        log.warning("%s", warning)
    if loaded.kept:
        log.error("policies: kept revision %s: %s", loaded.policies.revision, loaded.kept)
    else:
        degraded = ", degraded" if loaded.policies.degraded else ""
        log.info("policies: revision %s in force%s (%.0f ms)", loaded.policies.revision, degraded, loaded.took * 1000)


def _digest(directory: Directory) -> bytes:
    """Changes with any name, content, refusal or warning."""
    digest = hashlib.sha256()
    for name, content in sorted(directory.files.items()):
        digest.update(f"{len(name)} {name} {digest_of(content)}".encode())
    for problem in (*directory.refused.values(), *directory.warnings, *directory.not_taken):
        digest.update(b"\0" + str(problem).encode())
    return digest.digest()
