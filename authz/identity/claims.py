"""Verified claims, or what nobody said, -> principal. Knows neither how claims were verified nor any header."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

from authz.identity.source import DEFAULT_SOURCE, IdentitySource
from authz.model import ANONYMOUS, NOTHING, JsonObject, Principal

_NONE: frozenset[str] = frozenset()
_SAID = ("groups", "client_id", "scopes")
# By which of these are missing; made once, for it is asked at each call.
_ABSENT = {
    missing: frozenset(name for name, gone in zip(_SAID, missing, strict=True) if gone)
    for missing in itertools.product((False, True), repeat=len(_SAID))
}

NOBODY_SAID = frozenset(_SAID)  # all of it


def unverified(peer: str) -> Principal:
    """Nobody, but for the connection's own identity."""
    return Principal(peer=peer) if peer else ANONYMOUS


def principal_of(source: IdentitySource, token: JsonObject, peer: str) -> Principal:
    """Who `token`, whose claims are verified, says that it is; nobody where it does not say so as `source` wants."""
    id_ = _text(token.get(source.id))
    issuer = _text(token.get("iss")) or ""
    if not id_ or (source.issuer and issuer != source.issuer):
        return unverified(peer)

    groups = _texts(token.get(source.groups)) if source.groups else None
    client_id = _client_id(token, source.client_id)
    scopes = _scopes(token, source.scopes)
    return Principal(
        id=id_,
        issuer=issuer,
        source=source.name,
        client_id=client_id or "",
        groups=frozenset(groups) if groups else _NONE,
        scopes=frozenset(scopes) if scopes else _NONE,
        claims=_claims(token, source.claims) if source.claims else NOTHING,
        absent=absent(source, groups, client_id, scopes),
        peer=peer,
        verified=True,
    )


def absent(source: IdentitySource, groups: object, client_id: object, scopes: object) -> frozenset[str]:
    """What nobody said (None), which no rule may take for empty unless the source says so."""
    return _NONE if source.absent_empty else _ABSENT[groups is None, client_id is None, scopes is None]


def _client_id(token: JsonObject, claim: str) -> str | None:
    if not claim:
        return None
    value = _text(token.get(claim))
    # OIDC's `azp` is the same thing under another name, so the default source takes either.
    return value if value is not None or claim != DEFAULT_SOURCE.client_id else _text(token.get("azp"))


def _scopes(token: JsonObject, claim: str) -> list[str] | None:
    if not claim:
        return None
    value = token.get(claim)
    # RFC 8693 4.2: one string, separated by spaces; several issuers send a list.
    return value.split() if isinstance(value, str) else _texts(value)


def _claims(token: JsonObject, types: Mapping[str, str]) -> JsonObject:
    """The declared claims that have their declared type; any other is absent, so that reading it cannot be decided."""
    read = {name: CLAIM_TYPES[kind](token.get(name)) for name, kind in types.items()}
    return {name: value for name, value in read.items() if value is not None}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> list[str] | None:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _integer(value: object) -> int | None:
    # The proxy hands numbers over as doubles: above 2^53 two ids may have become one.
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) <= 2**53 else None


CLAIM_TYPES: Mapping[str, Callable[[Any], Any]] = {
    "string": _text,
    "int": _integer,
    "double": _number,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "list(string)": _texts,
}
