"""An entry of an approval's `by` -> what is wrong with it, if it can never be a person who says yes.

Entries are `group:NAME` or an id, exact and case-sensitive, as the approvals listener knows people; no identity source
of the callers is asked (policies/README.md 5).
"""

from __future__ import annotations

from collections.abc import Sequence

GROUP = "group:"
_FORM = "expected group:NAME or the id of a person"
_SLIPS = {"groups": GROUP, "role": GROUP, "roles": GROUP, "team": GROUP, "user": "", "users": "", "id": ""}
_NOT_PEOPLE = {"client": "an OAuth client is", "scope": "a scope is", "spiffe": "the peer of a connection is"}


def approver_problem(text: str) -> str:
    """Why `text` cannot be an approver, "" if it can."""
    kind, colon, rest = text.partition(":")
    name = text.removeprefix(GROUP)
    if text == "*":
        return f"{_FORM}, got '*'; to let anyone approve whom the service lets, leave it out"
    if colon and kind.lower() in _NOT_PEOPLE:
        return f"{_NOT_PEOPLE[kind.lower()]} no person: {_FORM}, got {text!r}"
    if colon and (kind in _SLIPS or kind.lower() == "group" != kind):
        meant = f"{_SLIPS.get(kind, GROUP)}{rest}"
        return f"unknown kind of approver in {text!r}, did you mean {meant!r}?"
    if "*" in text:
        return f"expected an exact name without *, got {text!r}"
    if not name or name != name.strip() or not text.isprintable():
        return f"{_FORM}, got {text!r}"
    return ""


def foreign_source(text: str, sources: Sequence[str]) -> str:
    """The entry that was probably meant where `text` names an identity source as `principals` do, else ""."""
    name = text.removeprefix(GROUP)
    source, slash, rest = name.partition("/")
    if len(sources) < 2 or not slash or source not in sources or not rest:
        return ""
    return text.removesuffix(name) + rest
