"""A certificate authority for tests: certificates of servers and clients, written as files or given as PEM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key in PEM."""

    cert: bytes
    key: bytes


class Authority:
    """Signs whatever it is asked to."""

    def __init__(self, name: str = "tests", hours: float = 240) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key, hours).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.cert = _pem(builder.sign(self._key, hashes.SHA256()))

    def pair(
        self, name: str = "", *, uris: Sequence[str] = (), dns: Sequence[str] = (), hours: float = 24, org: str = ""
    ) -> Pair:
        """A certificate with the subject `O=org,CN=name` that is good for `hours` (negative: it has expired)."""
        parts = ((NameOID.ORGANIZATION_NAME, org), (NameOID.COMMON_NAME, name))
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self._name, key, hours)
        names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not name)
        return Pair(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))


def write(directory: Path, server: Pair, client_ca: bytes) -> dict[str, Path]:
    """`cert.pem`, `key.pem` and `ca.pem` in `directory`, by the names of the settings."""
    directory.mkdir(exist_ok=True)
    paths = {name: directory / f"{name}.pem" for name in ("cert", "key", "ca")}
    for name, content in (("cert", server.cert), ("key", server.key), ("ca", client_ca)):
        fresh = directory / f".{name}.new"
        fresh.write_bytes(content)
        fresh.rename(paths[name])
    return {"tls_cert": paths["cert"], "tls_key": paths["key"], "tls_client_ca": paths["ca"]}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, hours: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=30),
        not_valid_after=now + timedelta(hours=hours),
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
