"""A new or leaving approver -> the changed approvers file. What people wrote around the entries stays.

The token is made here, given out once and never written down.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from authz.app.approvals.roster import is_name, read
from authz.app.phrases import reason
from authz.errors import SettingsError

TOKEN_BYTES = 32  # 256 bits
PREFIX = "mcpa_"  # lets scanners for leaked secrets know it

_HEAD = (
    "# Who may approve: written by `mcp-authz approvers`. The tokens themselves are nowhere; see README, Approvals.\n"
)


def add(path: Path, name: str, groups: Sequence[str], claim: str) -> str:
    """Append an approver and give the token; raises SettingsError where the file or the entry cannot be used."""
    for one in (name, *groups):
        if not is_name(one):
            raise SettingsError(f"approvers: expected printable characters without ':' in a name, got {one!r}")
    known = read(path) if path.exists() else ()
    if any(one.name == name for one in known):
        raise SettingsError(f"approvers: {path}: expected a new name, got {name!r}: remove it first for a new token")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    entry: dict[str, object] = {"name": name}
    if groups:
        entry["groups"] = list(groups)
    if claim:
        entry["claim"] = claim
    entry["token_sha256"] = hashlib.sha256(token.encode()).hexdigest()
    before = path.read_text() if path.exists() else _HEAD
    if known and not _is_block(before):
        raise SettingsError(f"approvers: {path}: expected one approver per '- ', got [ … ]: add it by hand")
    if before and not before.endswith("\n"):
        before += "\n"
    _write(path, before + yaml.safe_dump([entry], sort_keys=False, allow_unicode=True))
    return token


def remove(path: Path, name: str) -> None:
    """Cut an approver out, whose sessions end with that; raises SettingsError where there is none."""
    if all(one.name != name for one in read(path)):
        raise SettingsError(f"approvers: {path}: there is no {name!r}")
    text = path.read_text()
    if not _is_block(text):
        raise SettingsError(f"approvers: {path}: expected one approver per '- ', got [ … ]: remove it by hand")
    root = yaml.compose(text, yaml.SafeLoader)
    entries = root.value if root is not None else []
    names = [{key.value: value.value for key, value in entry.value}["name"] for entry in entries]
    starts = [entry.start_mark.line for entry in entries]
    at = names.index(name)
    lines = text.splitlines(keepends=True)
    end = starts[at + 1] if at + 1 < len(starts) else entries[at].end_mark.line
    _write(path, "".join(lines[: starts[at]] + lines[end:]))


def _is_block(text: str) -> bool:
    root = yaml.compose(text, yaml.SafeLoader)
    return isinstance(root, yaml.SequenceNode) and not root.flow_style


def _write(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner only, or as it was."""
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.replace(fresh, path)
    except OSError as error:
        raise SettingsError(f"approvers: {path}: cannot be written: {reason(error)}") from error
