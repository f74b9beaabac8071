"""A directory of policy files -> their bytes by name, and which files may not be used and why (policies/README.md 10).

Knows what a ConfigMap looks like (top-level links into `..data`) and who may write what; not what a policy says.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from authz.app.phrases import reason
from authz.errors import Problem

MAX_FILE = 1 << 20  # bytes; a whole ConfigMap is limited to 1 MiB by its API
MAX_FILES = 10_000  # a thousand servers of ten teams; more is somebody's mistake, and each poll looks at all

Stamp = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """What one look at the directory found.

    `files` holds content by name relative to the directory (`TEAM/server.yaml`). `refused` are files that are there
    but may not be used, with the problem; `warnings` tell of what a person may have meant to be a policy.
    """

    files: Mapping[str, bytes]
    refused: Mapping[str, Problem]
    warnings: tuple[Problem, ...] = ()


def owners_for_service() -> frozenset[int]:
    """Who may own a policy that this process enforces: the user it runs as, and root, who may do all anyway."""
    return frozenset((0, os.geteuid()))


def read_directory(root: Path, *, owners: frozenset[int] | None = None) -> Directory:
    """Read every policy file below `root`; raises OSError where the directory itself cannot be read.

    `owners` are the user ids that files and directories may belong to; None does not look at it (a checkout belongs
    to whoever made it).
    """
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
            files[name] = _read(path, owners, parents)
        except OSError as error:
            refused[name] = Problem(name, 0, 0, "", f"cannot be read: {_said(error)}")
        except _RefusedError as error:
            refused[name] = Problem(name, 0, 0, "", str(error))
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
    """Every policy file's name, sorted; a name that ends in `/` is a directory that cannot be listed."""
    names = []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith("."):  # among them `..data` and the dated directories of a ConfigMap
                continue
            if is_policy_name(entry.name):
                names.append(entry.name)
            elif entry.name != "catalog" and not entry.name.endswith(".yaml") and entry.is_dir():
                names.extend(_names_of_team(entry.path, entry.name))
    return sorted(names)


def _names_of_team(path: str, team: str) -> list[str]:
    try:
        return [f"{team}/{name}" for name in os.listdir(path) if is_policy_name(name)]
    except OSError:
        # What lies in it is unknown, which is not the same as nothing: reading it will say why.
        return [f"{team}/"]


class _RefusedError(Exception):
    """A file that is there and readable, but may not be used."""


def _read(path: str, owners: frozenset[int] | None, parents: dict[str, str]) -> bytes:
    # Without O_NONBLOCK a named pipe would hold the reader for ever. Every check looks at what was opened, not a name.
    if path.endswith("/"):
        os.listdir(path)
        raise _RefusedError("could not be listed a moment ago")
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _RefusedError("expected a regular file")
        if status.st_mode & stat.S_IWOTH or not _owned(status, owners):
            _refuse_writable("", status, owners, os.fstatvfs(file.fileno()).f_flag)
        # The directory of the name lets others add or replace; so does the one that a link leads to.
        for parent in {os.path.dirname(path), os.path.dirname(os.path.realpath(path))}:
            if parent not in parents:
                parents[parent] = _judge_directory(parent, owners)
            if parents[parent]:
                raise _RefusedError(parents[parent])
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise _RefusedError(f"expected at most {MAX_FILE} bytes, got more")
    return content


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
