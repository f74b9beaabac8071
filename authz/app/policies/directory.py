"""A directory of policy files -> their bytes by name, and which files may not be used and why (policies/README.md 10).

Knows what a ConfigMap looks like (top-level links into `..data`) and who may write what; not what a policy says.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from authz.app.phrases import reason
from authz.errors import Problem
from authz.policy.catalog.load import FOLDER, is_catalog
from authz.policy.text.source import Source

MAX_FILE = 1 << 20  # bytes; a whole ConfigMap is limited to 1 MiB by its API
MAX_FILES = 10_000  # a thousand servers of ten teams; more is somebody's mistake, and each poll looks at all

YOUNG = 2_000_000_000  # ns; two writes within one tick of the file system's clock leave a file looking the same

Stamp = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """What one look at the directory found.

    `files` holds content by name relative to the directory (`TEAM/server.yaml`), catalogues among them. `refused` are
    files that are there but may not be used, with the problem; `warnings` tell of what a person may have meant to be a
    policy. `not_taken` tells of files that another of the same name stands for.
    """

    files: Mapping[str, bytes]
    refused: Mapping[str, Problem]
    warnings: tuple[Problem, ...] = ()
    not_taken: tuple[Problem, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is no policy file, good or bad."""
        return all(is_catalog(name) for name in (*self.files, *self.refused))


def owners_for_service() -> frozenset[int]:
    """Who may own a policy that this process enforces: the user it runs as, and root, who may do all anyway."""
    return frozenset((0, os.geteuid()))


def read_directory(root: Path, *, owners: frozenset[int] | None = None, known: Known | None = None) -> Directory:
    """Read every policy file below `root`; raises OSError where the directory itself cannot be read.

    `owners` are the user ids that files and directories may belong to; None does not look at it (a checkout belongs
    to whoever made it). Files that are `known` and look as they did are not read again.
    """
    known = Known() if known is None else known
    files: dict[str, bytes] = {}
    refused: dict[str, Problem] = {}
    parents: dict[str, str] = {}
    for name in _names(root):
        if len(files) + len(refused) >= MAX_FILES:
            text = f"expected at most {MAX_FILES} policy files, got more: this one and those after it are not read"
            refused[name] = Problem(name, 0, 0, "", text)
            break
        path = os.path.join(root, name)
        if not name.isprintable():  # also what is not UTF-8: no log and no metric could show it
            shown = ascii(name)[1:-1]
            refused[shown] = Problem(shown, 0, 0, "", "expected a printable file name")
            continue
        try:
            files[name] = known.find(path, owners, parents) or known.keep(path, _read(path, owners, parents))
        except OSError as error:
            refused[name] = Problem(name, 0, 0, "", f"cannot be read: {_said(error)}")
        except _RefusedError as error:
            refused[name] = Problem(name, 0, 0, "", str(error))
    known.forget_all_but(os.path.join(root, name) for name in files)
    return Directory(files, refused, tuple(_misnamed(root)))


