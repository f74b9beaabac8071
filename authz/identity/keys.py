"""A JWK Set as its issuer publishes it -> the public keys that may verify tokens (RFC 7517). Fetches nothing."""

from __future__ import annotations

import json
import warnings
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

    `missed` is called when a token names a key that is not among them: it may have been added since. `passed_over`
    says which keys of the set cannot be used, and why.
    """

    def __init__(self, missed: Callable[[], None] = lambda: None) -> None:
        self.version = 0
        self.missed = missed
        self.passed_over: tuple[str, ...] = ()
        self._entries: frozenset[str] = frozenset()
        self._keys: tuple[Key, ...] = ()

    def __len__(self) -> int:
        return len(self._keys)

    def replace(self, text: bytes) -> bool:
        """Use the JWK Set `text` from now on; whether its keys are others. After a ValueError nothing has changed."""
        entries = _entries(text)
        # Many issuers write the same keys in another order each time: that is no reason to forget every token.
        told = frozenset(json.dumps(entry, sort_keys=True) for entry in entries)
        if told == self._entries:
            return False
        self._keys, self.passed_over = _usable(entries)
        self._entries = told
        self.version += 1
        return True

    def find(self, algorithm: str, kid: str | None) -> Key | None:
        """The key that verifies tokens of `algorithm`; one that names no key is verified by the only one that fits."""
        kind, curve = ALGORITHMS[algorithm]
        fitting = [one for one in self._keys if _fits(one, kind, curve, algorithm) and kid in (None, one.get("kid"))]
        return fitting[0] if len(fitting) == 1 else None


def _entries(text: bytes) -> list[Any]:
    """What stands in a JWK Set."""
    document = jiter.from_json(text, catch_duplicate_keys=True, allow_inf_nan=False)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > _MOST:
        raise ValueError(f"expected a JWK Set with at most {_MOST} keys")
    return entries


def _usable(entries: list[Any]) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """The public keys for signatures, and what is wrong with others; those of other uses and kinds are not for us.

    One key that cannot be used does not make the others useless (RFC 7517, 5). Raises ValueError where none is left.
    """
    keys: list[Key] = []
    problems: list[str] = []
    for at, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if entry.get("use") not in (None, "sig"):
            continue
        try:
            keys.append(_imported(entry))
        except ValueError as error:
            problems.append(f"keys[{at}]: {error}")
    if not keys:
        why = f": {problems[0]}" if problems else ""
        raise ValueError(f"expected a JWK Set with a public key for signatures (RSA, EC or OKP){why}")
    return tuple(keys), tuple(problems)


def _imported(entry: dict[str, Any]) -> Key:
    if entry.keys() & _PRIVATE:
        raise ValueError("expected a public key, got a private one")  # whoever reads the set can forge with it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused below
            key = _public(entry)
            size = getattr(key.public_key, "key_size", MIN_RSA)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"expected a key that can be read, got {type(error).__name__}") from error
    if isinstance(key, RSAKey) and size < MIN_RSA:
        raise ValueError(f"expected an RSA key of at least {MIN_RSA} bits, got {size}")
    return key


def _public(entry: dict[str, Any]) -> Key:
    (key,) = KeySet.import_key_set({"keys": [entry]}).keys
    if isinstance(key, OctKey):  # which `kty` has ruled out
        raise TypeError("expected a public key")
    return key


def _fits(key: Key, kind: str, curve: str, algorithm: str) -> bool:
    return (
        key.key_type == kind
        and (not curve or key.get("crv") == curve)
        and key.get("alg") in (None, algorithm)
        and "verify" in (key.get("key_ops") or ["verify"])
    )
