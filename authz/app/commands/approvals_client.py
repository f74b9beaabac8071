"""The approvals API over HTTP, as a program asks it: a token and an address -> JSON, or what the service said instead.

Knows no terminal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from authz.app.settings.values import Address
from authz.errors import AuthzError

_TIMEOUT = 30.0


class Unreachable(AuthzError):  # noqa: N818 - named for what it is about
    """The service could not be asked, or did not take the token."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The service said no: its status and its sentence. `cause` is its stable word, "" where there is none."""

    status: int
    text: str
    cause: str = ""


class Client:
    """One approver's client of the service at `url`: https, http to this machine, or `unix:PATH`."""

    def __init__(self, url: str, token: str, *, transport: httpx2.BaseTransport | None = None) -> None:
        parts = urlsplit(url)
        near = parts.scheme == "unix" or Address(parts.hostname or "").loopback
        if parts.scheme not in ("https", "http", "unix") or (parts.scheme == "http" and not near):
            raise Unreachable(f"--url: expected https://HOST, http:// to this machine or unix:PATH, got {url!r}")
        base = "http://localhost" if parts.scheme == "unix" else url.rstrip("/")
        if transport is None and parts.scheme == "unix":
            transport = httpx2.HTTPTransport(uds=url.removeprefix("unix:"))
        self._place = url
        # Proxies and certificates of the environment are for the way out of this machine.
        self._http = httpx2.Client(
            base_url=f"{base}/api/v1",
            headers={"authorization": f"Bearer {token}"},
            timeout=_TIMEOUT,
            trust_env=not near,
            transport=transport,
        )

    def requests(self, query: Mapping[str, str]) -> list[dict[str, Any]] | Refused:
        """The requests that match; raises Unreachable."""
        found = self._ask("GET", "/requests", params=query)
        return found if isinstance(found, Refused) else list(found["requests"])

    def request(self, id_: str) -> dict[str, Any] | Refused:
        """One request with everything; raises Unreachable."""
        return self._ask("GET", f"/requests/{quote(id_, safe='')}")

    def rule(self, id_: str, *, granted: bool, comment: str) -> dict[str, Any] | Refused:
        """Decide; raises Unreachable, after which nobody knows whether it was taken."""
        verb = "approve" if granted else "deny"
        body = {"comment": comment} if comment else {}
        return self._ask("POST", f"/requests/{quote(id_, safe='')}/{verb}", json=body)

    def __enter__(self) -> Client:
        """For `with`, which lets go of the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any] | Refused:
        try:
            answer = self._http.request(method, path, **more)
            value = answer.json() if answer.content else {}
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self._place}: cannot be asked: {error}") from error
        except json.JSONDecodeError:
            raise Unreachable(f"{self._place}: expected the approvals API, got something else") from None
        if not isinstance(value, dict) or answer.is_redirect:
            raise Unreachable(f"{self._place}: expected the approvals API, got something else")
        if answer.is_success:
            return value
        text = str(value.get("detail", "")) or f"status {answer.status_code}"
        if answer.status_code in (401, 429) or answer.status_code >= 500:
            raise Unreachable(f"{self._place}: {text}")
        return Refused(answer.status_code, text, str(value.get("cause", "")))