def stamp(root: Path) -> Stamp:
    """What tells whether any file has changed: name, inode, size, mtime and ctime of each, through links.

    No content is read: about 5 ms for a thousand files. Raises OSError where the directory itself cannot be read.
    """
    seen = []
    for name in _names(root):
        try:
            status = os.stat(os.path.join(root, name))
        except OSError as error:  # it is there and cannot be looked at, which is a state like others
            seen.append((name, -1, error.errno or 0, 0, 0))
        else:
            seen.append((name, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(seen)


def is_policy_name(name: str) -> bool:
    """Whether a file of this name is a policy: `*.yaml`, but for policy tests and hidden names."""
    return name.endswith(".yaml") and not name.endswith("_test.yaml") and not name.startswith(".")


def _names(root: Path) -> list[str]:
    """Every name of a policy or catalogue, sorted; one that ends in `/` is a directory that cannot be listed."""
    names: list[str] = []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith("."):  # among them `..data` and the dated directories of a ConfigMap
                continue
            if is_policy_name(entry.name):
                names.append(entry.name)
            elif not entry.name.endswith(".yaml") and entry.is_dir():
                names.extend(_names_in(entry.path, entry.name))
    return sorted(names)


def _names_in(path: str, folder: str) -> list[str]:
    """The names in the catalogue folder or in a team's, with that of its catalogue folder."""
    try:
        found = os.listdir(path)
    except OSError:
        # What lies in it is unknown, which is not the same as nothing: reading it will say why.
        return [f"{folder}/"]
    names = [f"{folder}/{name}" for name in found if is_policy_name(name)]
    inner = os.path.join(path, FOLDER)
    if FOLDER in found and folder != FOLDER and os.path.isdir(inner):
        names += _names_in(inner, f"{folder}/{FOLDER}")
    return names


class _RefusedError(Exception):
    """A file that is there and readable, but may not be used."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was read. `home` is the directory that the last link led to."""

    content: Source
    looks: tuple[int, ...]
    home: str
    lasting: bool = False  # how it looks tells whether it has changed


class Known:
    """The files of a directory that were read before: 16 kB of memory for one of 50 tools spare reading 1000 of them.

    A file whose last change is younger than `young` nanoseconds is read again: a write within the same tick of the
    file system's clock would leave it looking as it did. So is one that only its mount protects.
    """

    def __init__(self, young: int = YOUNG) -> None:
        self._young = young
        self._files: dict[str, _File] = {}

    def find(self, path: str, owners: frozenset[int] | None, parents: dict[str, str]) -> Source | None:
        """What `path` has held since it was read, None if that is to be found out; raises _RefusedError."""
        file = self._files.get(path)
        if file is None or not file.lasting:
            return None
        try:
            same = _looks(os.stat(path)) == file.looks
            if same:
                _judge_parents({os.path.dirname(path), file.home}, owners, parents)
        except OSError:
            return None  # reading it says why, or finds where it has gone
        return file.content if same else None

    def keep(self, path: str, read: _File) -> Source:
        """The content of what was just read; the same object as before where it is equal."""
        last = self._files.get(path)
        if last is not None and last.content == read.content:
            read = replace(read, content=last.content)
        settled = time.time_ns() - read.looks[-1] >= self._young
        self._files[path] = replace(read, lasting=read.lasting and settled)
        return read.content

    def forget_all_but(self, paths: Iterable[str]) -> None:
        """Drop files that are gone."""
        for path in self._files.keys() - set(paths):
            del self._files[path]


def _looks(status: os.stat_result) -> tuple[int, ...]:
    """What differs once a file has changed, or another has taken its place."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _read(path: str, owners: frozenset[int] | None, parents: dict[str, str]) -> _File:
    # Without O_NONBLOCK a named pipe would hold the reader for ever. Every check looks at what was opened, not a name.
    if path.endswith("/"):
        os.listdir(path)
        raise _RefusedError("could not be listed a moment ago")
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _RefusedError("expected a regular file")
        guarded = not status.st_mode & stat.S_IWOTH and _owned(status, owners)
        if not guarded:
            _refuse_writable("", status, owners, os.fstatvfs(file.fileno()).f_flag)
        # The directory of the name lets others add or replace; so does the one that a link leads to.
        home = os.path.dirname(os.path.realpath(path))
        _judge_parents({os.path.dirname(path), home}, owners, parents)
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise _RefusedError(f"expected at most {MAX_FILE} bytes, got more")
    return _File(Source(content), _looks(status), home, guarded)


def _judge_parents(paths: Iterable[str], owners: frozenset[int] | None, parents: dict[str, str]) -> None:
    """Refuse what lies in a directory that others may write; `parents` are those that were looked at, and why not."""
    for path in paths:
        if path not in parents:
            parents[path] = _judge_directory(path, owners)
        if parents[path]:
            raise _RefusedError(parents[path])


def _judge_directory(path: str, owners: frozenset[int] | None) -> str:
    try:
        _refuse_writable(f"its directory {os.path.basename(path)}/ ", os.stat(path), owners, os.statvfs(path).f_flag)
    except _RefusedError as error:
        return str(error)
    return ""


def _refuse_writable(what: str, status: os.stat_result, owners: frozenset[int] | None, mount: int) -> None:
    # A ConfigMap is mounted with mode 0777 but read-only; nobody can write through such a mount.
    if mount & os.ST_RDONLY:
        return
    if status.st_mode & stat.S_IWOTH:
        mode = stat.S_IMODE(status.st_mode)
        raise _RefusedError(
            f"{what}may be written by anybody (mode {mode:04o}), expected no write permission for others"
        )
    if not _owned(status, owners):
        expected = " or ".join(str(owner) for owner in sorted(owners or ()))
        raise _RefusedError(
            f"{what}belongs to user {status.st_uid}, expected user {expected}, or a directory that is mounted read-only"
        )


def _owned(status: os.stat_result, owners: frozenset[int] | None) -> bool:
    return owners is None or status.st_uid in owners


def _misnamed(root: Path) -> Iterator[Problem]:
    for path in sorted(root.glob("*.yml")) + sorted(root.glob("*/*.yml")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(".") and "/." not in name and not name.startswith("catalog/"):
            yield Problem(name, 0, 0, "", "is not read: the name of a policy file ends in .yaml")


def _said(error: OSError) -> str:
    return "the link leads nowhere" if error.errno == errno.ENOENT else reason(error)
