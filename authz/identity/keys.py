"""A JWK Set as its issuer publishes it -> the public keys that may verify tokens (RFC 7517). Fetches nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import jiter
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from authz.identity.source import ALGORITHMS

Key: TypeAlias = RSAKey | ECKey | OKPKey

MIN_RSA: Final = 2048  # bits; RFC 7518, 3.3
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MOST: Final = 100  # keys; issuers publish a handful, and the search for one must cost nothing


class Keys:
    """The keys of one issuer, as they were fetched last: none at first. `version` grows whenever they change.

    `missed` is called when a token names a key that is not among them: it may have been added since.
    """

    def __init__(self, missed: Callable[[], None] = lambda: None) -> None:
        self.version = 0
        self.missed = missed
        self._text = b""
        self._keys: tuple[Key, ...] = ()

    def __len__(self) -> int:
        return len(self._keys)

    def replace(self, text: bytes) -> bool:
        """Use the JWK Set `text` from now on; whether it is another one. After a ValueError nothing has changed."""
        if text == self._text:
            return False
        self._keys, self._text = parse_keys(text), text
        self.version += 1
        return True

    def find(self, algorithm: str, kid: str | None) -> Key | None:
        """The key that verifies tokens of `algorithm`; one that names no key is verified by the only one that fits."""
        kind, curve = ALGORITHMS[algorithm]
        fitting = [one for one in self._keys if _fits(one, kind, curve, algorithm) and kid in (None, one.get("kid"))]
        return fitting[0] if len(fitting) == 1 else None


def parse_keys(text: bytes) -> tuple[Key, ...]:
    """The public keys of a JWK Set that are for signatures; those of kinds that nobody here knows are passed over.

    Raises ValueError for what is none, for a key that is private or too weak, and where none is left.
    """
    document = jiter.from_json(text, catch_duplicate_keys=True)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > _MOST:
        raise ValueError(f"expected a JWK Set with at most {_MOST} keys")
    keys = []
    for at, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP") or entry.get("use") == "enc":
            continue
        if entry.keys() & _PRIVATE:
            raise ValueError(f"keys[{at}]: expected a public key, got a private one")
        keys += _imported(at, entry)
    if not keys:
        raise ValueError("expected a JWK Set with a public key for signatures (RSA, EC or OKP)")
    return tuple(keys)


def _imported(at: int, entry: dict[str, Any]) -> list[Key]:
    try:
        (key,) = KeySet.import_key_set({"keys": [entry]}).keys
        size = getattr(key.public_key, "key_size", MIN_RSA)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"keys[{at}]: expected a key that can be read, got {type(error).__name__}") from error
    if entry["kty"] == "RSA" and size < MIN_RSA:
        raise ValueError(f"keys[{at}]: expected an RSA key of at least {MIN_RSA} bits, got {size}")
    return [] if isinstance(key, OctKey) else [key]


def _fits(key: Key, kind: str, curve: str, algorithm: str) -> bool:
    return (
        key.key_type == kind
        and (not curve or key.get("crv") == curve)
        and key.get("alg") in (None, algorithm)
        and "verify" in (key.get("key_ops") or ["verify"])
    )
