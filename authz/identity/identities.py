"""HTTP request -> principal, from what was verified and nothing else (policies/README.md 9).

Nothing in the body, no session id, no `clientInfo` and no unverified token is ever identity; there is no falling
back from one source to another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from authz.address import neighbourhood
from authz.errors import TokenBusy
from authz.identity.claims import absent, principal_of, unverified
from authz.identity.headers import from_headers
from authz.identity.refusal import Refusal, refused
from authz.identity.source import DEFAULT_SOURCE, JWT_AUTHN, IdentitySource, SourceKind
from authz.identity.xfcc import from_xfcc
from authz.model import ANONYMOUS, NOTHING, HttpRequest, JsonObject, Principal

# A bearer token that is not the header's first word: after a second line, or behind another space than SP.
_ELSEWHERE: Final = re.compile(r"(?:^|[\s,])bearer(?:[\s,=]|$)", re.IGNORECASE)


class TokenVerifier(Protocol):
    """Who verifies the tokens of a source."""

    def verify(self, token: str, audience: str, sender: str, now: float) -> JsonObject:
        """The claims of `token`, which must be for `audience`; raises TokenRefused or TokenBusy."""
        ...


class Identities:
    """The configured sources, by name. The first is the service's default.

    `verifiers` are those of the sources that are `from: jwt`.
    """

    def __init__(
        self, sources: Sequence[IdentitySource] = (), verifiers: Mapping[str, TokenVerifier] = NOTHING
    ) -> None:
        self.configured = bool(sources)
        self._verifiers = verifiers
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

    def source(self, name: str) -> IdentitySource:
        """The source `name`."""
        return self._sources[name]

    def identify(self, request: HttpRequest, name: str, server: str = "", now: float = 0.0) -> Principal:
        """Who asks of `server` at `now`, by the source `name`; with `verified=False` where that source says nobody.

        Raises TokenRefused for a bearer token that does not count, which is not the same as none, and TokenBusy.
        """
        source = self._sources[name]
        if source.kind is SourceKind.JWT_AUTHN:
            return _from_filter(source, request)
        if source.kind is SourceKind.HEADER:
            return from_headers(source, request)
        if source.kind is SourceKind.XFCC:
            return from_xfcc(source, request)
        if source.kind is SourceKind.JWT:
            return self._from_bearer(source, request, server, now)
        if not request.peer:
            return ANONYMOUS
        return Principal(
            id=request.peer, source=name, absent=absent(source, None, None, None), peer=request.peer, verified=True
        )

    def _from_bearer(self, source: IdentitySource, request: HttpRequest, server: str, now: float) -> Principal:
        """Whose token the request carries (RFC 6750, 2.1: in the header and nowhere else)."""
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            if _ELSEWHERE.search(header) is None:
                return unverified(request.peer)
            token = header  # which is none: who reads another line than this service would take it for somebody
        verifier = self._verifiers.get(source.name)
        if verifier is None:
            raise TokenBusy("no keys of the issuer are known yet")
        sender = neighbourhood(request.source_address)
        claims = verifier.verify(token.strip(" "), source.audience_of(server), sender, now)
        found = principal_of(source, claims, request.peer)
        if not found.verified:
            raise refused(Refusal.SUBJECT)
        return found


def _from_filter(source: IdentitySource, request: HttpRequest) -> Principal:
    """Whose token the proxy's filter has verified."""
    payloads = request.verified.get(JWT_AUTHN, NOTHING)
    if source.payload:
        token = payloads.get(source.payload)
    else:
        token = next(iter(payloads.values())) if len(payloads) == 1 else None
    if type(token) is not dict and not isinstance(token, Mapping):
        return unverified(request.peer)
    return principal_of(source, token, request.peer)
