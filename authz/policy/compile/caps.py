"""What a platform does not let its teams say: found in the file of a team's folder, and refused there.

A baseline says what no call may do; this says what no file may ask for.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator
from typing import Any

from authz.policy.text.document import Path


class Cap(enum.StrEnum):
    """One thing that is not for teams, as the setting spells it."""

    SHADOW = "shadow"  # a file that is watched and does not decide
    STORE_ERROR_ALLOW = "on_store_error_allow"  # a limit that is off while the store is away
    DEFAULT_ALLOW = "default_allow"
    MATCH = "match"  # which requests a policy is for, where the proxy does not say
    IDENTITY = "identity"  # by which of several sources callers are known


_SCHEMAS = ("arguments", "$defs")  # in which a team names members as it likes


def exceeded(caps: Collection[Cap], document: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Where `document` says what one of `caps` forbids, and why that is refused."""
    said = {
        Cap.SHADOW: document.get("shadow") is True,
        Cap.DEFAULT_ALLOW: document.get("default") == "allow",
        Cap.MATCH: "match" in document,
        Cap.IDENTITY: "identity" in document,
    }
    for cap, is_said in said.items():
        if is_said and cap in caps:
            yield (cap.partition("_")[0],), refusal(cap)
    if Cap.STORE_ERROR_ALLOW in caps:
        for path in _allowing((), document):
            yield path, refusal(Cap.STORE_ERROR_ALLOW)


def refusal(cap: Cap) -> str:
    """What the team is told."""
    return f"the platform does not let teams say this (--forbid {cap})"


def _allowing(path: Path, value: Any) -> Iterator[Path]:
    if isinstance(value, dict):
        if value.get("on_store_error") == "allow":
            yield (*path, "on_store_error")
        for key, member in value.items():
            if key not in _SCHEMAS or len(path) == 1:  # a tool may have that name
                yield from _allowing((*path, key), member)
    elif isinstance(value, list):
        for at, entry in enumerate(value):
            yield from _allowing((*path, at), entry)
