"""Decisions -> the HTTP answer that an MCP client understands (measured: what clients do with each).

A denied call is answered in band, with HTTP 200 and the request's own id: that is the only shape that every client
survives, and a tool result is the only one that its model reads. Never 404 while there is a session (it would end),
never 200 without the right id (the caller would wait for ever). It decides nothing.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from authz.errors import MalformedMessage
from authz.mcp import wording
from authz.mcp.challenge import Challenge
from authz.mcp.elicitation import elicitation
from authz.mcp.ratelimit_headers import encode_quotas
from authz.model import (
    HTTP_STREAM,
    Decision,
    Disclose,
    Effect,
    Exchange,
    Message,
    MessageId,
    MessageKind,
    Reason,
    Reply,
)

# Outside of JSON-RPC's reserved range, as MCP asks of new purposes (2026-07-28, basic/index "Error Codes").
DENIED: Final = 40301
APPROVAL_REQUIRED: Final = 40302
RATE_LIMITED: Final = 42901
_CODES: Final = {Reason.APPROVAL_REQUIRED: APPROVAL_REQUIRED, Reason.RATE_LIMITED: RATE_LIMITED}

_JSON: Final = ("content-type", "application/json")
_ALLOW: Final = ("allow", "POST")  # RFC 9110 section 15.5.6: 405 must say what is
_UNAVAILABLE_STATUS: Final = {
    Reason.BUSY: 503,
    Reason.STATE_UNAVAILABLE: 503,
    Reason.AUDIT_UNAVAILABLE: 503,
    Reason.INTERNAL: 500,
}

_encode: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class DenialStyle(enum.StrEnum):
    """How a denied tools/call is answered: as a tool result, as a JSON-RPC error, or with 403 and 429."""

    TOOL_RESULT = "tool-result"
    JSONRPC_ERROR = "jsonrpc-error"
    HTTP_STATUS = "http-status"


@dataclass(frozen=True, slots=True)
class ReplyStyle:
    """How answers look. `disclose` is the most that the text of a malformed request tells; decisions carry theirs.

    `approvals_url` is where people approve, without the request's id; "" where no address of it is known.
    """

    denial: DenialStyle = DenialStyle.TOOL_RESULT
    disclose: Disclose = Disclose.FULL
    ratelimit_headers: bool = False
    approvals_url: str = ""

    def page(self, decision: Decision) -> str:
        """The page of the request that the decision waits for, "" where there is none."""
        if not self.approvals_url or decision.approval is None or not decision.approval.id:
            return ""
        return f"{self.approvals_url}/requests/{decision.approval.id}"


def encode_allowed(exchange: Exchange, decisions: Sequence[Decision], style: ReplyStyle) -> Reply:
    """Let `exchange` through, with what the proxy's log and, by `style`, the client may know of the quotas left."""
    headers: Sequence[tuple[str, str]] = ()
    if style.ratelimit_headers:
        headers = encode_quotas(quota for decision in decisions for quota in decision.quotas)
    return Reply(True, headers=headers, metadata=_metadata(exchange, decisions[0]))


def encode_denied(
    exchange: Exchange, decisions: Sequence[Decision], style: ReplyStyle, *, challenge: Challenge | None = None
) -> Reply:
    """Answer `exchange`, of which at least one part is denied; `decisions` has one for each message, in order.

    `challenge` is for a caller whom a token, or another one, would help; None where it changes nothing.
    """
    decisions = [_unexecuted(decision) for decision in decisions]
    decisive = next((one for one in decisions if one.reason is not Reason.NOT_EXECUTED), decisions[0])
    metadata = _metadata(exchange, decisive)
    asked = [
        (message, decision)
        for message, decision in zip(exchange.messages, decisions, strict=True)
        if message.kind is MessageKind.REQUEST
    ]
    carrier = exchange.messages[0]
    if decisive.reason is Reason.ORIGIN_DENIED:
        challenge = None
    waits = challenge is not None and challenge.always
    if not (asked or waits) and carrier.kind is not MessageKind.HTTP and decisive.reason is not Reason.ORIGIN_DENIED:
        # Nobody waits for an answer to these, and a 4xx ends the session of some clients: they are dropped.
        return Reply(False, 202, metadata=metadata)

    by_status = (
        not asked
        or style.denial is DenialStyle.HTTP_STATUS
        or exchange.sse_transport  # an answer to this POST reaches nobody, only its status does
        or decisive.reason is Reason.ORIGIN_DENIED  # 2025-11-25, transports "Security Warning"
        or challenge is not None  # RFC 6750 section 3
    )
    as_result = style.denial is DenialStyle.TOOL_RESULT and not by_status
    answers = [
        _elicit(exchange, message, decision, style, by_status) or _answer(message, decision, style, as_result)
        for message, decision in asked
    ] or [_error(None, decisive, style)]
    headers = [_JSON]
    wait = max(map(wording.retry_seconds, decisions)) if decisive.disclose is not Disclose.CODE else 0
    if wait:
        headers.append(("retry-after", str(wait)))
    if style.ratelimit_headers and decisive.disclose is Disclose.FULL:
        headers += encode_quotas(quota for decision in decisions for quota in decision.quotas)
    status = 200
    if by_status:
        status = challenge.status if challenge else _status(carrier, decisive.reason)
        if status == 405:
            headers.append(_ALLOW)
        if challenge is not None:
            headers.append(("www-authenticate", challenge.value))
    return Reply(False, status, headers, _body(answers if exchange.batch else answers[0]), metadata)


