"""Somebody who asks -> the request as the proxy would describe it once it has verified them.

Identity is put where each configured source looks for it; nothing else tells this request from a real one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from authz.identity import JWT_AUTHN, IdentitySource, SourceKind, TokenVerifier
from authz.model import HttpRequest, JsonObject

_PAYLOAD = "jwt_payload"  # where a source names none, any name will do if it is the only one
_PEER = "spiffe://"
_PEERS = (SourceKind.PEER, SourceKind.XFCC)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `claims` are further claims of the token, as they arrive.

    Without `groups` or `scopes` the token says that there are none, unless `absent` names them: then it does not say.
    Without `client` it does not say either. `source` is the one identity source that knows the caller, "" all of them.
    """

    id: str
    groups: tuple[str, ...] = ()
    client: str | None = None
    scopes: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    source: str = ""


def identified(request: HttpRequest, caller: Caller, sources: Sequence[IdentitySource]) -> HttpRequest:
    """`request` of `caller`, verified for each of `sources` that knows them."""
    headers = dict(request.headers)
    payloads = {}
    knowing = [source for source in sources if caller.source in ("", source.name)]
    for source in knowing:
        if source.kind is SourceKind.JWT_AUTHN:
            payloads[source.payload or _PAYLOAD] = _token(source, caller)
        elif source.kind is SourceKind.HEADER:
            headers.update(_headers(source, caller))
        elif source.kind is SourceKind.JWT:
            # Encoded as a token's payload is: a comma in this header would mean that it was sent twice.
            payload = base64.urlsafe_b64encode(json.dumps(_token(source, caller)).encode()).decode()
            headers["authorization"] = f"Bearer {payload}"
    peers = any(source.kind in _PEERS for source in knowing) or caller.id.startswith(_PEER)
    return structs.replace(
        request,
        headers=headers,
        verified={JWT_AUTHN: payloads} if payloads else {},
        peer=caller.id if peers else request.peer,
    )


def believing(sources: Sequence[IdentitySource]) -> Mapping[str, TokenVerifier]:
    """Verifiers that take what `identified` says for a verified token: to explain and to test, never to serve."""
    return {source.name: _Believing() for source in sources if source.kind is SourceKind.JWT}


class _Believing:
    def verify(self, token: str, audience: str, sender: str, now: float) -> JsonObject:
        """The claims, whoever they are for and however old they are."""
        claims: JsonObject = json.loads(base64.urlsafe_b64decode(token))
        return claims


def _headers(source: IdentitySource, caller: Caller) -> Mapping[str, str]:
    named = {source.id: caller.id}
    if "groups" not in caller.absent:
        named[source.groups] = ",".join(caller.groups)
    if "scopes" not in caller.absent:
        named[source.scopes] = " ".join(caller.scopes)
    named[source.client_id] = caller.client or ""
    return {name: value for name, value in named.items() if name}


def _token(source: IdentitySource, caller: Caller) -> Mapping[str, Any]:
    token: dict[str, Any] = {"iss": source.issuer} if source.issuer else {}
    token |= caller.claims
    token[source.id] = caller.id
    if source.groups and "groups" not in caller.absent:
        token[source.groups] = list(caller.groups)
    if source.scopes and "scopes" not in caller.absent:
        token[source.scopes] = " ".join(caller.scopes)
    if source.client_id and caller.client is not None:
        token[source.client_id] = caller.client
    return token
