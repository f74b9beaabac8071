"""What somebody who is not alice sends to do what only alice may, and what the service must answer.

All are calls of `delete_cache` of the server `desk`, which is for the group dba. Bob has a token and is not in it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import tokens
from joserfc.jwk import RSAKey
from meshes import TRUSTED, token

STRANGER = RSAKey.generate_key(2048, {"kid": "stranger"})
IMPOSTOR = RSAKey.import_key({**STRANGER.as_dict(private=True), "kid": "rsa"})  # under the id of the issuer's own key

Headers = tuple[tuple[str, str], ...]

# Names that proxies and servers are known to believe, the very ones among them that Envoy Gateway writes claims to.
CLAIM_HEADERS: Headers = (
    ("x-jwt-sub", "alice"),
    ("x-jwt-groups", "dba"),
    ("x-jwt-payload", tokens.part({"iss": tokens.ISSUER, "sub": "alice", "groups": ["dba"]})),
    ("x-auth-user", "alice"),
    ("x-auth-groups", "dba"),
    ("x-forwarded-user", "alice"),
    ("x-forwarded-groups", "dba"),
    ("x-goog-iap-jwt-assertion", tokens.part({"sub": "alice"})),
    ("sec-istio-auth-userinfo", tokens.part({"sub": "alice", "groups": ["dba"]})),
)
SECOND_LINE: Headers = (("authorization", "Bearer x.y.z"),)
CERTIFICATE: Headers = (("x-forwarded-client-cert", f"By=spiffe://cluster.local/ns/tools/sa/desk;URI={TRUSTED}"),)


@dataclass(frozen=True, slots=True)
class Attempt:
    """`says` is the error description of the challenge, "" where there is none (RFC 6750, 3.1), None where the token is
    good and a rule denies its bearer; `malformed` where not even that is read. `proxy_says` is how the answer of
    Envoy's own filter begins where that comes first, "" where it has nothing against the request."""

    name: str
    bearer: Callable[[], str]
    says: str | None
    proxy_says: str = ""
    headers: Headers = ()
    malformed: bool = False

    def __str__(self) -> str:
        return self.name


def nobody() -> str:
    return ""


def bob() -> str:
    return token("bob")


def symmetric() -> str:
    """Signed as HS256, with the issuer's public key as the secret."""
    signed = ".".join(tokens.part(one) for one in ({"alg": "HS256", "kid": "rsa"}, _claims()))
    secret = tokens.RSA.as_pem(private=False)
    return f"{signed}.{tokens.part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def unsigned() -> str:
    """`alg: none` as the specification has it: with nothing behind the last dot."""
    return ".".join([tokens.part({"alg": "none"}), tokens.part(_claims()), ""])


def grafted() -> str:
    """Bob's header and signature around alice's claims."""
    head, _, signature = bob().split(".")
    return f"{head}.{tokens.part(_claims())}.{signature}"


def _claims() -> dict[str, object]:
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(token().split(".")[1] + "=="))
    return claims


_ISSUER = "the token is of another issuer"
_ALGORITHM = "the token is not signed by an algorithm that is accepted here"
_MALFORMED = "the Authorization header is not one signed JWT that can be read without doubt"
_UNPUBLISHED = "the token is signed with a key that its issuer does not publish"
_NOT_THE_ISSUERS = "the signature of the token is not its issuer's"

ATTEMPTS = (
    Attempt("no token", nobody, "", "Jwt is missing"),
    Attempt("no token, claim headers", nobody, "", "Jwt is missing", CLAIM_HEADERS),
    Attempt("no token, a client certificate in a header", nobody, "", "Jwt is missing", CERTIFICATE),
    Attempt(
        "another issuer's, same sub and groups",
        lambda: token(key=STRANGER, iss="https://idp.attacker.example"),
        _ISSUER,
        "Jwt issuer is not configured",
    ),
    Attempt("another issuer's key", lambda: token(key=IMPOSTOR), _NOT_THE_ISSUERS, "Jwt verification fails"),
    Attempt(
        "another key, brought along as jwk",
        lambda: token(key=STRANGER, head={"jwk": STRANGER.as_dict(private=False)}),
        _UNPUBLISHED,
        "Jwks doesn't have key to match kid or alg from Jwt",
    ),
    Attempt("an unknown kid", lambda: token(head={"kid": "x"}), _UNPUBLISHED, "Jwks doesn't have key"),
    Attempt(
        "for another server",
        lambda: token(server="vault"),
        "the token is for another audience",
        "Audiences in Jwt are not allowed",
    ),
    Attempt("expired", lambda: token(exp=time.time() - 120), "the token has expired", "Jwt is expired"),
    Attempt("not yet valid", lambda: token(nbf=time.time() + 120), "the token is not valid yet", "Jwt not yet valid"),
    Attempt("alg none", unsigned, _MALFORMED, "Jwt is not in the form"),
    Attempt(
        "alg none, with a signature",
        lambda: token(head={"alg": "none"}),
        _ALGORITHM,
        "Jwt header [alg] is not supported",
    ),
    Attempt("HS256 with the public key", symmetric, _ALGORITHM, "Jwt verification fails"),
    Attempt("another's claims, own signature", grafted, _NOT_THE_ISSUERS, "Jwt verification fails"),
    Attempt(
        "a good token and a second line",
        bob,
        None,
        "Jwt is not in the form",
        (("authorization", "Bearer x.y.z"),),
        True,
    ),
    Attempt("a good token, claim headers", bob, None, "", CLAIM_HEADERS),
    Attempt("a good token, a client certificate in a header", bob, None, "", CERTIFICATE),
    Attempt("a good token, another host in x-forwarded-host", bob, None, "", (("x-forwarded-host", "lab.example"),)),
)
