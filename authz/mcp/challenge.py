"""Why a token does not do -> `WWW-Authenticate` as OAuth has it, and where its metadata is (RFC 6750, 3; RFC 9728).

It decides nothing. An MCP client finds its authorization server by it (2026-07-28, basic/authorization).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
_URI: Final = "/:?&=@!$'()*+,;~%[]"  # as they stand; a quotation mark would end the value


@dataclass(frozen=True, slots=True)
class Challenge:
    """The header's `value` and the `status` that it comes with.

    Messages that want no answer get it too where `always` is set: then their client has something to do.
    """

    status: int
    value: str
    always: bool = False


def metadata_path(resource: str) -> str:
    """Where the metadata of `resource`, an absolute URI, is on its host: `/.well-known/…` before its path."""
    parts = urlsplit(resource)
    path = quote("" if parts.path == "/" else parts.path, safe=_URI)
    return WELL_KNOWN + path + (f"?{quote(parts.query, safe=_URI)}" if parts.query else "")


def metadata_url(resource: str) -> str:
    """The URL of the metadata of `resource` (RFC 9728, 3.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{metadata_path(resource)}"


def unauthenticated(resource: str, scopes: Sequence[str] = (), refused: str = "") -> Challenge:
    """401: a token for `resource` is needed, with `scopes`. `refused` says why the one that came does not count."""
    error = {"error": "invalid_token", "error_description": refused} if refused else {}
    return Challenge(401, _bearer(error, resource, scopes), always=True)


def insufficient(resource: str, scopes: Sequence[str]) -> Challenge:
    """403: the token is good, and would have to hold `scopes` too."""
    error = {"error": "insufficient_scope", "error_description": "the token does not hold the scopes that this needs"}
    return Challenge(403, _bearer(error, resource, scopes))


def _bearer(error: dict[str, str], resource: str, scopes: Sequence[str]) -> str:
    scope = {"scope": " ".join(scopes)} if scopes else {}
    parameters = {**error, **scope, "resource_metadata": metadata_url(resource)}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
