"""Who may ask for a check, and about which servers: the proxies, as their certificates name them.

Nothing here is about whose call it is; that is `identities`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from authz.identity.xfcc import is_spiffe_id

_SCHEME = "spiffe://"
_ANY = "/*"
# RFC 2253 2: `CN=envoy,O=Example`, the way in which gRPC and Envoy print a subject.
_SUBJECT = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)=.+")
_SERVER = re.compile(r"[^\s,;*\"]+")


@dataclass(frozen=True, slots=True)
class AllowedCaller:
    """An entry of the list: a SPIFFE id, one that ends in `/*` for all below it, or a certificate's subject.

    `servers` are those that it may ask about, `TEAM/*` for all of a team; empty: about every server.
    """

    identity: str
    servers: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = self.identity if self.identity.startswith(_SCHEME) or not self.servers else f'"{self.identity}"'
        return f"{shown}={','.join(self.servers)}" if self.servers else shown

    def is_of(self, caller: str) -> bool:
        """Whether `caller` is meant."""
        return _covers(self.identity, caller)

    def may_ask(self, server: str) -> bool:
        """Whether `server` is one of those that the entry is for."""
        return not self.servers or any(_covers(one, server) for one in self.servers)


def _covers(entry: str, name: str) -> bool:
    return name.startswith(entry[:-1]) and name != entry[:-1] if entry.endswith(_ANY) else name == entry


def parse_caller(text: str) -> AllowedCaller:
    """`spiffe://TD/PATH`, `spiffe://TD/PATH/*` or `CN=…,O=…`, with `=SERVER,SERVER` after it; a subject that has
    servers stands in quotes, for it has `=` and `,` of its own. Raises ValueError.
    """
    if text.startswith('"'):
        identity, quote, rest = text[1:].rpartition('"')
        if not quote or (rest and not rest.startswith("=")):
            raise ValueError(f'expected "SUBJECT"=SERVER,…, got {text!r}')
        separator, listed = rest[:1], rest[1:]
    elif text.startswith(_SCHEME):
        identity, separator, listed = text.partition("=")
    else:
        identity, separator, listed = text, "", ""
    known = is_spiffe_id(identity.removesuffix(_ANY)) if identity.startswith(_SCHEME) else _is_subject(identity)
    if not known:
        raise ValueError(f"expected a SPIFFE id, one that ends in /*, or a subject such as CN=envoy, got {identity!r}")
    servers = tuple(part.strip() for part in listed.split(",")) if separator else ()
    for server in servers:
        if not _SERVER.fullmatch(server.removesuffix(_ANY)):
            raise ValueError(f"expected the name of a server, or TEAM/*, got {server!r}")
    return AllowedCaller(identity, servers)


def is_certified(caller: str) -> bool:
    """Whether `caller` is the name in a certificate, and no address and no unix socket."""
    return "=" in caller or caller.startswith(_SCHEME)


def _is_subject(text: str) -> bool:
    return text.isprintable() and _SUBJECT.fullmatch(text) is not None


class Callers:
    """All that are listed. Without a list whoever can connect may ask about every server."""

    def __init__(self, listed: Iterable[AllowedCaller] = ()) -> None:
        self._listed = tuple(listed)
        self.bound = any(one.servers for one in self._listed)  # else there is nothing to ask for each call

    def knows(self, caller: str) -> bool:
        """Whether `caller` may ask at all."""
        return not self._listed or any(one.is_of(caller) for one in self._listed)

    def may_ask(self, caller: str, server: str) -> bool:
        """Whether `caller` may ask about `server`. Of whoever has no certificate the socket's permissions judge."""
        if not self.bound or not is_certified(caller):
            return True
        return any(one.is_of(caller) and one.may_ask(server) for one in self._listed)