def encode_malformed(error: MalformedMessage, decision_id: str, style: ReplyStyle) -> Reply:
    """Answer a request that could not be read: the protocol's own code and status, and the id if that was readable."""
    told = {**(error.data or {}), "decisionId": decision_id, "reason": error.reason.value}
    text = wording.flaw_text(error.reason, str(error) if style.disclose is not Disclose.CODE else "", decision_id)
    headers = (_JSON, _ALLOW) if error.status == 405 else (_JSON,)
    metadata = {
        "decision_id": decision_id,
        "effect": Effect.DENY.value,
        "reason": error.reason.value,
        "malformed": str(error.kind),
    }
    return Reply(False, error.status, headers, _body(_jsonrpc(error.id, error.code, text, told)), metadata)


def encode_refused(reason: Reason, decision_id: str, *, retry_after: float = 0) -> Reply:
    """Answer a request of which nothing was read: the service is busy, or failed. `retry_after` is in seconds."""
    told = {"decisionId": decision_id, "reason": reason.value}
    text = f"{wording.headline(reason)} Decision id: {decision_id}."
    headers = [_JSON]
    if _UNAVAILABLE_STATUS.get(reason) == 503:
        headers.append(("retry-after", str(wording.whole_seconds(retry_after))))
    metadata = {"decision_id": decision_id, "effect": Effect.DENY.value, "reason": reason.value}
    status = _UNAVAILABLE_STATUS.get(reason, 403)
    return Reply(False, status, headers, _body(_jsonrpc(None, DENIED, text, told)), metadata)


def _unexecuted(decision: Decision) -> Decision:
    """A part that would be allowed was not executed where another one is denied: the proxy cannot split a batch."""
    if decision.effect is Effect.DENY:
        return decision
    return replace(decision, effect=Effect.DENY, reason=Reason.NOT_EXECUTED)


def _status(carrier: Message, reason: Reason) -> int:
    if reason is Reason.RATE_LIMITED:
        return 429
    if reason in _UNAVAILABLE_STATUS:
        return _UNAVAILABLE_STATUS[reason]
    # To a client, 405 says that there is no such stream here, and it goes on without (2025-03-26, transports).
    stream = carrier.kind is MessageKind.HTTP and carrier.method == HTTP_STREAM
    return 405 if stream and reason is not Reason.ORIGIN_DENIED else 403


def _elicit(
    exchange: Exchange, message: Message, decision: Decision, style: ReplyStyle, by_status: bool
) -> dict[str, Any] | None:
    """The answer that sends the client's user to the approval's page, None where the client is to be told in text."""
    if by_status or message.method != "tools/call" or decision.disclose is Disclose.CODE:
        return None
    asked = elicitation(exchange, message, decision, style.page(decision))
    return None if asked is None else {"jsonrpc": "2.0", "id": message.id, **asked}


def _answer(message: Message, decision: Decision, style: ReplyStyle, as_result: bool) -> dict[str, Any]:
    # The caller of a task-augmented call expects a CreateTaskResult, which a tool result is not (2025-11-25, tasks).
    if not as_result or message.method != "tools/call" or message.wants_task:
        return _error(message.id, decision, style)
    page = style.page(decision)
    return {
        "jsonrpc": "2.0",
        "id": message.id,
        "result": {
            "resultType": "complete",  # required from 2026-07-28 on, ignored before
            "content": [{"type": "text", "text": wording.text(decision, page)}],
            "isError": True,
            "_meta": {wording.DECISION_KEY: wording.data(decision, page)},
        },
    }


def _error(id_: MessageId, decision: Decision, style: ReplyStyle) -> dict[str, Any]:
    page = style.page(decision)
    code = _CODES.get(decision.reason, DENIED)
    return _jsonrpc(id_, code, wording.text(decision, page), wording.data(decision, page))


def _jsonrpc(id_: MessageId, code: int, text: str, told: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": text, "data": told}}


def _body(content: Any) -> bytes:
    return _encode(content).encode("ascii")


def _metadata(exchange: Exchange, decision: Decision) -> dict[str, Any]:
    """What the proxy's access log may show; only the policy's and the service's own words."""
    found: dict[str, Any] = {
        "decision_id": decision.id,
        "effect": decision.effect,
        "reason": decision.reason,
        "server": decision.server,
        "tool": decision.target,
        "rule": decision.rule,
        "revision": decision.revision,
    }
    if decision.approval:
        found["approval"] = decision.approval.id
    if decision.quotas:
        found["quota_left"] = min(quota.remaining for quota in decision.quotas)
    if exchange.batch:
        found["parts"] = len(exchange.messages)
    return found
