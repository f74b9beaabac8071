"""The approvers file -> who an approver's token belongs to. Read again when it has changed; knows no request.

Tokens are 256 random bits, so that a plain SHA-256 of one cannot be reversed by trying: slow hashes are for what people
choose. Whoever reads the file can log in as nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from authz.app.phrases import reason
from authz.errors import PolicyError, Problem, SettingsError
from authz.model import Approver
from authz.policy.text.document import Document, parse
from authz.policy.text.suggestion import did_you_mean

_log = logging.getLogger("mcp_authz.approvals")

KEYS = ("name", "groups", "claim", "token_sha256")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Named:
    """One entry: an approver and the SHA-256 of their token, in lower-case hex. `claim` "" where there is none."""

    name: str
    token: str
    groups: frozenset[str] = frozenset()
    claim: str = ""


class Roster:
    """The approvers of a file. `claim_is_id`: where an entry has no claim, its name is what is compared.

    Raises SettingsError if the file cannot be used now. One that breaks later leaves what was read before in force.
    """

    def __init__(self, path: Path, *, claim_is_id: bool = False) -> None:
        self._path = path
        self._claim_is_id = claim_is_id
        self._mark = _mark(path)
        self._named = {one.name: one for one in read(path)}

    def by_token(self, token: str) -> Named | None:
        """Whose token this is. Takes the same time for whichever it is."""
        self._refresh()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        found = None
        for one in self._named.values():
            if hmac.compare_digest(one.token, digest):
                found = one
        return found

    def by_name(self, name: str) -> Named | None:
        """The approver of this name."""
        self._refresh()
        return self._named.get(name)

    def approver(self, named: Named) -> Approver:
        """An entry as the judge of requests knows people."""
        return Approver(named.name, named.groups, named.claim or (named.name if self._claim_is_id else ""))

    def _refresh(self) -> None:
        mark = _mark(self._path)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._named = {one.name: one for one in read(self._path)}
        except SettingsError as error:
            _log.error("%s; the approvers read before stay in force", error)
        else:
            _log.info("approvers: %s: %d approvers", self._path, len(self._named))


def read(path: Path) -> tuple[Named, ...]:
    """The entries of an approvers file; raises SettingsError with every problem in it."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"approvers: {path}: cannot be read: {reason(error)}") from error
    if all(not line.strip() or line.lstrip().startswith(b"#") for line in text.splitlines()):
        return ()  # nobody yet, or nobody any more
    try:
        document = parse(text, str(path))
    except PolicyError as error:
        raise SettingsError(f"approvers: {error}") from error
    problems = list(document.problems)
    if not problems:
        entries = _entries(document, problems)
    if problems:
        raise SettingsError("\n".join(f"approvers: {problem}" for problem in problems))
    return entries


def _entries(document: Document, problems: list[Problem]) -> tuple[Named, ...]:
    if not isinstance(document.value, list):
        problems.append(document.problem((), "expected a list of approvers"))
        return ()
    entries: dict[str, Named] = {}
    for at, raw in enumerate(document.value):
        wrong = _wrong(raw)
        if wrong:
            key, message = wrong
            problems.append(document.problem((at, key) if key else (at,), message))
        elif raw["name"] in entries:
            problems.append(document.problem((at, "name"), f"the name {raw['name']!r} is used twice"))
        else:
            groups, claim = frozenset(raw.get("groups", ())), raw.get("claim", "")
            entries[raw["name"]] = Named(raw["name"], raw["token_sha256"], groups, claim)
    return tuple(entries.values())


def _wrong(raw: object) -> tuple[str, str] | None:
    """The key that cannot be used in an entry ("": none of its own), and why."""
    if not isinstance(raw, dict):
        return "", f"expected an approver such as {{name: dana, token_sha256: …}}, got {raw!r}"
    for key in raw:
        if key not in KEYS:
            return key, f"expected one of {', '.join(KEYS)}{did_you_mean(key, KEYS)}"
    for key in ("name", "token_sha256"):
        if key not in raw:
            return "", f"expected the key {key}"
    name, digest, groups, claim = raw["name"], raw["token_sha256"], raw.get("groups", []), raw.get("claim", "-")
    if not is_name(name):
        return "name", f"expected a name of printable characters without space at its ends and ':', got {name!r}"
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return "token_sha256", "expected 64 lower-case hex digits, as `mcp-authz approvers add` writes them"
    if not isinstance(groups, list) or not all(is_name(group) for group in groups):
        return "groups", f"expected a list of group names, got {groups!r}"
    if not isinstance(claim, str) or not claim:
        return "claim", f"expected text, got {claim!r}"
    return None


def is_name(name: object) -> bool:
    """Whether this can be the name of an approver or a group."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= 200
        and name.isprintable()
        and name == name.strip()
        and (":" not in name)
    )


def _mark(path: Path) -> tuple[int, ...]:
    """What changes when the file does; () where there is none. A ConfigMap swaps a link: the file is another then."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
