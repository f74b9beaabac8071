"""HTTP request -> principal, from what the proxy has verified and nothing else (policies/README.md 9).

Nothing in the body, no session id, no `clientInfo` and no unverified token is ever identity; there is no falling
back from one source to another.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from authz.model import ANONYMOUS, NOTHING, HttpRequest, JsonObject, Principal

JWT_AUTHN = "envoy.filters.http.jwt_authn"  # the filter that verifies tokens; its metadata is the proxy's word


class SourceKind(enum.StrEnum):
    """Where an identity comes from."""

    JWT_AUTHN = "jwt_authn"
    PEER = "peer"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class IdentitySource:
    """One way to learn who asks, as the settings name it.

    For `jwt_authn` the fields `id`, `groups`, `client_id` and `scopes` name claims of the payload `payload` (the
    filter's `payload_in_metadata`; "" takes the only one there is), and `issuer`, where given, must equal the claim
    `iss`. For `header` they name headers that the proxy sets and strips. `claims` gives the type of each further claim
    that policies may read. With `absent_empty` a token without groups or scopes means none instead of unknown.
    """

    name: str
    kind: SourceKind
    payload: str = ""
    issuer: str = ""
    id: str = "sub"
    groups: str = ""
    client_id: str = ""
    scopes: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    absent_empty: bool = False


# Without settings: the one payload of jwt_authn or nobody. Claim names are those of RFC 9068 and OIDC.
DEFAULT_SOURCE = IdentitySource(
    name="default",
    kind=SourceKind.JWT_AUTHN,
    groups="groups",
    client_id="client_id",
    scopes="scope",
)


_NONE: frozenset[str] = frozenset()
_SAID = ("groups", "client_id", "scopes")
# By which of these are missing; made once, for it is asked at each call.
_ABSENT = {
    missing: frozenset(name for name, gone in zip(_SAID, missing, strict=True) if gone)
    for missing in itertools.product((False, True), repeat=len(_SAID))
}


class Identities:
    """The configured sources, by name. The first is the service's default."""

    def __init__(self, sources: Sequence[IdentitySource] = ()) -> None:
        self.configured = bool(sources)
        self._sources = {source.name: source for source in sources or (DEFAULT_SOURCE,)}
        self.default = next(iter(self._sources))

    @property
    def sources(self) -> tuple[IdentitySource, ...]:
        """The sources, the default first."""
        return tuple(self._sources.values())

    @property
    def claims(self) -> Mapping[str, Mapping[str, str]]:
        """By source, the default first, the types of the claims that policies may read."""
        return {name: source.claims for name, source in self._sources.items()}

    def identify(self, request: HttpRequest, name: str) -> Principal:
        """Who asks, by the source `name`; a principal with `verified=False` where that source says nobody."""
        source = self._sources[name]
        if source.kind is SourceKind.JWT_AUTHN:
            return _from_token(source, request)
        if source.kind is SourceKind.HEADER:
            return _from_headers(source, request)
        if not request.peer:
            return ANONYMOUS
        return Principal(
            id=request.peer, source=name, absent=_absent(source, None, None, None), peer=request.peer, verified=True
        )


def _unverified(request: HttpRequest) -> Principal:
    return Principal(peer=request.peer) if request.peer else ANONYMOUS


def _from_token(source: IdentitySource, request: HttpRequest) -> Principal:
    payloads = request.verified.get(JWT_AUTHN, NOTHING)
    if source.payload:
        token = payloads.get(source.payload)
    else:
        token = next(iter(payloads.values())) if len(payloads) == 1 else None
    if type(token) is not dict and not isinstance(token, Mapping):
        return _unverified(request)
    id_ = _text(token.get(source.id))
    issuer = _text(token.get("iss")) or ""
    if not id_ or (source.issuer and issuer != source.issuer):
        return _unverified(request)

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
        absent=_absent(source, groups, client_id, scopes),
        peer=request.peer,
        verified=True,
    )


def _from_headers(source: IdentitySource, request: HttpRequest) -> Principal:
    id_ = request.headers.get(source.id, "")
    # A comma in the id means that the header came twice (the proxy joins lines): somebody else's is among them.
    if not id_ or "," in id_ or not id_.isprintable():
        return _unverified(request)
    groups = request.headers.get(source.groups) if source.groups else None
    client_id = request.headers.get(source.client_id) if source.client_id else None
    scopes = request.headers.get(source.scopes) if source.scopes else None
    return Principal(
        id=id_,
        issuer=source.issuer,
        source=source.name,
        client_id=client_id or "",
        groups=frozenset(part.strip() for part in (groups or "").split(",") if part.strip()),
        scopes=frozenset((scopes or "").replace(",", " ").split()),
        absent=_absent(source, groups, client_id, scopes),
        peer=request.peer,
        verified=True,
    )


def _absent(source: IdentitySource, groups: object, client_id: object, scopes: object) -> frozenset[str]:
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
