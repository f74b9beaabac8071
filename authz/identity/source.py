"""Where an identity comes from, as the settings name it (policies/README.md 9). Values only."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

JWT_AUTHN = "envoy.filters.http.jwt_authn"  # the filter that verifies tokens; its metadata is the proxy's word

# Asymmetric ones only: with a symmetric one whoever can verify can forge (RFC 8725, 3.1 and 3.2).
ALGORITHMS: Final[Mapping[str, tuple[str, str]]] = {
    # algorithm -> type of the key, and curve where it is bound to one (RFC 7518, 3.1; RFC 9864)
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", "")),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}


class SourceKind(enum.StrEnum):
    """Where an identity comes from."""

    JWT_AUTHN = "jwt_authn"
    PEER = "peer"
    HEADER = "header"
    XFCC = "xfcc"
    JWT = "jwt"


@dataclass(frozen=True, slots=True)
class IdentitySource:
    """One way to learn who asks, as the settings name it.

    For `jwt_authn` the fields `id`, `groups`, `client_id` and `scopes` name claims of the payload `payload` (the
    filter's `payload_in_metadata`; "" takes the only one there is), and `issuer`, where given, must equal the claim
    `iss`. For `header` they name headers that the proxy sets and strips. `claims` gives the type of each further claim
    that policies may read. With `absent_empty` a token without groups or scopes means none instead of unknown.
    For `xfcc`, `callers` are the transport peers whose word on their client counts.

    For `jwt`, the bearer token is verified here: it must be of `issuer`, for `audience` (the server's canonical URI,
    RFC 8707; `{server}` in it stands for the server's name), signed by one of `algorithms` with a key of the set at
    `jwks`, a file or a URL, and in its time give or take `leeway` seconds.
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
    callers: frozenset[str] = frozenset()
    audience: str = ""
    jwks: str = ""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    leeway: float = 30.0

    def audience_of(self, server: str) -> str:
        """Who a token must be for that is used with `server`."""
        return self.audience.replace("{server}", server)


# Without settings: the one payload of jwt_authn or nobody. Claim names are those of RFC 9068 and OIDC.
DEFAULT_SOURCE = IdentitySource(
    name="default",
    kind=SourceKind.JWT_AUTHN,
    groups="groups",
    client_id="client_id",
    scopes="scope",
)
