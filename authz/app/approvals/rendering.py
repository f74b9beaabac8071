"""A template and what it shows -> an HTML answer. Escaping is on, and a name that a template misspells is a mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from authz.app.approvals import tree, wording
from authz.app.approvals.identify import Visitor
from authz.app.approvals.sessions import Sessions
from authz.app.approvals.wording import Said


class Rendering:
    """Makes pages. `clock` is wall-clock seconds, for how long is left."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._sessions = sessions
        self._clock = clock
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

    def page(self, template: str, visitor: Visitor | None, status: int = 200, **context: Any) -> Response:
        """The page `template` as `visitor` sees it; their forms carry their token."""
        html = self._templates.get_template(template).render(
            visitor=visitor,
            form_token=self._sessions.form_token(visitor.binding) if visitor else "",
            now=self._clock(),
            **context,
        )
        # Half of a character is visible where an agent's text stands; a filter that a browser repeats may have one.
        return HTMLResponse(html.encode("utf-8", "backslashreplace"), status)

    def say(self, said: Said, visitor: Visitor | None = None) -> Response:
        """A page that has one thing to say."""
        return self.page("said.html", visitor, said.status, said=said, title=said.title)
