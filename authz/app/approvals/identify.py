"""A request to the approvals listener -> the approver who sent it, from a session, a bearer token or a proxy's word.

Knows nothing of what they may decide.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from authz.app.approvals.options import SECRET_HEADER, ProxyHeaders
from authz.app.approvals.roster import Named, Roster
from authz.app.approvals.sessions import Session, Sessions, fingerprint
from authz.model import Approver

_MOST_HEADER = 8192
_MOST_GROUPS = 500


@dataclass(frozen=True, slots=True)
class Visitor:
    """An approver who came. Their form tokens are bound to `binding`; `session` is None where there is none."""

    approver: Approver
    binding: str
    session: Session | None = None


class Door:
    """Who comes in, by what is configured: named approvers, a proxy's headers, or (`everybody`) anybody."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        roster: Roster | None = None,
        proxy: ProxyHeaders | None = None,
        everybody: Approver | None = None,
        cookie: str,
    ) -> None:
        self.sessions = sessions
        self.cookie = cookie
        self._roster = roster
        self._proxy = proxy
        self._everybody = everybody

    @property
    def has_log_in(self) -> bool:
        """Whether there are tokens to log in with."""
        return self._roster is not None

    def visitor(self, request: HTTPConnection) -> Visitor | None:
        """Who asks for a page: by session where there is one, else as the proxy says."""
        if self._roster is not None:
            session = self.sessions.read(request.cookies.get(self.cookie, ""))
            named = self._holder(session)
            if session and named:
                return Visitor(self._roster.approver(named), session.id, session)
        if self._proxy is not None:
            approver = self._proxied(request, self._proxy)
            if approver is not None:
                return Visitor(approver, f"proxy {approver.id}")
        return Visitor(self._everybody, "everybody") if self._everybody else None

    @property
    def browser_cookie(self) -> str:
        """The name of the cookie by which a browser is known that has logged in before."""
        return f"{self.cookie}-browser"

    def browser(self, request: HTTPConnection) -> str:
        """The session in which this browser has logged in before with a token that still counts, "" where none."""
        session = self.sessions.recall(request.cookies.get(self.browser_cookie, ""))
        return session.id if session and self._holder(session) else ""

    def by_token(self, token: str) -> tuple[Approver, Named] | None:
        """Whose token this is."""
        named = self._roster.by_token(token) if self._roster is not None else None
        return (self._roster.approver(named), named) if self._roster is not None and named else None

    def bearer(self, request: HTTPConnection) -> Approver | None:
        """Who asks the API. Only by a token: a browser adds a session or a proxy's word to requests of other sites."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return self._everybody
        found = self.by_token(token.strip())
        return found[0] if found else None

    def address(self, request: HTTPConnection) -> str:
        """The address the request came from: the connection's, or what a proxy that proved itself appended last."""
        peer = request.client.host if request.client else ""
        if self._proxy is None or not self._vouches(request, self._proxy):
            return peer
        last = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        try:
            return str(ipaddress.ip_address(last))
        except ValueError:
            return peer

    def _holder(self, session: Session | None) -> Named | None:
        """Whose session it is; None for a removed approver and for one with another token now."""
        named = self._roster.by_name(session.name) if session and self._roster is not None else None
        return named if session and named and hmac.compare_digest(session.token, fingerprint(named.token)) else None

    def _proxied(self, request: HTTPConnection, proxy: ProxyHeaders) -> Approver | None:
        if not self._vouches(request, proxy):
            return None
        user = _single(request, proxy.user)
        if not user:
            return None
        groups = ",".join(request.headers.getlist(proxy.groups)) if proxy.groups else ""
        names = frozenset(name for part in groups.split(",")[:_MOST_GROUPS] if (name := part.strip()))
        by_id = user if proxy.claim_is_id else ""
        return Approver(user, names, _single(request, proxy.claim) if proxy.claim else by_id)

    def _vouches(self, request: HTTPConnection, proxy: ProxyHeaders) -> bool:
        """Whether it is the proxy that speaks: it has the secret, or (without one) came by the unix socket."""
        if not proxy.secret:
            return True
        given = request.headers.getlist(SECRET_HEADER)
        return len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1", "replace"), proxy.secret)


def _single(request: HTTPConnection, header: str) -> str:
    """The one value of a header; "" where it is missing, sent twice or unreadable."""
    values = request.headers.getlist(header)
    if len(values) != 1 or len(values[0]) > _MOST_HEADER:
        return ""
    try:
        text = values[0].strip().encode("latin-1").decode()  # names beyond ASCII come as UTF-8
    except UnicodeError:
        return ""
    return text if text.isprintable() else ""
