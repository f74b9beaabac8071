"""What a caller gets: statuses, shapes and words."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from authz.errors import MalformedMessage
from authz.mcp.challenge import Challenge
from authz.mcp.reply import DenialStyle, ReplyStyle, encode_allowed, encode_denied, encode_malformed, encode_refused
from authz.mcp.wording import DECISION_KEY
from authz.model import (
    Decision,
    Disclose,
    Effect,
    Era,
    Exchange,
    Limit,
    Message,
    MessageKind,
    Quota,
    Reason,
    Reply,
    Target,
    TargetKind,
)

STYLE = ReplyStyle()
CALL = Message(MessageKind.REQUEST, "tools/call", 7, (Target(TargetKind.TOOL, "sent_by_the_caller"),))
PING = Message(MessageKind.REQUEST, "ping", "p", (Target(TargetKind.METHOD, "ping"),))
NOTE = Message(MessageKind.NOTIFICATION, "notifications/x", None, (Target(TargetKind.METHOD, "notifications/x"),))
ANSWER = Message(MessageKind.RESPONSE, "response", 3, (Target(TargetKind.METHOD, "response"),))
LIMIT = Limit("per-minute", ("k",), 10, 60.0, "cache")


def http(method: str) -> Message:
    return Message(MessageKind.HTTP, method, targets=(Target(TargetKind.METHOD, method),))


def exchange(*messages: Message, batch: bool = False, sse: bool = False, era: Era = Era.LEGACY) -> Exchange:
    return Exchange(era, messages, batch=batch, sse_transport=sse)


def denied(message: Message = CALL, reason: Reason = Reason.RULE_DENIED, **more: Any) -> Decision:
    found: dict[str, Any] = {"server": "cache", "target": "set_value", "rule": "tools.set_value", "revision": "r1"}
    return Decision("d-1", Effect.DENY, reason, message, **{**found, **more})


def allowed(message: Message = CALL, **more: Any) -> Decision:
    return Decision(
        "d-2",
        Effect.ALLOW,
        Reason.ALLOWED,
        message,
        server="cache",
        target="get",
        rule="tools.get",
        revision="r1",
        **more,
    )


def deny(decision: Decision, style: ReplyStyle = STYLE, **more: Any) -> Reply:
    challenge = more.pop("challenge", None)
    return encode_denied(exchange(decision.message, **more), [decision], style, challenge=challenge)


def body(reply: Reply) -> Any:
    return json.loads(reply.body)


def header(reply: Reply, name: str) -> str | None:
    found = [value for key, value in reply.headers if key == name]
    assert len(found) < 2
    return found[0] if found else None


def told(decision: Decision) -> str:
    text: str = body(deny(decision))["result"]["content"][0]["text"]
    return text


# ------------------------------------------------------------------------------------------------- shapes


def test_a_denied_tools_call_is_a_tool_result_with_its_own_id() -> None:
    reply = deny(denied(reason_text="reads only", detail="arguments.ttl: at most 3600"))
    assert (reply.allowed, reply.status, header(reply, "content-type")) == (False, 200, "application/json")
    assert body(reply) == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {
            "resultType": "complete",
            "content": [
                {
                    "type": "text",
                    "text": "Denied by policy: tool `set_value` is not allowed. Reason: reads only. "
                    "Detail: arguments.ttl: at most 3600. Rule: tools.set_value. Do not retry it unchanged. "
                    "Decision id: d-1.",
                }
            ],
            "isError": True,
            "_meta": {
                DECISION_KEY: {
                    "decisionId": "d-1",
                    "reason": "rule_denied",
                    "message": "reads only",
                    "server": "cache",
                    "target": "set_value",
                    "rule": "tools.set_value",
                    "detail": "arguments.ttl: at most 3600",
                }
            },
        },
    }


def test_the_key_of_the_data_is_not_one_that_the_protocol_reserves() -> None:
    prefix, _, name = DECISION_KEY.partition("/")
    assert prefix.split(".")[1] not in ("mcp", "modelcontextprotocol")
    assert name == "decision"


@pytest.mark.parametrize("id_", [0, 7, -1, "7", "", "ü\n\"'<", 2**53 - 1])
def test_the_id_is_repeated_in_its_own_type(id_: str | int) -> None:
    for message in (replace(CALL, id=id_), replace(PING, id=id_)):
        found = body(deny(denied(message)))["id"]
        assert found == id_
        assert type(found) is type(id_)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.RULE_DENIED, 40301),
        (Reason.UNKNOWN_METHOD, 40301),
        (Reason.UNAUTHENTICATED, 40301),
        (Reason.INTERNAL, 40301),
        (Reason.APPROVAL_REQUIRED, 40302),
        (Reason.RATE_LIMITED, 42901),
    ],
)
@pytest.mark.parametrize("era", list(Era))
def test_other_requests_get_a_jsonrpc_error_outside_of_the_reserved_range(reason: Reason, code: int, era: Era) -> None:
    reply = deny(denied(PING, reason), era=era)
    answer = body(reply)
    assert reply.status == 200
    assert set(answer) == {"jsonrpc", "id", "error"}
    assert (answer["id"], answer["error"]["code"]) == ("p", code)
    assert answer["error"]["data"]["reason"] == reason.value
    assert answer["error"]["message"].endswith("Decision id: d-1.")


def test_a_call_that_wants_a_task_gets_a_jsonrpc_error() -> None:
    reply = deny(denied(replace(CALL, wants_task=True)))
    assert (reply.status, body(reply)["error"]["code"]) == (200, 40301)


def test_the_style_jsonrpc_error_gives_one_for_a_tools_call() -> None:
    reply = deny(denied(), ReplyStyle(denial=DenialStyle.JSONRPC_ERROR))
    assert (reply.status, body(reply)["error"]["code"]) == (200, 40301)


@pytest.mark.parametrize(("reason", "status"), [(Reason.RULE_DENIED, 403), (Reason.RATE_LIMITED, 429)])
def test_the_style_http_status_gives_the_status_and_the_error(reason: Reason, status: int) -> None:
    reply = deny(denied(reason=reason, retry_after=3), ReplyStyle(denial=DenialStyle.HTTP_STATUS))
    assert (reply.status, body(reply)["id"]) == (status, 7)
    assert body(reply)["error"]["data"]["reason"] == reason.value


@pytest.mark.parametrize("message", [NOTE, ANSWER])
@pytest.mark.parametrize("style", list(DenialStyle))
@pytest.mark.parametrize("sse", [False, True])
def test_notifications_and_responses_that_are_dropped_are_accepted(
    message: Message, style: DenialStyle, sse: bool
) -> None:
    reply = deny(denied(message), ReplyStyle(denial=style), sse=sse, challenge=Challenge(401, "Bearer"))
    assert (reply.allowed, reply.status, list(reply.headers), reply.body) == (False, 202, [], b"")


@pytest.mark.parametrize(
    ("method", "reason", "status"),
    [
        ("GET", Reason.RULE_DENIED, 405),
        ("GET", Reason.RATE_LIMITED, 429),
        ("GET", Reason.ORIGIN_DENIED, 403),
        ("DELETE", Reason.RULE_DENIED, 403),
        ("OPTIONS", Reason.DEFAULT_DENIED, 403),
        ("GET /.well-known", Reason.NO_POLICY, 403),
        ("GET", Reason.STATE_UNAVAILABLE, 503),
        ("DELETE", Reason.INTERNAL, 500),
    ],
)
def test_requests_without_a_message_get_a_status(method: str, reason: Reason, status: int) -> None:
    reply = deny(denied(http(method), reason))
    assert reply.status == status
    assert body(reply)["id"] is None
    assert header(reply, "allow") == ("POST" if status == 405 else None)


@pytest.mark.parametrize("message", [CALL, PING, NOTE])
def test_a_wrong_origin_gets_403(message: Message) -> None:
    reply = deny(denied(message, Reason.ORIGIN_DENIED))
    assert reply.status == 403
    assert body(reply)["error"]["code"] == 40301


@pytest.mark.parametrize("message", [CALL, PING, http("GET")])
def test_a_caller_without_a_token_is_challenged_where_settings_say_how(message: Message) -> None:
    challenge = Challenge(401, 'Bearer resource_metadata="https://a/b"')
    reply = deny(denied(message, Reason.UNAUTHENTICATED), challenge=challenge)
    assert reply.status == 401
    assert header(reply, "www-authenticate") == 'Bearer resource_metadata="https://a/b"'
    assert body(reply)["error"]["data"]["reason"] == "unauthenticated"


def test_without_a_challenge_an_unauthenticated_call_is_answered_in_band() -> None:
    reply = deny(denied(reason=Reason.UNAUTHENTICATED))
    assert (reply.status, body(reply)["result"]["isError"]) == (200, True)


def test_a_wrong_origin_is_not_challenged() -> None:
    reply = deny(denied(reason=Reason.ORIGIN_DENIED), challenge=Challenge(401, "Bearer", always=True))
    assert (reply.status, header(reply, "www-authenticate")) == (403, None)


@pytest.mark.parametrize("message", [NOTE, ANSWER])
def test_a_client_that_has_something_to_do_is_told_even_where_it_waits_for_nothing(message: Message) -> None:
    reply = deny(denied(message, Reason.UNAUTHENTICATED), challenge=Challenge(401, "Bearer", always=True))
    assert (reply.status, header(reply, "www-authenticate"), body(reply)["id"]) == (401, "Bearer", None)


@pytest.mark.parametrize(("reason", "status"), [(Reason.RULE_DENIED, 403), (Reason.RATE_LIMITED, 429)])
def test_a_post_of_the_http_sse_transport_gets_a_status(reason: Reason, status: int) -> None:
    reply = deny(denied(reason=reason), sse=True)
    assert (reply.status, body(reply)["error"]["data"]["reason"]) == (status, reason.value)


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("style", list(DenialStyle))
@pytest.mark.parametrize("message", [CALL, PING, NOTE, ANSWER, http("GET"), http("DELETE")])
def test_no_denial_is_allowed_or_404_or_has_a_reserved_code(
    reason: Reason, style: DenialStyle, message: Message
) -> None:
    for disclose in Disclose:
        reply = deny(denied(message, reason, disclose=disclose), ReplyStyle(denial=style))
        assert not reply.allowed
        assert reply.status in (200, 202, 403, 405, 429, 500, 503)
        if reply.body:
            assert "sent_by_the_caller" not in reply.body.decode()
            answer = body(reply)
            assert answer["id"] == (message.id if message.kind is MessageKind.REQUEST else None)
            assert ("error" in answer) != ("result" in answer)
            if "error" in answer:
                assert not -32768 <= answer["error"]["code"] <= -32000


# ------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        (
            denied(reason=Reason.RATE_LIMITED, retry_after=12.2, limits=("per-minute", "per-day")),
            (
                "Rate limit reached: tool `set_value` was not executed. Limit: per-minute, per-day. "
                "Rule: tools.set_value. Retry after 13 s. Decision id: d-1."
            ),
        ),
        (
            denied(reason=Reason.APPROVAL_REQUIRED, detail="approval by group:dba"),
            (
                "Approval required: a person must approve this call of tool `set_value` first; it was not executed. "
                "Detail: approval by group:dba. Rule: tools.set_value. "
                "Send exactly the same call again once it is approved; any change needs another approval. "
                "Decision id: d-1."
            ),
        ),
        (
            denied(reason=Reason.DEFAULT_DENIED, target="other", rule=""),
            "Denied by policy: no rule allows this tool. Do not retry it unchanged. Decision id: d-1.",
        ),
        (
            denied(target="json_*", rule="tools.json_*"),
            (
                "Denied by policy: this tool is not allowed. Rule: tools.json_*. Do not retry it unchanged. "
                "Decision id: d-1."
            ),
        ),
        (
            denied(reason=Reason.STATE_UNAVAILABLE, rule=""),
            "Not executed: the policy service cannot reach its state. It may be retried later. Decision id: d-1.",
        ),
        (
            denied(
                reason=Reason.ARGUMENTS_INVALID, disclose=Disclose.REASON, reason_text="keep it short!", detail="secret"
            ),
            (
                "Denied by policy: the arguments are not among those that the policy accepts for this tool. "
                "Reason: keep it short! Do not retry it unchanged. Decision id: d-1."
            ),
        ),
        (
            denied(reason=Reason.RATE_LIMITED, disclose=Disclose.REASON, retry_after=2, limits=("secret",)),
            "Rate limit reached: this tool was not executed. Retry after 2 s. Decision id: d-1.",
        ),
        (
            denied(reason=Reason.RATE_LIMITED, disclose=Disclose.CODE, retry_after=2, reason_text="secret"),
            "Denied by policy (rate_limited). Decision id: d-1.",
        ),
    ],
)
def test_the_text_says_what_a_model_can_act_on(decision: Decision, text: str) -> None:
    assert told(decision) == text


@pytest.mark.parametrize(
    ("disclose", "data"),
    [
        (Disclose.CODE, {"decisionId": "d-1", "reason": "rate_limited"}),
        (Disclose.REASON, {"decisionId": "d-1", "reason": "rate_limited", "message": "why", "retryAfterMs": 2000}),
        (
            Disclose.FULL,
            {
                "decisionId": "d-1",
                "reason": "rate_limited",
                "message": "why",
                "retryAfterMs": 2000,
                "server": "cache",
                "target": "set_value",
                "rule": "tools.set_value",
                "detail": "what",
                "limits": ["per-minute"],
            },
        ),
    ],
)
def test_the_data_says_as_much_as_may_be_disclosed(disclose: Disclose, data: dict[str, Any]) -> None:
    decision = denied(
        reason=Reason.RATE_LIMITED,
        disclose=disclose,
        retry_after=2,
        reason_text="why",
        detail="what",
        limits=("per-minute",),
    )
    assert body(deny(decision))["result"]["_meta"][DECISION_KEY] == data


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (0.0, "1"),
        (0.01, "1"),
        (1.0, "1"),
        (36.2, "37"),
        (math.inf, "31622400"),
        (math.nan, "31622400"),
        (-math.inf, "1"),
    ],
)
def test_the_time_to_wait_is_whole_seconds_and_at_least_one(wait: float, seconds: str) -> None:
    reply = deny(denied(reason=Reason.RATE_LIMITED, retry_after=wait))
    assert (reply.status, header(reply, "retry-after")) == (200, seconds)


def test_only_a_rate_limit_says_when_to_retry() -> None:
    assert header(deny(denied(retry_after=5)), "retry-after") is None
    assert header(deny(denied(reason=Reason.RATE_LIMITED, disclose=Disclose.CODE)), "retry-after") is None


# ------------------------------------------------------------------------------------------------- batches


def test_one_denied_part_denies_the_batch_and_the_others_are_answered_as_not_executed() -> None:
    second = replace(CALL, id="b")
    reply = encode_denied(
        exchange(PING, NOTE, CALL, second, batch=True),
        [allowed(PING), allowed(NOTE), denied(), replace(allowed(second), reason_text="x")],
        STYLE,
    )
    assert reply.status == 200
    first, third, fourth = body(reply)
    text = "Not executed: another part of this batch was denied. Send this part again on its own. Decision id: d-2."
    assert first == {
        "jsonrpc": "2.0",
        "id": "p",
        "error": {"code": 40301, "message": text, "data": {"decisionId": "d-2", "reason": "not_executed"}},
    }
    assert (third["id"], third["result"]["_meta"][DECISION_KEY]["reason"]) == (7, "rule_denied")
    assert (fourth["id"], fourth["result"]["content"][0]["text"]) == ("b", text)
    assert (reply.metadata["decision_id"], reply.metadata["parts"]) == ("d-1", 4)


def test_a_batch_of_notifications_is_dropped() -> None:
    reply = encode_denied(exchange(NOTE, NOTE, batch=True), [denied(NOTE), denied(NOTE)], STYLE)
    assert (reply.status, reply.body) == (202, b"")


def test_a_batch_waits_for_its_longest_limit() -> None:
    decisions = [denied(reason=Reason.RATE_LIMITED, retry_after=wait) for wait in (3.0, 9.0)]
    reply = encode_denied(exchange(CALL, replace(CALL, id=8), batch=True), decisions, STYLE)
    assert header(reply, "retry-after") == "9"


def test_a_batch_by_status_is_still_an_array() -> None:
    reply = encode_denied(
        exchange(CALL, PING, batch=True), [denied(), allowed(PING)], ReplyStyle(denial=DenialStyle.HTTP_STATUS)
    )
    assert (reply.status, [part["id"] for part in body(reply)]) == (403, [7, "p"])


# ------------------------------------------------------------------------------------------------- allowed


def test_an_allowed_call_tells_the_log_of_the_proxy_and_adds_no_headers() -> None:
    quotas = (Quota(LIMIT, 3, 36.5), Quota(replace(LIMIT, name="per-day"), 2, 80000))
    reply = encode_allowed(exchange(CALL), [allowed(quotas=quotas)], STYLE)
    assert (reply.allowed, list(reply.headers), reply.body) == (True, [], b"")
    assert reply.metadata == {
        "decision_id": "d-2",
        "effect": "allow",
        "reason": "allowed",
        "server": "cache",
        "tool": "get",
        "rule": "tools.get",
        "revision": "r1",
        "quota_left": 2,
    }


def test_rate_limit_headers_are_sent_where_settings_say_so() -> None:
    style = ReplyStyle(ratelimit_headers=True)
    odd = replace(LIMIT, name='a"\\ü\r\n', max=10**20, window=0.5)
    quotas = (Quota(LIMIT, 3, 36.5), Quota(LIMIT, 5, 1), Quota(odd, -1, math.inf))
    reply = encode_allowed(exchange(CALL), [allowed(quotas=quotas)], style)
    assert list(reply.headers) == [
        ("ratelimit-policy", '"per-minute";q=10;w=60,"a\\"\\\\___";q=999999999999999;w=1'),
        ("ratelimit", '"per-minute";r=3;t=37,"a\\"\\\\___";r=0;t=999999999999999'),
    ]
    assert list(encode_allowed(exchange(CALL), [allowed()], style).headers) == []
    refused = deny(denied(reason=Reason.RATE_LIMITED, quotas=quotas[:1]), style)
    assert header(refused, "ratelimit") == '"per-minute";r=3;t=37'
    silent = deny(denied(reason=Reason.RATE_LIMITED, quotas=quotas, disclose=Disclose.CODE), style)
    assert header(silent, "ratelimit") is None


# ------------------------------------------------------------------------------------------------- unread


def test_a_malformed_request_gets_the_code_and_status_of_the_protocol() -> None:
    error = MalformedMessage("params.name: expected a string", kind="params", code=-32602, id="x")
    reply = encode_malformed(error, "d-9", STYLE)
    assert (reply.allowed, reply.status, list(reply.headers)) == (False, 400, [("content-type", "application/json")])
    assert body(reply) == {
        "jsonrpc": "2.0",
        "id": "x",
        "error": {
            "code": -32602,
            "message": "Malformed request: params.name: expected a string. Decision id: d-9.",
            "data": {"decisionId": "d-9", "reason": "malformed"},
        },
    }
    assert reply.metadata == {"decision_id": "d-9", "effect": "deny", "reason": "malformed", "malformed": "params"}


def test_an_unsupported_version_is_answered_with_the_supported_ones() -> None:
    data = {"supported": ["2025-11-25"], "requested": "v9"}
    error = MalformedMessage("x", kind="version", code=-32022, reason=Reason.UNSUPPORTED_VERSION, data=data)
    answer = body(encode_malformed(error, "d-9", STYLE))["error"]
    assert (answer["code"], answer["message"]) == (-32022, "Unsupported protocol version: x. Decision id: d-9.")
    assert answer["data"] == {**data, "decisionId": "d-9", "reason": "unsupported_version"}


def test_a_wrong_method_is_told_the_right_one() -> None:
    reply = encode_malformed(MalformedMessage("x", kind="method", status=405), "d-9", STYLE)
    assert (reply.status, header(reply, "allow"), body(reply)["id"]) == (405, "POST", None)


def test_what_is_malformed_is_not_told_where_only_the_code_is_disclosed() -> None:
    reply = encode_malformed(MalformedMessage("secret", kind="id"), "d-9", ReplyStyle(disclose=Disclose.CODE))
    assert body(reply)["error"]["message"] == "Denied by policy (malformed). Decision id: d-9."


@pytest.mark.parametrize(
    ("reason", "status", "wait", "text"),
    [
        (Reason.BUSY, 503, "3", "Not executed: the policy service is busy."),
        (Reason.STATE_UNAVAILABLE, 503, "3", "Not executed: the policy service cannot reach its state."),
        (Reason.INTERNAL, 500, None, "Not executed: the policy service failed."),
        (Reason.MALFORMED, 403, None, "Malformed request."),
    ],
)
def test_a_request_of_which_nothing_was_read_is_refused(
    reason: Reason, status: int, wait: str | None, text: str
) -> None:
    reply = encode_refused(reason, "d-9", retry_after=2.5)
    assert (reply.allowed, reply.status, header(reply, "retry-after")) == (False, status, wait)
    assert body(reply) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {
            "code": 40301,
            "message": f"{text} Decision id: d-9.",
            "data": {"decisionId": "d-9", "reason": reason.value},
        },
    }
    assert header(encode_refused(Reason.BUSY, "d"), "retry-after") == "1"


@given(st.text(), st.text(), st.integers() | st.text())
def test_no_text_breaks_the_answer_or_reaches_a_header(reason_text: str, name: str, id_: str | int) -> None:
    message = replace(CALL, id=id_, targets=(Target(TargetKind.TOOL, name),))
    reply = deny(denied(message, reason_text=reason_text))
    assert body(reply)["id"] == id_
    assert list(reply.headers) == [("content-type", "application/json")]
    assert reply.body.isascii()
