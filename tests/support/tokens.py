"""Keys and tokens of an issuer that tests make themselves, good ones and forged ones."""

from __future__ import annotations

import base64
import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from authz.identity import IdentitySource, SourceKind
from authz.identity.source import ALGORITHMS

ISSUER = "https://idp.example"
AUDIENCE = "https://mcp.example/bank"
NOW = 1_800_000_000.0

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})

SOURCE = IdentitySource(
    name="corp",
    kind=SourceKind.JWT,
    issuer=ISSUER,
    groups="groups",
    client_id="client_id",
    scopes="scope",
    audience="https://mcp.example/{server}",
    jwks="keys.json",
)


def key_set(*keys: RSAKey | ECKey | OKPKey, **more: Any) -> bytes:
    """What an issuer publishes of `keys`; `more` is added to each."""
    return json.dumps({"keys": [{**key.as_dict(private=False), **more} for key in keys]}).encode()


def claims(**more: Any) -> dict[str, Any]:
    """A good token's claims; those that are None are left out."""
    all_ = {"iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW, **more}
    return {name: value for name, value in all_.items() if value is not None}


def part(content: Any) -> str:
    """One part of a token: JSON, or bytes as they are."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def token(
    content: Any = None,
    key: RSAKey | ECKey | OKPKey = RSA,
    *,
    head: dict[str, Any] | bytes | None = None,
    **more: Any,
) -> str:
    """A token of `content` (default: `claims`) that `key` has signed; `head` is added to its header or is all of it."""
    kinds = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
    known = {"alg": kinds[key.key_type], "typ": "at+jwt", "kid": key.get("kid")}
    header = (
        head
        if isinstance(head, bytes)
        else {name: value for name, value in {**known, **(head or {})}.items() if value is not None}
    )
    signed = f"{part(header)}.{part(claims(**more) if content is None else content)}"
    named = known["alg"] if isinstance(header, bytes) else header["alg"]
    fits = isinstance(named, str) and ALGORITHMS.get(named, ("",))[0] == key.key_type
    algorithm = jws.JWSRegistry.algorithms[named if fits else known["alg"]]
    return f"{signed}.{part(algorithm.sign(signed.encode(), key))}"
