"""Coming and going: the log-in page, a token -> a session's cookie, and its end. Every target is a path of our own."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from authz.app.approvals import wording
from authz.app.approvals.forms import Forms
from authz.app.approvals.identify import Door
from authz.app.approvals.metrics import ApprovalMetrics
from authz.app.approvals.rendering import Rendering
from authz.app.approvals.sessions import KNOWN, LIFE
from authz.app.approvals.throttle import Throttle
from authz.app.approvals.wording import Said

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class LogIn:
    """The way in and out. `secure`: browsers reach us by https."""

    def __init__(
        self,
        door: Door,
        throttle: Throttle,
        metrics: ApprovalMetrics,
        forms: Forms,
        rendering: Rendering,
        *,
        secure: bool,
    ) -> None:
        self._door = door
        self._throttle = throttle
        self._metrics = metrics
        self._forms = forms
        self._rendering = rendering
        self._secure = secure

    def enter(self, request: Request) -> Response:
        """Where somebody goes who asked for a page and is not logged in."""
        id_ = _id(request.path_params.get("id", ""))
        here = f"/requests/{id_}" if id_ else "/"
        # A link from elsewhere carries no strict cookie: the page asks for itself once more, which does.
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return self._rendering.page("again.html", None, here=here, title="Approvals")
        if not self._door.has_log_in:
            return self._rendering.say(wording.NOT_IN)
        return RedirectResponse("/login" + (f"?{urlencode({'request': id_})}" if id_ else ""), 303)

    async def page(self, request: Request) -> Response:
        """The log-in page. `request` in the query is where to go afterwards: an id, never an address."""
        if self._door.visitor(request) is not None:
            return RedirectResponse("/", 303)
        return self._page(_id(request.query_params.get("request", "")))

    async def log_in(self, request: Request) -> Response:
        """Open a session for a token."""
        form = await self._forms.read(request)
        if isinstance(form, Response):
            return form
        address = self._door.address(request)
        browser = self._door.browser(request)
        seconds = await self._throttle.wait(address, browser)
        target = _id(form.get("request", ""))
        if seconds:
            self._metrics.shut_out("throttled")
            page = self._page(target, wording.throttled(seconds))
            page.headers["retry-after"] = str(int(seconds) + 1)
            return page
        found = self._door.by_token(form.get("token", "").strip())
        if found is None:
            await self._throttle.failed(address, browser)
            self._metrics.shut_out("token")
            return self._page(target, wording.BAD_TOKEN)
        approver, named = found
        session, cookie = self._door.sessions.open(approver.id, named.token)
        answer = RedirectResponse(f"/requests/{target}" if target else "/", 303)
        self._set(answer, self._door.cookie, cookie, LIFE)
        self._set(answer, self._door.browser_cookie, self._door.sessions.remember(session), KNOWN)
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        visitor = self._door.visitor(request)
        form = await (self._forms.read_of(request, visitor) if visitor else self._forms.read(request))
        if isinstance(form, Response):
            return form
        if visitor is not None and visitor.session is not None:
            self._door.sessions.end(visitor.session)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(self._door.cookie, path="/", secure=self._secure, httponly=True, samesite="strict")
        return answer

    def _set(self, answer: Response, name: str, value: str, age: int) -> None:
        answer.set_cookie(name, value, max_age=age, path="/", secure=self._secure, httponly=True, samesite="strict")

    def _page(self, target: str, said: Said | None = None) -> Response:
        if not self._door.has_log_in:
            return self._rendering.say(wording.NOT_IN)
        status = said.status if said else 200
        return self._rendering.page("login.html", None, status, target=target, said=said, title="Log in")


def _id(text: str) -> str:
    return text if _ID.fullmatch(text) else ""
