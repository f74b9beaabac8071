from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from sinks import Sink

from authz.audit import AuditSink, Record
from authz.engine import Engine, EngineSettings
from authz.errors import MalformedMessage, StoreError
from authz.identity import Identities, IdentitySource, SourceKind
from authz.identity.callers import Callers, parse_caller
from authz.mcp.reply import ReplyStyle
from authz.model import Charge, Discharge, Disclose, Effect, HttpRequest, Reason, Reply
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.policy.selection import PolicySet
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Store

POLICY = """
version: 1
server: demo
tools:
  get: allow
  drop: {action: deny, reason: not through agents}
  limited: {action: allow, rate_limit: {max: 2, window: 60, per: principal, name: two}}
  per_session: {action: allow, rate_limit: {max: 1, window: 60, name: one}}
  typed: {action: allow, arguments: {properties: {key: {type: string, pattern: "^app:.*$"}}, required: [key]}}
  team: {principals: ["group:dba"], action: allow}
  asks: require_approval
"""
SHADOW = """
version: 1
server: demo
shadow: true
tools:
  get: {action: deny, reason: soon}
  drop: allow
  limited: {action: allow, rate_limit: {max: 1, window: 60, per: principal}}
"""


class BrokenSink:
    def write(self, record: Record) -> bool:
        raise RuntimeError("disk on fire")


