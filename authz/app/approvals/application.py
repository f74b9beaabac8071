"""Pages, API and streams -> the one ASGI application of the listener. Only puts together."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, ExceptionHandler

from authz.app.approvals import wording
from authz.app.approvals.api import Api, problem
from authz.app.approvals.events import Events
from authz.app.approvals.log_in import LogIn
from authz.app.approvals.pages import Pages
from authz.app.approvals.rendering import Rendering
from authz.app.approvals.shell import Shell
from authz.app.approvals.wording import Said
from authz.errors import StoreError

_log = logging.getLogger("mcp_authz.approvals")

_ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
_API = "/api/v1"


def application(
    pages: Pages, log_in: LogIn, api: Api, events: Events, rendering: Rendering, hosts: frozenset[str]
) -> ASGIApp:
    """Everything behind `hosts`, the names by which this listener may be asked (against DNS rebinding)."""
    one, post = f"{_API}/requests/{{id}}", ["POST"]
    routes = [
        Route("/", pages.pending),
        Route("/history", pages.history),
        Route("/requests/{id}", pages.show),
        Route("/requests/{id}/approve", pages.approve, methods=post),
        Route("/requests/{id}/deny", pages.deny, methods=post),
        Route("/requests/{id}/approve", pages.changes_nothing),
        Route("/requests/{id}/deny", pages.changes_nothing),
        Route("/login", log_in.page),
        Route("/login", log_in.log_in, methods=post),
        Route("/logout", log_in.log_out, methods=post),
        Route("/events", events.stream),
        *(Route(f"/static/{name}", _asset(name, media)) for name, media in _ASSETS.items()),
        Route(f"{_API}/openapi.json", api.description),
        Route(f"{_API}/requests", api.requests),
        Route(one, api.show),
        Route(f"{one}/approve", api.approve, methods=post),
        Route(f"{one}/deny", api.deny, methods=post),
    ]

    def said(request: Request, what: Said) -> Response:
        return problem(what) if request.url.path.startswith(_API) else rendering.say(what)

    async def no_store(request: Request, error: Exception) -> Response:
        _log.warning("approvals: the store does not answer: %s", error)
        return said(request, wording.NO_STORE)

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        answer = said(request, wording.ONLY_POST if status == 405 else wording.NOT_HERE)
        if isinstance(error, HTTPException) and error.headers:
            answer.headers.update(error.headers)
        return answer

    async def failed(request: Request, error: Exception) -> Response:
        return said(request, Said(500, "Failed", "Something went wrong; the log says what."))

    handlers: Mapping[object, ExceptionHandler] = {StoreError: no_store, HTTPException: refused, Exception: failed}
    inner = Starlette(routes=routes, exception_handlers=handlers)
    inner.router.redirect_slashes = False
    guarded = TrustedHostMiddleware(inner, allowed_hosts=sorted(hosts), www_redirect=False)
    return Shell(guarded, streams=frozenset(("/events",)))


def _asset(name: str, media: str) -> Callable[[Request], Awaitable[Response]]:
    content = files("authz.app.approvals").joinpath("static").joinpath(name).read_bytes()

    async def asset(_: Request) -> Response:
        return Response(content, media_type=media)

    return asset
