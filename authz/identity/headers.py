"""Headers that the proxy sets and strips -> principal."""

from __future__ import annotations

from authz.identity.claims import absent, unverified
from authz.identity.source import IdentitySource
from authz.model import HttpRequest, Principal


def from_headers(source: IdentitySource, request: HttpRequest) -> Principal:
    """Who the headers that `source` names say that it is."""
    id_ = request.headers.get(source.id, "")
    # A comma in the id means that the header came twice (the proxy joins lines): somebody else's is among them.
    if not id_ or "," in id_ or not id_.isprintable():
        return unverified(request.peer)
    groups = request.headers.get(source.groups) if source.groups else None
    client_id = request.headers.get(source.client_id) if source.client_id else None
    scopes = request.headers.get(source.scopes) if source.scopes else None
    return Principal(
        id=id_,
        issuer=source.issuer,
        source=source.name,
        client_id=client_id or "",
        groups=frozenset(part.strip() for part in (groups or "").split(",") if part.strip()),
        scopes=frozenset((scopes or "").replace(",", " ").split()),
        absent=absent(source, groups, client_id, scopes),
        peer=request.peer,
        verified=True,
    )
