"""A request that would change something -> why it is refused, where another site or a stranger's form may have sent it.

Three independent proofs: where a browser says it comes from, a media type, and (for pages) a token of our own.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
# What any page may send anywhere without asking (Fetch, "CORS-safelisted request-header"), and nothing at all.
_SAFELISTED = frozenset((FORM, "multipart/form-data", "text/plain", ""))


@dataclass(frozen=True, slots=True)
class Forged:
    """Why a request is refused: 403, or 415 where it is only the wrong media type."""

    status: int
    cause: str
    text: str


def forged(request: Request, media: str, origins: frozenset[str], *, browser: bool) -> Forged | None:
    """What is wrong with a POST that should have the type `media` and come from one of `origins`.

    `browser`: it is sent by a page, so that the browser says the origin; a program says none.
    """
    types = request.headers.getlist("content-type")
    given = types[0].partition(";")[0].strip().lower() if types else ""
    if len(types) > 1 or given != media:
        status = 403 if given in _SAFELISTED or len(types) > 1 else 415
        return Forged(status, "content_type", f"expected the content type {media}")
    sites = request.headers.getlist("sec-fetch-site")
    if sites not in ([], ["same-origin"]):
        return Forged(403, "cross_site", "expected a request from the page itself, got one from another site")
    given_origins = request.headers.getlist("origin")
    if not given_origins and not browser:
        return None
    if len(given_origins) != 1 or given_origins[0].lower() not in origins:
        return Forged(403, "origin", "expected the origin of the page itself, got another or none")
    return None
