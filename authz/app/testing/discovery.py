"""A directory of policies -> the policies, and the test files beside them. What either says is read elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from authz.app.phrases import reason
from authz.app.policies.directory import MAX_FILE, Directory, read_directory
from authz.app.policies.platform import combined
from authz.app.policies.reload import compile_directory
from authz.app.testing.reading import CaseFile, read_cases
from authz.errors import PolicyError, Problem
from authz.identity import Identities
from authz.policy.compile.file import PolicyContext
from authz.policy.selection import PolicySet

SUFFIX = "_test.yaml"

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What one look at the directory gave: policies with their text, and test files.

    `own` are the files that are under test: all but those of the platform's own folder.
    """

    directory: Directory
    policies: PolicySet
    files: tuple[CaseFile, ...]
    own: frozenset[str]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that keeps tests from being played."""
        return (*self.policies.problems, *(problem for file in self.files for problem in file.problems))


def find(
    root: Path,
    context: PolicyContext,
    identities: Identities,
    previous: PolicySet | None = None,
    *,
    platform: Path | None = None,
) -> Found:
    """Everything in `root`, with what `platform` has beside it (`policies.platform`).

    Raises PolicyError where it cannot be read. What `previous` has is not compiled again.
    """
    try:
        directory = read_directory(root)
        own = frozenset(directory.files)
        if platform is not None:
            directory = combined(directory, read_directory(platform))
        texts = {name: (root / name).read_bytes()[: MAX_FILE + 1] for name in names_of_tests(root)}
    except OSError as error:
        place = str(error.filename or root)
        raise PolicyError([Problem(place, 0, 0, "", f"cannot be read: {reason(error)}")]) from error
    policies = compile_directory(directory, context, previous)
    files = tuple(_read(name, text, policies, identities) for name, text in texts.items())
    return Found(directory, policies, files, own)


def names_of_tests(root: Path) -> list[str]:
    """The names of all test files, relative to `root`, sorted; in the places of policies (policies/README.md 10)."""
    return sorted(_names(root))


def stamp(root: Path) -> Stamp:
    """What tells whether a test file has changed; empty where the directory cannot be looked at."""
    seen = []
    try:
        for name in names_of_tests(root):
            status = (root / name).stat()
            seen.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError:
        return ()
    return tuple(seen)


def _names(root: Path) -> Iterator[str]:
    for path in (*root.glob(f"*{SUFFIX}"), *root.glob(f"*/*{SUFFIX}")):
        name = path.relative_to(root).as_posix()
        if not name.startswith((".", "catalog/")) and "/." not in name and path.is_file():
            yield name


def _read(name: str, text: bytes, policies: PolicySet, identities: Identities) -> CaseFile:
    policy = f"{name.removesuffix(SUFFIX)}.yaml"
    compiled = policies.files.get(policy)
    if compiled is None or compiled.baseline:
        # A baseline governs no server alone: the file has to say beside which it is tested.
        return read_cases(text, name, policy if compiled is not None else "", None, identities)
    return read_cases(text, name, policy, compiled.server, identities)
