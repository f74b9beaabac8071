"""A bearer token -> its verified claims, or why it is refused (RFC 9068, RFC 8725). Knows no HTTP and fetches nothing.

What is verified once is known until it expires, so that a call with a known token costs a digest and a look-up. What
can be refused without looking at the signature is: a signature is what costs, and who sends tokens chooses how many.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import jiter
from cachetools import LRUCache
from joserfc import jws
from joserfc.errors import JoseError
from msgspec import Struct

from authz.errors import TokenBusy, TokenRefused
from authz.identity.forgers import Forgers
from authz.identity.keys import Key, Keys
from authz.identity.refusal import Refusal, refused
from authz.identity.source import ALGORITHMS, IdentitySource
from authz.model import JsonObject

MAX_TOKEN: Final = 16 * 1024  # characters; proxies take 60 KiB of headers in all
_KNOWN_BYTES: Final = 16 * 1024 * 1024  # of tokens whose claims are kept: some 20,000, with claims some 100 MiB at most
_FORGED: Final = 10_000  # digests of forged tokens, so that one that is sent over and over costs no signature
# RFC 7515, 7.1; five parts would be an encrypted one, and two lines of the header are joined by a comma.
_SIGNED: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
# RFC 9068, 2.1, and RFC 8725, 3.11: kinds of tokens are told apart. An id token has "JWT" like most access tokens do;
# what tells it apart is its audience.
_TYPES: Final = frozenset({"", "jwt", "application/jwt", "at+jwt", "application/at+jwt"})
_LATEST: Final = 2**53  # seconds; above, a double has no single ones


class _Registry(jws.JWSRegistry):  # type: ignore[misc, unused-ignore]
    """Headers that are not understood and not critical are ignored (RFC 7515, 4), certificates among them."""

    max_header_length = MAX_TOKEN

    def get_alg(self, name: str) -> Any:
        # Which are allowed is the settings' business; here the library would warn of EdDSA's name at each token.
        return self.algorithms[name]


class _Verified(Struct, frozen=True, gc=False):
    """What one token says. `audience` is who it is for, `expires` and `begins` are seconds since the epoch,
    `size` is the token's own."""

    claims: JsonObject
    audience: frozenset[str]
    expires: float
    begins: float
    size: int


