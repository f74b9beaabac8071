"""The HTTP API under /api/v1: a program's requests with an approver's token -> JSON, mistakes as RFC 9457 problems.

The same desk as the page's; `openapi.json` beside this file describes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from authz import __version__
from authz.app.approvals import wording
from authz.app.approvals.desk import MAX_COMMENT, Desk, Filter, View
from authz.app.approvals.forgery import JSON, forged
from authz.app.approvals.identify import Door
from authz.app.approvals.metrics import ApprovalMetrics
from authz.app.approvals.throttle import Throttle
from authz.app.approvals.wording import Said
from authz.model import ApprovalRecord, Approver
from authz.state.approvals import Refusal

PROBLEM = "application/problem+json"
_MOST = 500
_FILTERS = ("status", "server", "tool", "principal", "limit")
_UNAUTHENTICATED = {"www-authenticate": 'Bearer realm="approvals"'}


class Api:
    """All of /api/v1. `origins` are our own: a browser may be the client, another site's page may not."""

    def __init__(
        self, desk: Desk, door: Door, throttle: Throttle, metrics: ApprovalMetrics, *, origins: frozenset[str]
    ) -> None:
        self._desk = desk
        self._door = door
        self._throttle = throttle
        self._metrics = metrics
        self._origins = origins
        document = json.loads(files("authz.app.approvals").joinpath("openapi.json").read_text())
        document["info"]["version"] = __version__
        self._description = json.dumps(document).encode()

    async def description(self, request: Request) -> Response:
        """The OpenAPI document; there is nothing secret in it."""
        return Response(self._description, media_type=JSON)

    async def requests(self, request: Request) -> Response:
        """The requests that the approver may see, the newest first."""
        approver = await self._approver(request)
        if isinstance(approver, Response):
            return approver
        query = request.query_params
        unknown = [key for key in query if key not in _FILTERS]
        limit = query.get("limit", "100")
        if unknown or query.get("status", "pending") not in tuple(View) or not limit.isascii() or not limit.isdigit():
            return problem(Said(400, "Unreadable", f"Expected a status of {', '.join(View)} and a number as limit."))
        narrowed = Filter(
            View(query.get("status", "pending")),
            query.get("server", ""),
            query.get("tool", ""),
            query.get("principal", ""),
        )
        found = await self._desk.search(approver, narrowed, min(int(limit[:6]), _MOST))
        return _json({"requests": [brief(record) for record in found]})

    async def show(self, request: Request) -> Response:
        """One request with everything that will run."""
        approver = await self._approver(request)
        if isinstance(approver, Response):
            return approver
        record = await self._desk.request(approver, request.path_params["id"])
        return problem(wording.UNKNOWN) if record is None else _json(full(record))

    async def approve(self, request: Request) -> Response:
        """Say yes."""
        return await self._rule(request, granted=True)

    async def deny(self, request: Request) -> Response:
        """Say no."""
        return await self._rule(request, granted=False)

    async def _rule(self, request: Request, *, granted: bool) -> Response:
        wrong = forged(request, JSON, self._origins, browser=False)
        if wrong is not None:
            self._metrics.shut_out(wrong.cause)
            return problem(Said(wrong.status, "Refused", wrong.text))
        approver = await self._approver(request)
        if isinstance(approver, Response):
            return approver
        try:
            comment = _comment(await request.body())
        except ValueError as error:
            return problem(Said(400, "Unreadable", str(error)))
        if len(comment) > MAX_COMMENT:
            return problem(wording.TOO_LONG)
        id_, origin = request.path_params["id"], self._door.address(request)
        outcome = await self._desk.rule(approver, id_, granted, comment=comment, origin=origin)
        if isinstance(outcome, Refusal):
            return problem(wording.REFUSALS[outcome], outcome.value)
        return _json(full(outcome))

    async def _approver(self, request: Request) -> Approver | Response:
        address = self._door.address(request)
        approver = self._door.bearer(request)
        if approver is not None:
            return approver
        seconds = await self._throttle.wait(address)
        if seconds:
            self._metrics.shut_out("throttled")
            answer = problem(wording.throttled(seconds))
            answer.headers["retry-after"] = str(int(seconds) + 1)
            return answer
        if "authorization" in request.headers:
            await self._throttle.failed(address)
            self._metrics.shut_out("token")
        answer = problem(Said(401, "Not logged in", "Expected the bearer token of an approver."))
        answer.headers.update(_UNAUTHENTICATED)
        return answer


def problem(said: Said, cause: str = "") -> Response:
    """A mistake as RFC 9457 has it; `cause` is a stable word for programs."""
    body = {"type": "about:blank", "title": said.title, "status": said.status, "detail": said.text}
    if cause:
        body["cause"] = cause
    return Response(json.dumps(body), said.status, media_type=PROBLEM)


def brief(record: ApprovalRecord) -> Mapping[str, Any]:
    """A request as a list has it."""
    asked = record.request
    return {
        "id": record.id,
        "status": record.status.value,
        "server": asked.server,
        "tool": asked.tool,
        "principal": asked.principal,
        "anonymous": asked.anonymous,
        "categories": list(asked.categories),
        "risk": asked.risk,
        "rule": asked.rule,
        "reason": asked.reason,
        "requested_at": wording.iso(record.requested_at),
        "expires_at": wording.iso(record.expires_at),
        "digest": asked.digest.hex(),
    }


def full(record: ApprovalRecord) -> Mapping[str, Any]:
    """A request with everything. `params` is the canonical JSON text itself: numbers in it are exact."""
    asked = record.request
    return {
        **brief(record),
        "params": asked.params,
        "approvers": [list(entry) for entry in asked.by],
        "uses": asked.uses,
        "used": record.used,
        "remember": asked.remember,
        "reason_required": asked.reason_required,
        "rulings": [
            {
                "approver": one.approver,
                "verdict": "granted" if one.granted else "denied",
                "comment": one.comment,
                "at": wording.iso(one.at),
                "origin": one.origin,
            }
            for one in record.rulings
        ],
    }


def _comment(body: bytes) -> str:
    """The comment of `{"comment": "…"}`; an empty object has none. Raises ValueError."""
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ValueError('Expected JSON such as {"comment": "…"}.') from None
    if not isinstance(value, dict) or set(value) - {"comment"} or not isinstance(value.get("comment", ""), str):
        raise ValueError("Expected an object with no member but comment, a text.")
    comment: str = value.get("comment", "")
    return comment.encode("utf-8", "replace").decode()  # JSON can spell half of a character


def _json(value: Mapping[str, Any]) -> Response:
    return Response(json.dumps(value), media_type=JSON)
