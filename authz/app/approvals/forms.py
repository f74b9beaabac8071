"""A browser's POST -> the fields of a form that our own page sent for this visitor, or the refusal."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from authz.app.approvals import wording
from authz.app.approvals.forgery import FORM, forged
from authz.app.approvals.identify import Visitor
from authz.app.approvals.metrics import ApprovalMetrics
from authz.app.approvals.rendering import Rendering
from authz.app.approvals.sessions import Sessions
from authz.app.approvals.wording import Said

_MOST_FIELDS = 10


class Forms:
    """Reads forms. `origins` are our own; what is refused is counted."""

    def __init__(
        self, sessions: Sessions, rendering: Rendering, metrics: ApprovalMetrics, origins: frozenset[str]
    ) -> None:
        self._sessions = sessions
        self._rendering = rendering
        self._metrics = metrics
        self._origins = origins

    async def read(self, request: Request) -> Mapping[str, str] | Response:
        """The fields of a form that anybody may send from our own page (the log-in)."""
        wrong = forged(request, FORM, self._origins, browser=True)
        if wrong is not None:
            text = f"{wrong.text[0].upper()}{wrong.text[1:]}."
            return self._refuse(wrong.cause, Said(wrong.status, "Refused", text))
        try:
            text = (await request.body()).decode()
            # Of a field that was sent twice the last counts.
            return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS))
        except ValueError:
            return {}

    async def read_of(self, request: Request, visitor: Visitor) -> Mapping[str, str] | Response:
        """The fields of a form that has this visitor's token."""
        form = await self.read(request)
        if isinstance(form, Response) or self._sessions.is_form_token(form.get("form_token", ""), visitor.binding):
            return form
        return self._refuse("csrf", wording.FORM_TOKEN)

    def _refuse(self, cause: str, said: Said) -> Response:
        self._metrics.shut_out(cause)
        return self._rendering.say(said)