class Verifier:
    """Verifies the tokens of one source with the keys of its issuer.

    `known` and `verified` count tokens that were known already and that were verified anew, `refused` those that do
    not count, by why, and `busy` those that nobody could verify then. One thread verifies, any may look at these.
    `timer` gives seconds of CPU.
    """

    def __init__(self, source: IdentitySource, keys: Keys, timer: Callable[[], float] = time.thread_time) -> None:
        self.keys = keys
        self.known = 0
        self.verified = 0
        self.refused: Counter[str] = Counter()
        self.busy = 0
        self._source = source
        self._timer = timer
        self._version = keys.version
        self._known: LRUCache[bytes, _Verified] = LRUCache(_KNOWN_BYTES, getsizeof=lambda one: one.size)
        self._forged: LRUCache[bytes, None] = LRUCache(_FORGED)
        self._forgers = Forgers()
        self._registry = _Registry(algorithms=source.algorithms, strict_check_header=False)

    def verify(self, token: str, audience: str, sender: str, now: float) -> JsonObject:
        """The claims of `token`, which must be for `audience`; `sender` is who is to blame for a forged one.

        Raises TokenRefused for a token that must not count, TokenBusy where nobody can tell now.
        """
        try:
            return self._claims_of(token, audience, sender, now)
        except TokenRefused as error:
            self.refused[error.cause] += 1
            raise
        except TokenBusy:
            self.busy += 1
            raise

    def _claims_of(self, token: str, audience: str, sender: str, now: float) -> JsonObject:
        if len(token) > MAX_TOKEN or not token.isascii():
            raise refused(Refusal.MALFORMED)
        if self._version != self.keys.version:  # what was forged may be good now, and what was good may not
            self._known.clear()
            self._forged.clear()
            self._version = self.keys.version
        digest = hashlib.sha256(token.encode()).digest()
        one = self._known.get(digest)
        if one is None:
            one, algorithm, kid = self._read(token)
            self._in_time(one, now)
            if digest in self._forged:
                raise refused(Refusal.SIGNATURE)
            key = self._key(algorithm, kid)
            self._forgers.admit(sender, now)
            self._check_signature(digest, token, key, sender)
            self._known[digest] = one
            self.verified += 1
        else:
            self._in_time(one, now)
            self.known += 1
        if audience not in one.audience:
            raise refused(Refusal.AUDIENCE)
        return one.claims

    def _in_time(self, one: _Verified, now: float) -> None:
        if now >= one.expires + self._source.leeway:
            raise refused(Refusal.EXPIRED)
        if now < one.begins - self._source.leeway:
            raise refused(Refusal.NOT_YET)

    # ------------------------------------------------------------------------- what costs a signature, and what not

    def _key(self, algorithm: str, kid: str | None) -> Key:
        if not self.keys:
            self.keys.missed()
            raise TokenBusy("no keys of the issuer are known yet")
        key = self.keys.find(algorithm, kid)
        if key is None:
            # Nobody remembers that: it may be published a moment later.
            self.keys.missed()
            raise refused(Refusal.KEY)
        return key

    def _check_signature(self, digest: bytes, token: str, key: Key, sender: str) -> None:
        # The algorithm is that of the token's header; the key was chosen for it.
        began = self._timer()
        try:
            jws.deserialize_compact(token, key, registry=self._registry)
        except (JoseError, ValueError, TypeError):
            self._forgers.note(sender, self._timer() - began)
            self._forged[digest] = None
            raise refused(Refusal.SIGNATURE) from None

    def _read(self, token: str) -> tuple[_Verified, str, str | None]:
        """What `token` would say if its signature were its issuer's; its algorithm, and the id of the key."""
        parts = _SIGNED.fullmatch(token)
        if parts is None:
            raise refused(Refusal.MALFORMED)
        algorithm, kid = self._head(_object(parts[1]))
        claims = _object(parts[2])
        if claims.get("iss") != self._source.issuer:
            raise refused(Refusal.ISSUER)
        audience = claims.get("aud")
        listed = [audience] if isinstance(audience, str) else audience
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise refused(Refusal.AUDIENCE)
        expires = _seconds(claims, "exp")
        if expires is None:
            raise refused(Refusal.TIME)
        begins = _seconds(claims, "nbf")
        id_ = claims.get(self._source.id)
        if not isinstance(id_, str) or not id_:
            raise refused(Refusal.SUBJECT)
        begins = -math.inf if begins is None else begins
        return _Verified(claims, frozenset(listed), expires, begins, len(token)), algorithm, kid

    def _head(self, head: dict[str, Any]) -> tuple[str, str | None]:
        """Algorithm and id of the key. What else a header could ask for (jwk, jku, x5c, x5u) is not looked at."""
        algorithm, kid, type_ = head.get("alg"), head.get("kid"), head.get("typ", "")
        if not isinstance(algorithm, str) or algorithm not in self._source.algorithms or algorithm not in ALGORITHMS:
            raise refused(Refusal.ALGORITHM)
        if "crit" in head or "b64" in head:
            raise refused(Refusal.CRITICAL)
        if not isinstance(type_, str) or type_.lower() not in _TYPES:
            raise refused(Refusal.TYPE)
        if "kid" in head and not isinstance(kid, str):
            raise refused(Refusal.KEY)
        return algorithm, kid


def _object(encoded: str) -> dict[str, Any]:
    """The JSON object in a part of a token, in which no member stands twice; TokenRefused for anything else."""
    try:
        text = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        value = jiter.from_json(text, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="none")
    except (binascii.Error, ValueError):
        value = None
    if not isinstance(value, dict):
        raise refused(Refusal.MALFORMED)
    return value


def _seconds(claims: JsonObject, name: str) -> float | None:
    """A NumericDate (RFC 7519, 2), None where there is none; TokenRefused for what is none."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LATEST <= value <= _LATEST:
        raise refused(Refusal.TIME)
    return float(value)
