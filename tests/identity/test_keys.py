from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey
from tokens import EC, ED, RSA, key_set

from authz.identity.keys import Keys

NO_KEY = "expected a JWK Set with a public key for signatures (RSA, EC or OKP)"


def published(*entries: Any) -> bytes:
    return json.dumps({"keys": entries}).encode()


def entry(key: Any = RSA, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **more}


def test_keys_are_found_by_algorithm_and_name() -> None:
    keys = Keys()
    assert keys.replace(key_set(RSA, EC, ED))
    assert len(keys) == 3
    found = [keys.find(*asked) for asked in (("RS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed"), ("PS512", None))]
    assert [key and key.get("kid") for key in found] == ["rsa", "ec", "ed", "rsa"]
    assert [keys.find(*asked) for asked in (("RS256", "ec"), ("ES384", "ec"), ("ES256", "x"))] == [None] * 3


@pytest.mark.parametrize("more", [{"alg": "RS512"}, {"alg": "RSA-OAEP"}, {"key_ops": ["encrypt"]}])
def test_a_key_is_for_what_it_says_that_it_is_for(more: dict[str, Any]) -> None:
    keys = Keys()
    keys.replace(published(entry(**more), entry(EC)))
    assert keys.find("RS256", "rsa") is None


def test_two_keys_of_one_name_are_none() -> None:
    keys = Keys()
    keys.replace(published(entry(RSAKey.generate_key(2048), kid="a"), entry(RSAKey.generate_key(2048), kid="a")))
    assert keys.find("RS256", "a") is None
    keys.replace(published(entry(RSA, kid="a"), entry(EC, kid="a")))
    assert keys.find("RS256", "a") is not None


def test_the_same_keys_in_another_order_are_no_others() -> None:
    keys = Keys()
    assert keys.replace(key_set(RSA, EC))
    assert not keys.replace(b" " + key_set(EC, RSA) + b"\n")
    assert keys.version == 1
    assert keys.replace(key_set(RSA))
    assert (keys.version, len(keys)) == (2, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"keys":{}}', "expected a JWK Set with at most 100 keys"),
        (b"[]", "expected a JWK Set with at most 100 keys"),
        (published(*[{}] * 101), "expected a JWK Set with at most 100 keys"),
        (published(), NO_KEY),
        (published("key"), NO_KEY),
        (
            published({"kty": "oct", "k": "AAAA", "kid": "hs"}),
            NO_KEY,
        ),
        (published(entry(use="enc")), NO_KEY),
        (
            published(EC.as_dict(private=True)),
            f"{NO_KEY}: keys[0]: expected a public key, got a private one",
        ),
        (
            published({"kty": "RSA"}),
            f"{NO_KEY}: keys[0]: expected a key that can be read, got KeyParameterError",
        ),
    ],
)
def test_what_has_no_key_is_refused_and_changes_nothing(text: bytes, why: str) -> None:
    keys = Keys()
    keys.replace(key_set(EC))
    with pytest.raises(ValueError, match=r"^expected") as caught:
        keys.replace(text)
    assert str(caught.value) == why
    assert (keys.version, len(keys)) == (1, 1)
    assert keys.find("ES256", "ec")


@pytest.mark.parametrize("text", [b"", b"<html>", b'{"keys":[]', b'{"keys":[],"keys":[]}', b"\xff", b'{"keys":NaN}'])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Keys().replace(text)


@pytest.mark.filterwarnings("ignore:Key size")
def test_a_key_that_cannot_be_used_leaves_the_others_in_force() -> None:
    weak = RSAKey.generate_key(1024, {"kid": "weak"})
    unknown = entry(EC, kid="odd", crv="P-999")
    keys = Keys()
    keys.replace(published(entry(weak), unknown, entry(ECKey.generate_key("secp256k1"), kid="k1"), entry(RSA)))
    assert keys.find("RS256", "weak") is None
    assert keys.find("ES256", "odd") is keys.find("ES256", "k1") is None
    assert keys.find("RS256", "rsa")
    first, second = keys.passed_over
    assert first == "keys[0]: expected an RSA key of at least 2048 bits, got 1024"
    assert second.startswith("keys[1]: expected a key that can be read, got ")
