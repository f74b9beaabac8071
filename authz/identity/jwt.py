"""A bearer token -> its verified claims, or why it is refused (RFC 9068, RFC 8725). Knows no HTTP and fetches nothing.

What is verified once is known until it expires, so that a call with a known token costs a digest and a look-up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from typing import Any, Final

import jiter
from cachetools import LRUCache
from joserfc import jws
from joserfc.errors import JoseError
from msgspec import Struct

from authz.errors import TokenBusy, TokenRefused
from authz.identity.forgers import Forgers
from authz.identity.keys import Keys
from authz.identity.source import ALGORITHMS, IdentitySource
from authz.model import JsonObject

MAX_TOKEN: Final = 16 * 1024  # characters; proxies take 60 KiB of headers in all
_KNOWN_BYTES: Final = 16 * 1024 * 1024  # of tokens whose claims are kept: some 20,000, with claims some 100 MiB at most
_FORGED: Final = 10_000  # digests of refused tokens, so that one that is sent over and over costs no signature
# RFC 9068, 2.1, and RFC 8725, 3.11: kinds of tokens are told apart. An id token has "JWT" like most access tokens do;
# what tells it apart is its audience.
_TYPES: Final = frozenset({"", "jwt", "application/jwt", "at+jwt", "application/at+jwt"})


class _Verified(Struct, frozen=True, gc=False):
    """What one token says. `audience` is who it is for, `expires` and `begins` are seconds since the epoch,
    `size` is the token's own."""

    claims: JsonObject
    audience: frozenset[str]
    expires: float
    begins: float
    size: int


class Verifier:
    """Verifies the tokens of one source with the keys of its issuer."""

    def __init__(self, source: IdentitySource, keys: Keys) -> None:
        self.keys = keys
        self._source = source
        self._version = keys.version
        self._known: LRUCache[bytes, _Verified] = LRUCache(_KNOWN_BYTES, getsizeof=lambda one: one.size)
        self._forged: LRUCache[bytes, str] = LRUCache(_FORGED)
        self._forgers = Forgers()

    def verify(self, token: str, audience: str, sender: str, now: float) -> JsonObject:
        """The claims of `token`, which must be for `audience`; `sender` is who is to blame for a forged one.

        Raises TokenRefused for a token that must not count, TokenBusy where nobody can tell now.
        """
        if len(token) > MAX_TOKEN or not token.isascii():
            raise TokenRefused(f"the token is longer than {MAX_TOKEN} characters or no ASCII text")
        if self._version != self.keys.version:  # what was refused may be good now, and what was good may not
            self._known.clear()
            self._forged.clear()
            self._version = self.keys.version
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._known.get(digest)
        if verified is None:
            verified = self._verify_new(digest, token, sender, now)
        leeway = self._source.leeway
        if now >= verified.expires + leeway:
            raise TokenRefused("the token has expired")
        if now < verified.begins - leeway:
            raise TokenRefused("the token is not valid yet")
        if audience not in verified.audience:
            raise TokenRefused("the token is for another audience")
        return verified.claims

    def _verify_new(self, digest: bytes, token: str, sender: str, now: float) -> _Verified:
        if not self.keys:
            self.keys.missed()
            raise TokenBusy("no keys of the issuer are known yet")
        refused = self._forged.get(digest)
        if refused is not None:
            raise TokenRefused(refused)
        self._forgers.admit(sender, now)
        try:
            verified = self._read(token)
        except TokenRefused as error:
            self._forgers.note(sender)
            self._forged[digest] = str(error)
            raise
        # What has had its time fills no place: each one of its calls is refused by its time.
        if now < verified.expires + self._source.leeway:
            self._known[digest] = verified
        return verified

    def _read(self, token: str) -> _Verified:
        """What `token` says, once its signature is verified."""
        parts = token.split(".")
        if len(parts) != 3:
            raise TokenRefused("the token is no JWT that is signed")
        algorithm, kid = self._head(parts[0])
        key = self.keys.find(algorithm, kid)
        if key is None:
            self.keys.missed()
            raise TokenRefused("the token is signed with a key that its issuer does not publish")
        try:
            payload = jws.deserialize_compact(token, key, algorithms=[algorithm]).payload
        except (JoseError, ValueError, TypeError):
            raise TokenRefused("the signature of the token is not its issuer's") from None
        return self._claims(_object(payload), len(token))

    def _head(self, encoded: str) -> tuple[str, str | None]:
        """The algorithm and the key's id; everything else that a header could ask for is refused or not looked at."""
        try:
            padded = encoded + "=" * (-len(encoded) % 4)
            head = _object(base64.b64decode(padded, altchars=b"-_", validate=True))
        except binascii.Error:
            raise TokenRefused("the token is no JWT that is signed") from None
        algorithm, kid, type_ = head.get("alg"), head.get("kid"), head.get("typ", "")
        if algorithm not in self._source.algorithms or algorithm not in ALGORITHMS:
            raise TokenRefused(f"the token is not signed by {' or '.join(self._source.algorithms)}")
        if "crit" in head or "b64" in head:
            raise TokenRefused("the token has extensions that must be understood and are not (crit)")
        if not isinstance(type_, str) or type_.lower() not in _TYPES:
            raise TokenRefused("the token is of another kind (typ)")
        if kid is not None and not isinstance(kid, str):
            raise TokenRefused("the token names its key by what is no text (kid)")
        return algorithm, kid

    def _claims(self, claims: dict[str, Any], size: int) -> _Verified:
        if claims.get("iss") != self._source.issuer:
            raise TokenRefused("the token is of another issuer")
        audience = claims.get("aud")
        listed = [audience] if isinstance(audience, str) else audience
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise TokenRefused("the token does not say who it is for (aud)")
        expires = _seconds(claims, "exp")
        if expires is None:
            raise TokenRefused("the token never expires (exp)")
        begins = _seconds(claims, "nbf")
        return _Verified(claims, frozenset(listed), expires, -math.inf if begins is None else begins, size)


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object in which no member stands twice; TokenRefused for anything else."""
    try:
        value = jiter.from_json(text, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="none")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise TokenRefused("the token is no JWT that can be read without doubt")
    return value


def _seconds(claims: JsonObject, name: str) -> float | None:
    """A NumericDate (RFC 7519, 2), None where there is none; TokenRefused for what is none."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**53) <= value <= 2**53:
        raise TokenRefused(f"the token has a time that is none ({name})")
    return float(value)