class BrokenStore:
    """A store that fails with whatever it is given."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def discharge(self, attempt: Attempt) -> Discharge:
        raise self.error

    async def close(self) -> None:
        return None


def policies(**files: str) -> PolicySet:
    found = compile_policies({f"{name}.yaml": text.encode() for name, text in files.items()}, PolicyContext())
    assert not found.problems, found.problems
    return found


def engine(
    sinks: Sequence[AuditSink] = (),
    store: Store | None = None,
    settings: EngineSettings | None = None,
    required: Sequence[AuditSink] = (),
    **files: str,
) -> Engine:
    count = itertools.count(1)
    return Engine(
        policies(**(files or {"demo": POLICY})),
        store or MemoryStore(),
        sinks,
        settings,
        required=required,
        clock=lambda: 1_000.0,
        new_id=lambda: f"id-{next(count)}",
    )


def call(tool: str, arguments: Any = None, *, id: Any = 7, **request: Any) -> HttpRequest:
    params = {"name": tool} if arguments is None else {"name": tool, "arguments": arguments}
    return post({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}, **request)


def post(content: Any, headers: dict[str, str] | None = None, sub: str = "", **request: Any) -> HttpRequest:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    verified = {"envoy.filters.http.jwt_authn": {"jwt": {"sub": sub}}} if sub else {}
    return HttpRequest(
        "POST",
        "/mcp",
        "mcp.example",
        {"content-type": "application/json", **(headers or {})},
        body=body,
        size=len(body),
        verified=verified,
        source_address=request.pop("source_address", "192.0.2.1"),
        **request,
    )


def result_of(reply: Reply) -> Any:
    assert not reply.allowed
    return json.loads(reply.body)


async def test_an_allowed_call_is_let_through_with_what_the_proxy_may_log() -> None:
    reply = await engine().check(call("get"))
    assert reply.allowed
    assert reply.metadata["server"] == "demo"
    assert reply.metadata["rule"] == "tools.get"
    assert reply.metadata["decision_id"] == "id-1"


async def test_a_denied_call_is_a_tool_result_with_the_reason_and_the_requests_own_id() -> None:
    answer = result_of(await engine().check(call("drop", id="abc")))
    assert answer["id"] == "abc"
    assert answer["result"]["isError"] is True
    assert "not through agents" in answer["result"]["content"][0]["text"]


async def test_every_decision_is_recorded_also_the_ones_before_parsing() -> None:
    sink = Sink()
    decider = engine([sink])
    await decider.check(call("get"))
    await decider.check(call("drop"))
    await decider.check(post(b"{"))
    decider.refuse(Reason.BUSY, call("get"))
    decider.refuse(Reason.MALFORMED, None, MalformedMessage("x", kind="not_http"))
    reasons = [record.decision.reason for record in sink.records]
    assert reasons == [Reason.ALLOWED, Reason.RULE_DENIED, Reason.MALFORMED, Reason.BUSY, Reason.MALFORMED]


async def test_a_limit_denies_what_exceeds_it_and_tells_when_to_retry() -> None:
    sink = Sink()
    decider = engine([sink])
    for _ in range(2):
        assert (await decider.check(call("limited"))).allowed
    reply = await decider.check(call("limited"))
    assert not reply.allowed
    assert sink.last.decision.reason is Reason.RATE_LIMITED
    assert sink.last.decision.limits == ("two",)
    assert sink.last.decision.retry_after == pytest.approx(60, abs=1)
    assert int(dict(reply.headers)["retry-after"]) >= 1


async def test_callers_do_not_share_a_limit() -> None:
    decider = engine()
    for sub in ("a", "b"):
        assert [(await decider.check(call("limited", sub=sub))).allowed for _ in range(3)] == [True, True, False]


async def test_callers_without_identity_are_told_apart_by_their_network() -> None:
    decider = engine()
    for address in ("192.0.2.1", "2001:db8::1", "2001:db8:0:1::1"):
        assert (await decider.check(call("per_session", source_address=address))).allowed
    assert not (await decider.check(call("per_session", source_address="2001:db8::2"))).allowed


async def test_the_proxy_asking_twice_about_one_request_is_charged_once() -> None:
    decider = engine()
    asked = call("limited", stream_id="5", caller="proxy", wire=b"same")
    assert [(await decider.check(asked)).allowed for _ in range(5)] == [True] * 5
    other = call("limited", stream_id="6", caller="proxy", wire=b"same but for its id")
    assert (await decider.check(other)).allowed
    assert not (await decider.check(call("limited", stream_id="7", caller="proxy"))).allowed


async def test_requests_that_the_proxy_gave_no_id_are_all_charged() -> None:
    decider = engine()
    assert [(await decider.check(call("limited", wire=b"same"))).allowed for _ in range(3)] == [True, True, False]


async def test_a_denied_call_consumes_nothing() -> None:
    decider = engine()
    batch = [
        {"jsonrpc": "2.0", "id": at, "method": "tools/call", "params": {"name": name}}
        for at, name in enumerate(["limited", "drop"])
    ]
    answer = result_of(await decider.check(post(batch, {"mcp-protocol-version": "2025-03-26"})))
    assert [part["id"] for part in answer] == [0, 1]
    assert [(await decider.check(call("limited"))).allowed for _ in range(3)] == [True, True, False]


async def test_a_batch_that_exceeds_a_limit_is_refused_whole() -> None:
    sink = Sink()
    decider = engine([sink])
    batch = [
        {"jsonrpc": "2.0", "id": at, "method": "tools/call", "params": {"name": name}}
        for at, name in enumerate(["limited", "limited", "limited", "get"])
    ]
    assert not (await decider.check(post(batch, {"mcp-protocol-version": "2025-03-26"}))).allowed
    assert [record.decision.reason for record in sink.records] == [Reason.RATE_LIMITED] * 3 + [Reason.NOT_EXECUTED]
    assert [record.part for record in sink.records] == [0, 1, 2, 3]
    assert (await decider.check(call("limited"))).allowed


@pytest.mark.parametrize(
    ("error", "reason"),
    [(StoreError("gone"), Reason.STATE_UNAVAILABLE), (RuntimeError("bug"), Reason.INTERNAL)],
)
async def test_a_store_that_fails_denies(error: Exception, reason: Reason, caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    with caplog.at_level(logging.CRITICAL):
        reply = await engine([sink], BrokenStore(error)).check(call("limited"))
    assert not reply.allowed
    assert sink.last.decision.reason is reason


async def test_calls_that_owe_nothing_do_not_need_the_store() -> None:
    assert (await engine(store=BrokenStore(StoreError("gone"))).check(call("get"))).allowed


async def test_an_exception_while_recording_denies(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        reply = await engine([BrokenSink()]).check(call("get"))
    assert not reply.allowed
    assert b"disk on fire" not in reply.body


async def test_what_cannot_be_recorded_is_denied_where_it_must_be_recorded() -> None:
    audit, metrics = Sink(takes=False), Sink()
    decider = engine([metrics], required=[audit])
    assert not (await decider.check(call("get"))).allowed
    assert [record.decision.reason for record in metrics.records] == [Reason.AUDIT_UNAVAILABLE]
    assert audit.last.decision.reason is Reason.AUDIT_UNAVAILABLE
    audit.takes = True
    assert (await decider.check(call("get"))).allowed
    assert metrics.last.decision.reason is Reason.ALLOWED


async def test_what_cannot_be_recorded_is_still_decided_where_it_need_not_be() -> None:
    assert (await engine([Sink(takes=False)]).check(call("get"))).allowed


async def test_an_approval_that_nobody_can_grant_yet_denies() -> None:
    sink = Sink()
    await engine([sink]).check(call("asks"))
    assert sink.last.decision.reason is Reason.APPROVAL_REQUIRED


async def test_a_server_without_a_policy_is_denied_in_band() -> None:
    sink = Sink()
    answer = result_of(await engine([sink]).check(call("get", context={"mcp_server": "other"})))
    assert answer["result"]["isError"] is True
    assert sink.last.decision.reason is Reason.NO_POLICY


async def test_a_caller_without_a_token_is_challenged_where_a_challenge_is_set() -> None:
    settings = EngineSettings(challenge='Bearer resource_metadata="https://x"')
    reply = await engine(settings=settings).check(call("team"))
    assert (reply.status, dict(reply.headers)["www-authenticate"]) == (401, 'Bearer resource_metadata="https://x"')


async def test_a_caller_with_a_token_is_never_challenged() -> None:
    settings = EngineSettings(challenge="Bearer")
    reply = await engine(settings=settings).check(call("team", sub="alice"))
    assert reply.status == 200
    assert "www-authenticate" not in dict(reply.headers)


async def test_anonymous_callers_are_not_told_what_would_pass_where_identity_is_configured() -> None:
    source = IdentitySource("corp", SourceKind.JWT_AUTHN)
    configured = EngineSettings(identities=Identities([source]))
    asked = call("typed", {"key": "sys:x"})
    assert b"^app:" in (await engine().check(asked)).body
    assert b"^app:" not in (await engine(settings=configured).check(asked)).body
    known = call("typed", {"key": "sys:x"}, sub="alice")
    assert b"^app:" in (await engine(settings=configured).check(known)).body


async def test_the_setting_bounds_what_any_caller_is_told() -> None:
    settings = EngineSettings(style=ReplyStyle(disclose=Disclose.CODE))
    body = (await engine(settings=settings).check(call("drop"))).body
    assert b"not through agents" not in body
    assert b"rule_denied" in body


async def test_the_answer_never_repeats_what_the_caller_sent() -> None:
    decider = engine()
    asked = [call("evil-name"), call("typed", {"key": "evil-value"}), call("typed", {"evil-key": 1})]
    for request in [*asked, post({"jsonrpc": "2.0", "id": 1, "method": "evil/method"})]:
        reply = await decider.check(request)
        assert not reply.allowed
        assert b"evil" not in reply.body
        assert "evil" not in str(reply.headers)


async def test_a_swap_replaces_all_policies_at_once_and_counters_survive_it() -> None:
    decider = engine()
    assert (await decider.check(call("limited"))).allowed
    decider.swap(policies(demo=POLICY.replace("max: 2", "max: 3").replace("get: allow", "get: deny")))
    assert not (await decider.check(call("get"))).allowed
    assert [(await decider.check(call("limited"))).allowed for _ in range(3)] == [True, True, False]


async def test_a_shadow_policy_is_recorded_beside_what_was_done() -> None:
    sink = Sink()
    decider = engine([sink], demo=POLICY, next=SHADOW)
    assert (await decider.check(call("get"))).allowed
    (shadowed,) = sink.last.shadowed
    assert (shadowed.policy, shadowed.effect, shadowed.reason) == ("next.yaml", Effect.DENY, Reason.RULE_DENIED)
    assert not (await decider.check(call("drop"))).allowed
    assert sink.last.shadowed[0].effect is Effect.ALLOW


async def test_a_shadow_policy_counts_on_its_own() -> None:
    sink = Sink()
    decider = engine([sink], demo=POLICY, next=SHADOW)
    assert [(await decider.check(call("limited"))).allowed for _ in range(3)] == [True, True, False]
    assert [record.shadowed[0].reason for record in sink.records] == [
        Reason.ALLOWED,
        Reason.RATE_LIMITED,
        Reason.RATE_LIMITED,
    ]


async def test_a_shadow_policy_asks_nobody_for_an_approval() -> None:
    sink = Sink()
    shadow = "version: 1\nserver: demo\nshadow: true\ntools: {get: require_approval}\n"
    assert (await engine([sink], demo=POLICY, next=shadow).check(call("get"))).allowed
    (shadowed,) = sink.last.shadowed
    assert (shadowed.effect, shadowed.reason, shadowed.rule) == (Effect.DENY, Reason.APPROVAL_REQUIRED, "tools.get")


async def test_a_shadow_policy_may_name_another_identity_source() -> None:
    sources = [IdentitySource("corp", SourceKind.JWT_AUTHN), IdentitySource("mesh", SourceKind.PEER)]
    files = {
        "demo.yaml": b"version: 1\ntools: {get: {action: allow, principals: [corp/alice]}}\n",
        "next.yaml": b"version: 1\nserver: demo\nshadow: true\nidentity: mesh\n"
        b"tools: {get: {action: allow, principals: ['mesh/spiffe://lab/agent']}}\n",
    }
    identities = Identities(sources)
    found = compile_policies(files, PolicyContext(identities.claims))
    assert not found.problems, found.problems
    sink = Sink()
    decider = Engine(found, MemoryStore(), [sink], EngineSettings(identities=identities))
    assert (await decider.check(call("get", sub="alice", peer="spiffe://lab/agent"))).allowed
    assert sink.last.shadowed[0].effect is Effect.ALLOW
    assert (await decider.check(call("get", sub="alice", peer="spiffe://lab/other"))).allowed
    assert sink.last.shadowed[0].effect is Effect.DENY


@pytest.mark.interpreted
async def test_a_shadow_policy_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class ShadowBreaks(MemoryStore):
        async def discharge(self, attempt: Attempt) -> Discharge:
            owed = next(one for part in attempt.parts for one in part.charges)
            if owed.limit.key[0].startswith("shadow"):
                raise RuntimeError("bug")
            return await super().discharge(attempt)

    sink = Sink()
    with caplog.at_level(logging.CRITICAL):
        reply = await engine([sink], ShadowBreaks(), demo=POLICY, next=SHADOW).check(call("limited"))
    assert reply.allowed
    assert sink.last.shadowed[0].reason is Reason.INTERNAL


async def test_explaining_charges_nothing_and_records_nothing() -> None:
    sink = Sink()
    decider = engine([sink])
    for _ in range(5):
        found = await decider.explain(call("limited"))
        assert found.reply.allowed
        assert [one.limit.name for owed in found.obligations for one in owed if isinstance(one, Charge)] == ["two"]
    assert sink.records == []
    assert (await decider.check(call("limited"))).allowed


async def test_an_explanation_names_every_rule_that_was_tried() -> None:
    found = await engine().explain(call("typed", {"key": "sys:x"}))
    assert [(step.place, step.result) for step in found.steps][:2] == [
        ("tools.typed", "chosen"),
        ("tools.typed", "held"),
    ]
    assert found.decisions[0].reason is Reason.ARGUMENTS_INVALID
    assert result_of(found.reply)["result"]["isError"] is True


async def test_ids_are_unique_without_being_told() -> None:
    sink = Sink()
    decider = Engine(policies(demo=POLICY), MemoryStore(), [sink])
    for _ in range(100):
        await decider.check(call("get"))
    assert len({record.decision.id for record in sink.records}) == 100


async def test_where_bodies_come_as_text_an_exclamation_mark_in_a_constrained_argument_is_not_trusted() -> None:
    decider = engine()
    asked = call("typed", {"key": "app:wow!", "note": "x"})
    assert (await decider.check(asked)).allowed
    assert not (await decider.check(replace(asked, body_is_text=True))).allowed
    free = call("typed", {"key": "app:wow", "note": "wow!"})
    assert (await decider.check(replace(free, body_is_text=True))).allowed


# ------------------------------------------------------------------------------------------------- who asks for a check


@pytest.mark.parametrize(
    ("caller", "reason", "named"),
    [
        ("spiffe://td/ns/demo/sa/proxy", Reason.ALLOWED, True),
        ("spiffe://td/ns/other/sa/proxy", Reason.NO_POLICY, True),
        ("CN=envoy", Reason.ALLOWED, True),
        ("CN=stranger", Reason.NO_POLICY, True),
        ("unix", Reason.ALLOWED, False),
        ("127.0.0.1", Reason.ALLOWED, False),
    ],
)
async def test_a_proxy_that_is_bound_to_servers_has_no_policy_of_another(
    caller: str, reason: Reason, named: bool
) -> None:
    sink = Sink()
    listed = ("spiffe://td/ns/demo/*=demo", "spiffe://td/ns/other/*=other,team/*", "CN=envoy")
    settings = EngineSettings(callers=Callers([parse_caller(one) for one in listed]))
    reply = await engine([sink], settings=settings).check(call("get", caller=caller))
    assert reply.allowed is (reason is Reason.ALLOWED)
    record = sink.records[0]
    assert (record.decision.reason, record.decision.server) == (reason, "demo")
    assert record.decision.rule == ("callers" if reason is Reason.NO_POLICY else "tools.get")
    assert record.caller == (caller if named else "")


async def test_a_denial_of_a_bound_proxy_charges_nothing() -> None:
    listed = Callers([parse_caller('"CN=other"=x'), parse_caller("CN=envoy")])
    limited = "version: 1\nserver: demo\ntools: {get: {action: allow, rate_limit: {max: 1, window: 60, per: server}}}\n"
    decider = engine(settings=EngineSettings(callers=listed), demo=limited)
    for _ in range(3):
        assert not (await decider.check(call("get", caller="CN=other"))).allowed
    assert (await decider.check(call("get", caller="CN=envoy"))).allowed
    assert not (await decider.check(call("get", caller="CN=envoy"))).allowed
