"""The operators' API of limits over HTTP, as a program asks it: address and token -> JSON, or what was said instead.

Knows no terminal.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from authz.app.commands.approvals_client import Refused, Unreachable
from authz.app.settings.values import Address, address

_TIMEOUT = 30.0


class Client:
    """A client of the operators' side at `url`: https:// or http://, or HOST:PORT as the setting `admin` has it.

    The token goes over https or stays on this machine, else Unreachable is raised.
    """

    def __init__(self, url: str, token: bytes = b"", *, transport: httpx2.BaseTransport | None = None) -> None:
        base = _base(url)
        host = urlsplit(base).hostname or ""
        near = Address(host).loopback
        if token and not near and not base.startswith("https:"):
            raise Unreachable(f"--admin: expected https, or this machine, where a token is sent, got {url!r}")
        self._place = base
        # Proxies and certificates of the environment are for the way out of this machine.
        self._http = httpx2.Client(
            base_url=base,
            headers={b"authorization": b"Bearer " + token} if token else {},
            timeout=_TIMEOUT,
            trust_env=not near,
            transport=transport,
        )

    def limits(self, query: Mapping[str, str]) -> dict[str, Any] | Refused:
        """`counters` and whether they are `complete`; raises Unreachable."""
        return self._ask("GET", "/api/limits", params=query)

    def reset(self, server: str, limit: str) -> dict[str, Any] | Refused:
        """Forget counters; raises Unreachable, after which nobody knows whether they were forgotten."""
        body = {"server": server, "limit": limit} if limit else {"server": server}
        return self._ask("POST", "/api/limits/reset", json=body)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any] | Refused:
        try:
            answer = self._http.request(method, path, **more)
            value = answer.json()
        except httpx2.HTTPError as error:
            raise Unreachable(f"{self._place}: cannot be asked: {error}") from error
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise Unreachable(f"{self._place}: expected the API of limits, got something else") from None
        if not isinstance(value, dict) or answer.is_redirect:
            raise Unreachable(f"{self._place}: expected the API of limits, got something else")
        if answer.is_success:
            return value
        text = str(value.get("detail", "")) or f"status {answer.status_code}"
        if answer.status_code == 401 or answer.status_code >= 500:
            raise Unreachable(f"{self._place}: {text}")
        return Refused(answer.status_code, text)


def _base(url: str) -> str:
    """Where to ask; a service that listens on every address is asked on this machine. Raises Unreachable."""
    if "://" in url:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unreachable(f"--admin: expected http://HOST:PORT, https://HOST or HOST:PORT, got {url!r}")
        return url.rstrip("/")
    try:
        found = address(url)
    except ValueError as error:
        raise Unreachable(f"--admin: {error}") from None
    if found.path:
        raise Unreachable(f"--admin: expected HOST:PORT, got {url!r}")
    return f"http://{Address(_reachable(found.host), found.port)}"


def _reachable(host: str) -> str:
    try:
        bound = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not bound.is_unspecified:
        return host
    return "127.0.0.1" if bound.version == 4 else "::1"
