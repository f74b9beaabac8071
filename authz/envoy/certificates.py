"""Certificate files -> what a TLS listener needs, checked: the key is the certificate's, and nothing has expired.

Knows no listener and no gRPC.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from authz.envoy.material import Files, Material
from authz.errors import SettingsError

MAX_FILE = 1 << 20  # bytes; a bundle of two hundred authorities has a quarter of that
_ENCODING = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def load(files: Files, now: float | None = None) -> Material:
    """What `files` hold; raises SettingsError, which names the setting and never what a key file says."""
    chain, key, client_ca = (
        _read(name, path) for name, path in (("cert", files.cert), ("key", files.key), ("client_ca", files.client_ca))
    )
    certificates = _certificates("tls_cert", files.cert, chain)
    authorities = _certificates("tls_client_ca", files.client_ca, client_ca)
    if _public(certificates[0].public_key()) != _public_of_key(files.key, key):
        raise SettingsError(f"tls_key: {files.key}: expected the key of the first certificate in tls_cert, got another")
    expiries = {
        "tls_cert": min(_end(one) for one in certificates),
        "tls_client_ca": max(_end(one) for one in authorities),
    }
    for name, path in (("tls_cert", files.cert), ("tls_client_ca", files.client_ca)):
        if expiries[name] <= (time.time() if now is None else now):
            end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expiries[name]))
            raise SettingsError(f"{name}: {path}: expected a certificate that is valid, got one that expired at {end}")
    return Material(chain, key, client_ca, expiries)


def _read(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise SettingsError(f"tls_{name}: {path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(content) > MAX_FILE:
        raise SettingsError(f"tls_{name}: {path}: expected at most {MAX_FILE} bytes, got more")
    return content


def _certificates(name: str, path: Path, content: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise SettingsError(f"{name}: {path}: expected certificates in PEM, got something else") from error


def _public_of_key(path: Path, content: bytes) -> bytes:
    try:
        key = serialization.load_pem_private_key(content, None)
    except (TypeError, ValueError) as error:  # a TypeError where it is encrypted
        got = "an encrypted one" if isinstance(error, TypeError) else "something else"
        raise SettingsError(f"tls_key: {path}: expected a key in PEM without a password, got {got}") from None
    return _public(key.public_key())


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(*_ENCODING)


def _end(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()
