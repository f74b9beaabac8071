"""The web page: a browser's requests -> HTML. Changes nothing by GET, works without JavaScript.

Who comes in is `identify`'s, what they may decide the desk's; here is only what a person sees and sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from authz.app.approvals import tree, wording
from authz.app.approvals.desk import MAX_COMMENT, Desk, Filter, View, state_of
from authz.app.approvals.forms import Forms
from authz.app.approvals.identify import Door, Visitor
from authz.app.approvals.log_in import LogIn
from authz.app.approvals.rendering import Rendering
from authz.app.approvals.wording import Said
from authz.model import ApprovalRecord, ApprovalStatus
from authz.state.approvals import Refusal

ON_A_PAGE = 100  # requests in a list
_MOST_QUERY = 200  # characters of a filter


class Pages:
    """The lists and the requests."""

    def __init__(self, desk: Desk, door: Door, forms: Forms, log_in: LogIn, rendering: Rendering) -> None:
        self._desk = desk
        self._door = door
        self._forms = forms
        self._log_in = log_in
        self._rendering = rendering

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
            return self._log_in.enter(request)
        record = await self._desk.request(visitor.approver, request.path_params["id"])
        if record is None:
            return self._rendering.say(wording.UNKNOWN, visitor)
        return await self._request(visitor, record)

    async def approve(self, request: Request) -> Response:
        """Say yes."""
        return await self._rule(request, granted=True)

    async def deny(self, request: Request) -> Response:
        """Say no."""
        return await self._rule(request, granted=False)

    async def changes_nothing(self, request: Request) -> Response:
        """A GET where only a form may go: a link in a message, or what prefetches it."""
        page = self._rendering.say(wording.ONLY_POST, self._door.visitor(request))
        page.headers["allow"] = "POST"
        return page

    # ------------------------------------------------------------------------------------------------- how

    async def _list(self, request: Request, default: View, views: Sequence[View]) -> Response:
        visitor = self._door.visitor(request)
        if visitor is None:
            return self._log_in.enter(request)
        query = {key: value[:_MOST_QUERY] for key, value in request.query_params.items()}
        view = View(query["status"]) if query.get("status") in views else default
        narrowed = Filter(view, query.get("server", ""), query.get("tool", ""), query.get("principal", ""))
        seen = await self._desk.requests(visitor.approver)
        found = [record for record in seen if narrowed.takes(record)]
        if view is not View.PENDING and len(found) < ON_A_PAGE:  # older ones may be hidden by the newest of others
            found = await self._desk.search(visitor.approver, narrowed, ON_A_PAGE)
        return self._rendering.page(
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
        return self._rendering.page(
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
        form = await (self._forms.read_of(request, visitor) if visitor else self._forms.read(request))
        if isinstance(form, Response):
            return form
        if visitor is None:
            return self._rendering.say(wording.NOT_IN)
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
            return self._rendering.say(wording.UNKNOWN, visitor)
        return await self._request(visitor, record, said, comment)

    def _obstacle(self, visitor: Visitor, record: ApprovalRecord) -> str:
        """Why this approver cannot say yes, so that they need not try; a missing comment is none."""
        ruling = self._desk.judge.judge(visitor.approver, record, True, comment="x", at=0.0, origin="")
        if isinstance(ruling, Refusal) and record.status is ApprovalStatus.PENDING:
            return wording.REFUSALS[ruling].text
        return ""
