"""The header `x-forwarded-client-cert`, by which a waypoint tells who its client is -> that client's SPIFFE id.

Strict: one element with one URI, spelled as Envoy spells it, or nobody
(https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/headers#x-forwarded-client-cert).
"""

from __future__ import annotations

import re

from authz.identity.claims import NOBODY_SAID, unverified
from authz.identity.source import IdentitySource
from authz.model import HttpRequest, Principal

HEADER = "x-forwarded-client-cert"
_LONGEST = 16 * 1024  # bytes; a certificate that came along is URL-encoded
# Quotes stand around values with `,`, `;` or `=`, and inside them `\"` for a quote. Another element begins with a
# comma: it is what an earlier hop wrote, or the client.
_PAIR = re.compile(r'(?P<key>[A-Za-z]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^",;]*))(?P<end>;|$)')
_KEYS = frozenset({"by", "hash", "cert", "chain", "subject", "uri", "dns"})
# https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md 2
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+")


def from_xfcc(source: IdentitySource, request: HttpRequest) -> Principal:
    """Who `source.callers`, and nobody else, say that their client is; its id is its SPIFFE id, which is the peer too.

    Where the header is missing, or could be read in two ways, that is nobody, and not the one who wrote it.
    """
    header = request.headers.get(HEADER, "")
    uri = spiffe_id(header) if request.caller in source.callers else ""
    if not uri:
        return unverified("")
    return Principal(id=uri, source=source.name, absent=NOBODY_SAID, peer=uri, verified=True)


def spiffe_id(header: str) -> str:
    """The one URI of the one element, "" where there is another of either or the URI is no SPIFFE id."""
    if not 0 < len(header) <= _LONGEST or header.endswith(";"):
        return ""
    uris = []
    at = 0
    while at < len(header):
        pair = _PAIR.match(header, at)
        if pair is None or pair["key"].lower() not in _KEYS:
            return ""
        if pair["key"].lower() == "uri":
            uris.append(pair["plain"] if pair["quoted"] is None else pair["quoted"])
        at = pair.end()
    return uris[0] if len(uris) == 1 and is_spiffe_id(uris[0]) else ""


def is_spiffe_id(text: str) -> bool:
    """Whether `text` is a SPIFFE id of a workload."""
    parts = text.split("/")
    return _SPIFFE.fullmatch(text) is not None and "." not in parts and ".." not in parts and len(text) <= 2048
