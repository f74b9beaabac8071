"""A request for approval that was just filed -> what sends the client's user to its page, where the client can do so.

2026-07-28: an `input_required` result with an elicitation by URL, and no `requestState` (the upstream server would
refuse one that it did not make). 2025-11-25: error -32042. Everybody else is told in text, and so is everybody once the
request is pending: a second elicitation would send clients round in circles (measured: ten rounds in three seconds).
"""

from __future__ import annotations

from typing import Any, Final

from authz.mcp import wording
from authz.mcp.exact import ELICITATION_KEY
from authz.model import Decision, Era, Exchange, Message, Reason

URL_ELICITATION_REQUIRED: Final = -32042  # 2025-11-25, client/elicitation
URL_ELICITATION_VERSION: Final = "2025-11-25"


def elicitation(exchange: Exchange, message: Message, decision: Decision, url: str) -> dict[str, Any] | None:
    """The members of the JSON-RPC answer beside its id, None where the client is to be told in text.

    `url` is the page of the request, "" where there is none.
    """
    approval = decision.approval
    if decision.reason is not Reason.APPROVAL_REQUIRED or approval is None or not approval.filed or not url:
        return None
    if not message.opens_urls or message.answered or message.wants_task or exchange.batch:
        return None
    asked = {"mode": "url", "url": url, "message": wording.invitation(decision)}
    if exchange.era is Era.MODERN:
        request = {"method": "elicitation/create", "params": asked}
        return {"result": {"resultType": "input_required", "inputRequests": {ELICITATION_KEY: request}}}
    if exchange.version != URL_ELICITATION_VERSION:
        return None
    data = {**wording.data(decision, url), "elicitations": [{**asked, "elicitationId": approval.id}]}
    return {"error": {"code": URL_ELICITATION_REQUIRED, "message": wording.text(decision, url), "data": data}}
