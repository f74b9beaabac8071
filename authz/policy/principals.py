"""The `principals` of a rule: entries of the policy -> does this principal hold, not hold, or can nobody say.

Entries are exact and case-sensitive (policies/README.md 9). Undecidable is not "no": a rule that forbids must not be
dodged by leaving a token or a claim out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authz.model import Principal
from authz.policy.conditions.condition import Match

_PEER = "spiffe://"
_KINDS = {"group": "groups", "client": "client_id", "scope": "scopes"}
_SLIPS = {"groups": "group", "role": "group", "roles": "group", "clients": "client", "scopes": "scope", "user": ""}


@dataclass(frozen=True, slots=True)
class Entry:
    """`kind` is what is compared ("" the id), `source` the identity source it must come from ("" any)."""

    kind: str
    source: str
    value: str

    @property
    def field(self) -> str:
        """What of a principal is compared: the name of its field, "" for the id."""
        return _KINDS.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Principals:
    """The compiled list of one rule."""

    anyone_verified: bool
    entries: tuple[Entry, ...]
    peers: frozenset[str]
    peer_prefixes: tuple[str, ...]

    def scopes(self, source: str) -> tuple[str, ...]:
        """The scopes among the entries that a token of `source` could hold them by."""
        return tuple(one.value for one in self.entries if one.kind == "scope" and one.source in ("", source))

    def match(self, principal: Principal) -> Match:
        """YES if any entry holds; FAILED if none does and one cannot be decided; else NO."""
        if principal.verified and self.anyone_verified:
            return Match.YES
        undecided = not principal.verified and (self.anyone_verified or bool(self.entries))
        if self.peers or self.peer_prefixes:
            if principal.peer in self.peers or principal.peer.startswith(self.peer_prefixes):
                return Match.YES
            undecided = undecided or not principal.peer
        if principal.verified:
            for entry in self.entries:
                match = _match_entry(entry, principal)
                if match is Match.YES:
                    return match
                undecided = undecided or match is Match.FAILED
        return Match.FAILED if undecided else Match.NO


def _match_entry(entry: Entry, principal: Principal) -> Match:
    if entry.source and entry.source != principal.source:
        return Match.NO
    if not entry.kind:
        return Match.YES if principal.id == entry.value else Match.NO
    field = entry.field
    if field in principal.absent:
        return Match.FAILED
    if field == "client_id":
        return Match.YES if principal.client_id == entry.value else Match.NO
    held = principal.groups if field == "groups" else principal.scopes
    return Match.YES if entry.value in held else Match.NO


def compile_principals(entries: Sequence[str], sources: Sequence[str]) -> tuple[Principals, list[tuple[int, str]]]:
    """Entries as written -> the compiled list, and what is wrong with which of them (index, sentence).

    `sources` are the names of the configured identity sources; with several, every entry but `*` and `spiffe://…`
    must say which one it means.
    """
    anyone = False
    compiled: list[Entry] = []
    peers: set[str] = set()
    prefixes: list[str] = []
    problems: list[tuple[int, str]] = []
    for at, text in enumerate(entries):
        if text == "*":
            anyone = True
        elif text.startswith(_PEER):
            problem = _peer_problem(text)
            if problem:
                problems.append((at, problem))
            elif text.endswith("/*"):
                prefixes.append(text[:-1])
            else:
                peers.add(text)
        else:
            entry, problem = _compile_entry(text, sources)
            if problem:
                problems.append((at, problem))
            compiled.append(entry)
    return Principals(anyone, tuple(compiled), frozenset(peers), tuple(prefixes)), problems


def _peer_problem(text: str) -> str:
    body = text.removesuffix("/*")
    if "*" in body or body == _PEER or body.endswith("/") or body == text.removesuffix("*") != text:
        return f"expected an exact spiffe:// id, or one that ends with /* after a whole segment, got {text!r}"
    return ""


def _compile_entry(text: str, sources: Sequence[str]) -> tuple[Entry, str]:
    kind, colon, value = text.partition(":")
    if not colon or kind not in _KINDS:
        problem = ""
        if colon and kind in _SLIPS:
            meant = f"{_SLIPS[kind]}:{value}" if _SLIPS[kind] else value
            problem = f"unknown kind of principal in {text!r}, did you mean {meant!r}?"
        kind, value = "", text
        if problem:
            return Entry(kind, "", value), problem
    source = ""
    if len(sources) > 1:
        source, slash, rest = value.partition("/")
        if not slash or source not in sources:
            names = ", ".join(sources)
            return Entry(
                kind, "", value
            ), f"expected NAME/… with NAME one of the identity sources {names}, got {text!r}"
        value = rest
    if not value or "*" in value:
        return Entry(kind, source, value), f"expected an exact name without *, got {text!r}"
    return Entry(kind, source, value), ""
