"""A request that is new or was decided -> the body of a message about it, in the forms that receivers understand.

Never an argument: a message leaves the machine, and is no place to decide. Who reads it follows the link.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from authz.app.approvals import wording
from authz.app.approvals.visible import visible
from authz.model import ApprovalRecord

_MOST = 200  # characters of a text


class Event(enum.StrEnum):
    """What a message is about."""

    REQUESTED = "requested"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: the event, the request as it is now, and the page's address of it."""

    event: Event
    record: ApprovalRecord
    link: str

    @property
    def id(self) -> str:
        """The same for every delivery of this notice, by which a receiver knows a second one."""
        return f"{self.event.value}_{self.record.id}"


def body(notice: Notice, form: str) -> bytes:
    """The JSON text to send; `form` is `generic`, `slack` or `teams`."""
    return json.dumps(_FORMS[form](notice)).encode()


def _generic(notice: Notice) -> Mapping[str, Any]:
    record = notice.record
    asked = record.request
    return {
        "type": f"approval.{notice.event.value}",
        "timestamp": wording.iso(record.ended_at if notice.event is Event.DECIDED else record.requested_at),
        "data": {
            "id": record.id,
            "status": record.status.value,
            "server": asked.server,
            "tool": _short(asked.tool),
            "principal": _short(asked.principal),
            "rule": _short(asked.rule),
            "decided_by": _by(record),
            "expires_at": wording.iso(record.expires_at),
            "link": notice.link,
        },
    }


def _slack(notice: Notice) -> Mapping[str, Any]:
    facts = "\n".join(f"{name}: {_slack_name(value)}" for name, value in _facts(notice))
    return {"text": f"{_headline(notice, _slack_name)}\n{facts}\n<{notice.link}|Open the request>"}


def _slack_name(text: str) -> str:
    """As code, where Slack makes no link of an address and nothing bold; without `&`, `<` and `>` nobody is mentioned.

    A name that is an address would be a link beside ours, in a message that people trust.
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")
    return f"`{text}`" if text else ""


def _teams(notice: Notice) -> Mapping[str, Any]:
    # Runs of a RichTextBlock are shown as they are, where a TextBlock would read them as Markdown.
    def line(*runs: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}

    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            line({"text": _headline(notice), "weight": "Bolder", "size": "Medium"}),
            *(line({"text": f"{name}: ", "isSubtle": True}, {"text": value}) for name, value in _facts(notice)),
        ],
        "actions": [{"type": "Action.OpenUrl", "title": "Open the request", "url": notice.link}],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


_FORMS: Mapping[str, Callable[[Notice], Mapping[str, Any]]] = {"generic": _generic, "slack": _slack, "teams": _teams}


def _headline(notice: Notice, name: Callable[[str], str] = str) -> str:
    """What has happened; `name` makes of each name what the receiver shows as it is."""
    record = notice.record
    principal, tool = name(_short(record.request.principal)), name(_short(record.request.tool))
    if notice.event is Event.REQUESTED:
        return f"{principal} asks for approval of {tool}"
    verdict = "denied" if record.rulings and not record.rulings[-1].granted else "approved"
    return f"{name(_by(record))} {verdict} {tool} of {principal}"


def _facts(notice: Notice) -> list[tuple[str, str]]:
    record = notice.record
    facts = [("Server", _short(record.request.server)), ("Rule", _short(record.request.rule))]
    if notice.event is Event.REQUESTED:
        facts.append(("Expires", wording.utc(record.expires_at)))
    return facts


def _by(record: ApprovalRecord) -> str:
    return _short(record.rulings[-1].approver) if record.rulings else ""


def _short(text: str) -> str:
    shown = visible(text[:_MOST])
    return shown if len(text) <= _MOST else f"{shown}…"
