"""Counters of a store over HTTP: `GET /api/limits` shows them, `POST /api/limits/reset` forgets them.

To look takes no token, as on every other page here; to reset takes the one of the setting `admin_token`, and what is
no operator's program is told so before its body is read. Mistakes are problems as of RFC 9457.
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias
from urllib.parse import parse_qsl

from authz.app.admin.exchange import Answer, BodyRefused, Request
from authz.app.admin.token import SETTING, Token
from authz.app.admin.usage import describe
from authz.errors import StoreError
from authz.state.store import Usage

_log = logging.getLogger("mcp_authz.admin")

MOST = 1_000  # counters in one answer
MAX_BODY = 4 * 1024  # bytes: two names, each at most as long as a policy's keys are
JSON = "application/json"
PROBLEM = "application/problem+json"

# Runs in the thread of what takes long.
Thread: TypeAlias = Callable[[Callable[[], bytes]], Awaitable[bytes]]


class Counters(Protocol):
    """What is needed of a store; both raise StoreError."""

    async def usage(self, most: int = ..., *, server: str = ..., limit: str = ...) -> Sequence[Usage]: ...
    async def reset(self, server: str, limit: str = ...) -> int: ...


class Limits:
    """Both pages. Without a token nothing is reset. Never raises but for mistakes of its own."""

    def __init__(self, counters: Counters, token: Token | None = None) -> None:
        self._counters = counters
        self._token = token or Token()

    async def show(self, request: Request, in_thread: Thread) -> Answer:
        """The counters in use, of one `server` and `limit` where the query says so, `most` of them.

        `complete` is false where there are more than that.
        """
        refused = _foreign(request) or self._rebound(request)
        if refused:
            return refused
        try:
            wanted, most = _query(request.query)
        except ValueError as error:
            return problem(400, "Unreadable", str(error))
        try:
            found = await self._counters.usage(most + 1, **wanted)
        except StoreError as error:
            return _unavailable(error)

        def render() -> bytes:
            answer = {"counters": [describe(one) for one in found[:most]], "complete": len(found) <= most}
            return json.dumps(answer, indent=2).encode() + b"\n"

        return Answer(200, await in_thread(render), JSON)

    async def reset(self, request: Request) -> Answer:
        """Forget the counters of `{"server": …, "limit": …}`; without `limit`, of all the server's limits."""
        refused = _foreign(request) or self._unknown(request)
        if refused:
            return refused
        types = request.header("content-type")
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() != JSON:
            return problem(415, "Unreadable", f"expected the content type {JSON}")
        try:
            server, limit = _target(await request.read(MAX_BODY))
        except BodyRefused as error:
            return problem(error.status, "Unreadable", str(error))
        except ValueError as error:
            return problem(400, "Unreadable", str(error))
        try:
            forgotten = await self._counters.reset(server, limit)
        except StoreError as error:
            return _unavailable(error)
        _log.info("admin: limits of %r reset (%s): %d counters", server, repr(limit) if limit else "all", forgotten)
        answer = {"server": server, "limit": limit, "forgotten": forgotten}
        return Answer(200, json.dumps(answer).encode() + b"\n", JSON)

    def _unknown(self, request: Request) -> Answer | None:
        if not self._token.given:
            text = f"expected the setting {SETTING} (file:PATH or env:NAME): without it nothing can be reset"
            return problem(403, "Refused", text)
        if not self._token.fits(request):
            _log.warning("admin: limits not reset: a request without the token of %s", SETTING)
            text = f"expected the bearer token of the setting {SETTING}"
            return problem(401, "Not authenticated", text, (("WWW-Authenticate", 'Bearer realm="admin"'),))
        return None

    def _rebound(self, request: Request) -> Answer | None:
        """A page whose own name was made to point here (DNS rebinding) asks by that name and may read the answer."""
        hosts = request.header("host")
        if (len(hosts) == 1 and _is_address(hosts[0])) or self._token.fits(request):
            return None
        return problem(403, "Refused", f"expected an IP address or localhost as Host, or the token of {SETTING}")


def problem(status: int, title: str, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A mistake as RFC 9457 has it."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": text}
    return Answer(status, json.dumps(body).encode() + b"\n", PROBLEM, headers)


def _unavailable(error: StoreError) -> Answer:
    return problem(503, "Store unavailable", str(error) or "the store did not answer")


def _foreign(request: Request) -> Answer | None:
    """No web page has business here; a browser's own address line says `none`."""
    sites = request.header("sec-fetch-site")
    if request.header("origin") or sites not in ([], ["none"]):
        return problem(403, "Refused", "expected a program or an address line, got a web page")
    return None


def _is_address(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    if name.lower() == "localhost":
        return True
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def _query(query: str) -> tuple[dict[str, str], int]:
    """What is wanted by name, and how many; raises ValueError."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=3)
    except ValueError:  # a UnicodeDecodeError too
        raise ValueError("expected a query such as server=NAME&limit=NAME&most=100") from None
    given = dict(pairs)
    unknown = sorted(set(given) - {"server", "limit", "most"})
    if unknown or len(given) < len(pairs):
        raise ValueError("expected server, limit and most in the query, each at most once")
    most = given.pop("most", str(MOST))
    if not (most.isascii() and most.isdigit() and 1 <= int(most[:5]) <= MOST):
        raise ValueError(f"most: expected a whole number from 1 to {MOST}")
    return given, int(most[:5])


def _target(body: bytes) -> tuple[str, str]:
    """Server and limit of a reset; raises ValueError."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError('expected JSON such as {"server": "NAME", "limit": "NAME"}') from None
    if not isinstance(value, dict) or set(value) - {"server", "limit"}:
        raise ValueError("expected an object with server, and limit where only one is meant")
    server, limit = value.get("server"), value.get("limit", "")
    if not isinstance(server, str) or not server:
        raise ValueError("server: expected the name of a server")
    if not isinstance(limit, str) or ("limit" in value and not limit):
        raise ValueError("limit: expected the name of a limit, or no such member for all of the server's")
    return server, limit
