"""The web page: a browser's requests -> HTML. Changes nothing by GET, works without JavaScript.

Who comes in is `identify`'s, what they may decide the desk's; here is only what a person sees and sends.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from authz.app.approvals import tree, wording
from authz.app.approvals.desk import MAX_COMMENT, Desk, Filter, View, state_of
from authz.app.approvals.forgery import FORM, forged
from authz.app.approvals.identify import Door, Visitor
from authz.app.approvals.metrics import ApprovalMetrics
from authz.app.approvals.sessions import LIFE
from authz.app.approvals.throttle import Throttle
from authz.app.approvals.wording import Said
from authz.model import ApprovalRecord, ApprovalStatus
from authz.state.approvals import Refusal

ON_A_PAGE = 100  # requests in a list
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_FIELDS = 10
_MOST_QUERY = 200  # characters of a filter


class Pages:
    """All pages. `origins` are our own; `secure`: browsers reach us by https."""

    def __init__(
        self,
        desk: Desk,
        door: Door,
        throttle: Throttle,
        metrics: ApprovalMetrics,
        *,
        origins: frozenset[str],
        secure: bool,
    ) -> None:
        self._desk = desk
        self._door = door
        self._throttle = throttle
        self._metrics = metrics
        self._origins = origins
        self._secure = secure
        self._templates = Environment(
            loader=PackageLoader("authz.app.approvals"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(mark=tree.text, utc=wording.utc, iso=wording.iso, duration=wording.duration)
        self._templates.globals.update(
            status_words=wording.STATUSES, progress=wording.progress, scope=wording.scope, wanted=wording.wanted
        )

    # --------------------------------------------------------------------------------------------- what is asked

    async def pending(self, request: Request) -> Response:
        """The requests that wait."""
        return await self._list(request, View.PENDING, (View.PENDING,))

    async def history(self, request: Request) -> Response:
        """The requests of the last day that have ended."""
        views = (View.ENDED, View.GRANTED, View.DENIED, View.USED, View.EXPIRED)
        return await self._list(request, View.ENDED, views)

    async def show(self, request: Request) -> Response:
        """One request, with everything that will run."""
        visitor = self._door.visitor(request)
        if visitor is None:
            return self._enter(request)
        record = await self._desk.request(visitor.approver, request.path_params["id"])
        if record is None:
            return self.say(wording.UNKNOWN, visitor)
        return await self._request(visitor, record)

    async def approve(self, request: Request) -> Response:
        """Say yes."""
        return await self._rule(request, granted=True)

    async def deny(self, request: Request) -> Response:
        """Say no."""
        return await self._rule(request, granted=False)

    async def log_in_form(self, request: Request) -> Response:
        """The log-in page. `request` in the query is where to go afterwards: an id, never an address."""
        visitor = self._door.visitor(request)
        if visitor is not None:
            return RedirectResponse("/", 303)
        return self._log_in_page(_id(request.query_params.get("request", "")))

    async def log_in(self, request: Request) -> Response:
        """Open a session for a token."""
        wrong = forged(request, FORM, self._origins, browser=True)
        if wrong is not None:
            return self._refuse(wrong.cause, Said(wrong.status, "Refused", _sentence(wrong.text)))
        address = self._door.address(request)
        seconds = await self._throttle.wait(address)
        form = await _form(request)
        target = _id(form.get("request", ""))
        if seconds:
            self._metrics.shut_out("throttled")
            page = self._log_in_page(target, wording.throttled(seconds))
            page.headers["retry-after"] = str(int(seconds) + 1)
            return page
        found = self._door.by_token(form.get("token", "").strip())
        if found is None:
            await self._throttle.failed(address)
            self._metrics.shut_out("token")
            return self._log_in_page(target, wording.BAD_TOKEN)
        approver, named = found
        _, cookie = self._door.sessions.open(approver.id, named.token)
        answer = RedirectResponse(f"/requests/{target}" if target else "/", 303)
        answer.set_cookie(
            self._door.cookie, cookie, max_age=LIFE, path="/", secure=self._secure, httponly=True, samesite="strict"
        )
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        visitor = self._door.visitor(request)
        refused = await self._unwelcome(request, visitor)
        if isinstance(refused, Response):
            return refused
        if visitor is not None and visitor.session is not None:
            self._door.sessions.end(visitor.session)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(self._door.cookie, path="/", secure=self._secure, httponly=True, samesite="strict")
        return answer

    async def changes_nothing(self, request: Request) -> Response:
        """A GET where only a form may go: a link in a message, or what prefetches it."""
        page = self.say(wording.ONLY_POST, self._door.visitor(request))
        page.headers["allow"] = "POST"
        return page

    def say(self, said: Said, visitor: Visitor | None = None, *, back: str = "/") -> Response:
        """A page that has one thing to say."""
        return self._page("said.html", visitor, said.status, said=said, back=back, title=said.title)

    # ------------------------------------------------------------------------------------------------- how

    async def _list(self, request: Request, default: View, views: Sequence[View]) -> Response:
        visitor = self._door.visitor(request)
        if visitor is None:
            return self._enter(request)
        query = {key: value[:_MOST_QUERY] for key, value in request.query_params.items()}
        view = View(query["status"]) if query.get("status") in views else default
        narrowed = Filter(view, query.get("server", ""), query.get("tool", ""), query.get("principal", ""))
        seen = await self._desk.requests(visitor.approver)
        found = [record for record in seen if narrowed.takes(record)]
        return self._page(
            "list.html",
            visitor,
            records=found[:ON_A_PAGE],
            more=max(0, len(found) - ON_A_PAGE),
            of=len(seen),
            filter=narrowed,
            views=views,
            here="/" if default is View.PENDING else "/history",
            servers=sorted({record.request.server for record in seen} | ({narrowed.server} - {""})),
            tools=sorted({record.request.tool for record in seen} | ({narrowed.tool} - {""})),
            waiting=sum(record.status is ApprovalStatus.PENDING for record in seen),
            state=state_of(seen),
            title="Pending requests" if default is View.PENDING else "History",
        )

    async def _request(
        self, visitor: Visitor, record: ApprovalRecord, said: Said | None = None, comment: str = ""
    ) -> Response:
        arguments, rest = await asyncio.to_thread(tree.render, record.request.params, record.request.tool)
        return self._page(
            "request.html",
            visitor,
            said.status if said else 200,
            record=record,
            arguments=arguments.html,
            rest=rest.html,
            folded=arguments.folded + rest.folded,
            size=len(record.request.params.encode("utf-8", "surrogatepass")),
            obstacle=self._obstacle(visitor, record),
            said=said,
            comment=comment,
            most=MAX_COMMENT,
            state=state_of([record]),
            title=f"{record.request.tool} on {record.request.server}",
        )

    async def _rule(self, request: Request, *, granted: bool) -> Response:
        visitor = self._door.visitor(request)
        form = await self._unwelcome(request, visitor)
        if isinstance(form, Response) or visitor is None:
            return form if isinstance(form, Response) else self.say(wording.NOT_IN)
        comment = form.get("comment", "")
        id_ = request.path_params["id"]
        if len(comment.replace("\r\n", "\n")) > MAX_COMMENT:
            outcome: ApprovalRecord | Refusal | Said = wording.TOO_LONG
        else:
            origin = self._door.address(request)
            outcome = await self._desk.rule(visitor.approver, id_, granted, comment=comment, origin=origin)
        if isinstance(outcome, ApprovalRecord):
            return RedirectResponse(f"/requests/{outcome.id}", 303)
        said = wording.REFUSALS[outcome] if isinstance(outcome, Refusal) else outcome
        record = await self._desk.request(visitor.approver, id_)
        if record is None:
            return self.say(wording.UNKNOWN, visitor)
        return await self._request(visitor, record, said, comment)

    async def _unwelcome(self, request: Request, visitor: Visitor | None) -> Response | Mapping[str, str]:
        """The form of a request that may change something, or the refusal."""
        wrong = forged(request, FORM, self._origins, browser=True)
        if wrong is not None:
            return self._refuse(wrong.cause, Said(wrong.status, "Refused", _sentence(wrong.text)))
        if visitor is None:
            return self.say(wording.NOT_IN)
        form = await _form(request)
        if not self._door.sessions.is_form_token(form.get("form_token", ""), visitor.binding):
            return self._refuse("csrf", wording.FORM_TOKEN)
        return form

    def _refuse(self, cause: str, said: Said) -> Response:
        self._metrics.shut_out(cause)
        return self.say(said)

    def _obstacle(self, visitor: Visitor, record: ApprovalRecord) -> str:
        """Why this approver cannot say yes, so that they need not try; a missing comment is none."""
        ruling = self._desk.judge.judge(visitor.approver, record, True, comment="x", at=0.0, origin="")
        if isinstance(ruling, Refusal) and record.status is ApprovalStatus.PENDING:
            return wording.REFUSALS[ruling].text
        return ""

    def _enter(self, request: Request) -> Response:
        """Where somebody goes who is not logged in."""
        id_ = _id(request.path_params.get("id", ""))
        here = f"/requests/{id_}" if id_ else "/"
        # A link from elsewhere carries no strict cookie: the page asks for itself once more, which does.
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return self._page("again.html", None, here=here, title="Approvals")
        if not self._door.has_log_in:
            return self.say(wording.NOT_IN)
        return RedirectResponse("/login" + (f"?{urlencode({'request': id_})}" if id_ else ""), 303)

    def _log_in_page(self, target: str, said: Said | None = None) -> Response:
        if not self._door.has_log_in:
            return self.say(wording.NOT_IN)
        status = said.status if said else 200
        return self._page("login.html", None, status, target=target, said=said, title="Log in")

    def _page(self, template: str, visitor: Visitor | None, status: int = 200, **context: Any) -> Response:
        html = self._templates.get_template(template).render(
            visitor=visitor,
            form_token=self._door.sessions.form_token(visitor.binding) if visitor else "",
            now=self._desk.clock(),
            **context,
        )
        # A lone surrogate has been made visible where it may occur; what else comes here is text of our own.
        return HTMLResponse(html.encode("utf-8", "backslashreplace"), status)


async def _form(request: Request) -> Mapping[str, str]:
    """The fields of a form; none where it cannot be read, and the last of those that were sent twice."""
    try:
        text = (await request.body()).decode()
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}


def _id(text: str) -> str:
    return text if _ID.fullmatch(text) else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
