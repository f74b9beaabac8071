"""What a TLS listener is made of, and where it is kept. Knows no library, so that it costs nothing without TLS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Files:
    """Where the certificate chain (leaf first), its key and the certificates of the clients' authority are, in PEM."""

    cert: Path
    key: Path
    client_ca: Path


@dataclass(frozen=True, slots=True)
class Material:
    """What the files held together. `expiries` are by setting, in epoch seconds: of the chain the first certificate
    to expire, of the authority's the last, for until then it can vouch for somebody.
    """

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes
    expiries: Mapping[str, float] = field(compare=False)
