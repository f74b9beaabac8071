"""How gRPC names a peer -> who asks, as the rest of the service knows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from authz.identity.xfcc import is_spiffe_id

UNIX = "unix"
NOBODY = ""  # a peer that TLS has no name for

# https://github.com/grpc/grpc/blob/master/include/grpc/grpc_security_constants.h
_TYPE, _VERSION = "transport_security_type", "ssl_tls_version"
_SPIFFE_ID, _URI, _SUBJECT = "peer_spiffe_id", "peer_uri", "x509_subject"


def caller_of(peer: str) -> str:
    """A peer such as `ipv6:%5B::1%5D:50000` or `unix:1` -> its address without the port, or `unix`."""
    family, _, place = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return UNIX if family == "unix" else peer
    return unquote(place).rpartition(":")[0].strip("[]")


def certified(properties: Mapping[str, Iterable[bytes]], versions: Iterable[str]) -> str:
    """The SPIFFE id of a verified certificate, else its subject; `NOBODY` where TLS was not of one of `versions`.

    Of a certificate with several URIs none is a SPIFFE id (X509-SVID 2), and it has no other name either.
    """
    if _one(properties, _TYPE) != "ssl" or _one(properties, _VERSION) not in versions:
        return NOBODY
    identity = _one(properties, _SPIFFE_ID)
    if identity:
        return identity if is_spiffe_id(identity) else NOBODY
    if any(uri.lower().startswith(b"spiffe:") for uri in properties.get(_URI, ())):
        return NOBODY
    subject = _one(properties, _SUBJECT)
    return subject if "=" in subject else NOBODY


def _one(properties: Mapping[str, Iterable[bytes]], name: str) -> str:
    """The only value of a property, "" if there is none or another beside it."""
    values = tuple(properties.get(name, ()))
    if len(values) != 1:
        return ""
    try:
        return values[0].decode()
    except UnicodeDecodeError:
        return ""
