"""A counter as the store has it -> what people and programs are shown of it. Knows no HTTP.

Tool names and argument values are an agent's words: nothing in them stays invisible or moves a cursor. Session ids are
shown as digests, for whoever knows one is in that session.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from authz.app.approvals.visible import visible
from authz.state.store import Usage

_DIGEST = "sha256:"
_SHOWN = 12  # of a digest's characters
_LONGEST = 80  # characters of a value; those of policies/README.md 6 are shorter


def describe(usage: Usage) -> Mapping[str, Any]:
    """One counter, fit for JSON. `who` is for people, "everybody" where a limit counts all callers together.

    `server` and `limit` are as policies have them, for they say what to reset. What is no finite number is None.
    """
    limit = usage.limit
    return {
        "server": limit.server,
        "limit": limit.name,
        "algorithm": limit.algorithm.value,
        "window": limit.window,
        "who": _who(usage),
        "anonymous": usage.anonymous,
        "shared": usage.shared,
        "used": _finite(usage.used),
        "max": _finite(usage.max),
        "resets_in": _finite(usage.resets_in),
    }


def _who(usage: Usage) -> str:
    parts = [f"{visible(part)} {_value(part, value)}".rstrip() for part, value in usage.descriptor]
    if usage.session:
        parts.append(f"session {_session(usage.session)}")
    if usage.shared:
        parts.append("those without a counter of their own")
    return ", ".join(parts) or "everybody"


def _value(part: str, value: str) -> str:
    if value.startswith(_DIGEST):
        return _short(value.removeprefix(_DIGEST))
    if part == "principal" and value.count("\n") == 2:
        source, issuer, name = value.split("\n")
        return f"{_shown(source)}/{_shown(name)}{_issued(issuer)}"
    if part == "client" and value.count("\n") == 1:
        issuer, name = value.split("\n")
        return f"{_shown(name)}{_issued(issuer)}"
    return _shown(value)


def _issued(issuer: str) -> str:
    """Two people of one id are told apart by who says so."""
    return f" of {_shown(issuer)}" if issuer else ""


def _shown(text: str) -> str:
    return visible(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _session(session: str) -> str:
    """The same label for one session, whether the store keeps its id or its digest."""
    if session.startswith(_DIGEST):
        return _short(session.removeprefix(_DIGEST))
    return _short(hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest())


def _short(digest: str) -> str:
    return visible(f"{_DIGEST}{digest[:_SHOWN]}") + "…"


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
