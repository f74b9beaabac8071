"""What a caller is told who needs a token, or a better one: by the engine, with tokens that are really verified."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from mcp.client.auth import utils
from sinks import Sink
from tokens import AUDIENCE, NOW, RSA, SOURCE, key_set, token

from authz.engine import Engine, EngineSettings
from authz.identity import Identities, IdentitySource, SourceKind
from authz.identity.jwt import Verifier
from authz.identity.keys import Keys
from authz.model import HttpRequest, Reason, Reply
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.state.memory import MemoryStore

POLICY = """
version: 1
server: bank
tools:
  open: allow
  read: {principals: ["*"], action: allow}
  write: {principals: ["scope:bank.write"], action: allow}
  wide:
    arguments: {properties: {amount: {type: integer}}}
    rules:
      - {principals: ["scope:bank.admin", "scope:bank.root"], action: allow}
      - {principals: ["scope:bank.write"], when: "args.amount < 10", action: allow}
      - {action: deny}
  both: {principals: ["scope:bank.write"], action: allow}
  team: {principals: ["group:dba", "scope:bank.dba"], action: allow}
  group: {principals: ["group:dba"], action: allow}
  odd: {principals: ['scope:a"b c'], action: allow}
  quiet: {principals: ["scope:bank.write"], action: allow, disclose: code}
  never: {action: deny}
  asked: {principals: ["scope:bank.ask"], action: require_approval, approval: {by: ["group:boss"]}}
methods:
  GET: {principals: ["scope:bank.stream"], action: allow}
  DELETE: {principals: ["*"], action: allow}
  notifications/cancelled: {principals: ["*"], action: allow}
"""
BASELINE = """
version: 1
server: "*"
tools:
  both:
    rules:
      - {principals: ["scope:org.write"], action: allow}
      - {action: deny}
categories:
  Unknown:
    rules:
      - {principals: ["scope:org.destroy"], action: allow}
      - {action: deny}
"""
METADATA = 'resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/bank"'
MORE = 'Bearer error="insufficient_scope", error_description="the token does not hold the scopes that this needs"'


def engine(
    *files: str, source: IdentitySource = SOURCE, sink: Sink | None = None, challenge: str = "", keys: bool = True
) -> Engine:
    names = ("bank.yaml", "baseline.yaml")
    texts = {name: text.encode() for name, text in zip(names, files or (POLICY,), strict=False)}
    found = compile_policies(texts, PolicyContext({source.name: {}}))
    assert not found.problems, found.problems
    held = Keys()
    if keys:
        held.replace(key_set(RSA))
    identities = Identities([source], {source.name: Verifier(source, held)})
    count = itertools.count(1)
    settings = EngineSettings(identities=identities, challenge=challenge)
    return Engine(
        found, MemoryStore(), [sink or Sink()], settings, clock=lambda: NOW, new_id=lambda: f"id-{next(count)}"
    )


def post(content: Any, header: str | None) -> HttpRequest:
    body = json.dumps(content).encode()
    return request("POST", header, body=body, size=len(body))


def request(method: str, header: str | None, path: str = "/mcp", **more: Any) -> HttpRequest:
    headers = {"content-type": "application/json", "accept": "text/event-stream", "mcp-session-id": "s"}
    headers |= {} if header is None else {"authorization": header}
    return HttpRequest(method, path, "mcp.example", headers, source_address="192.0.2.1", **more)


def call(tool: str, header: str | None, **arguments: Any) -> HttpRequest:
    params = {"name": tool, "arguments": arguments}
    return post({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}, header)


def bearer(scope: str | None = None, **more: Any) -> str:
    return f"Bearer {token(scope=scope, **more)}"


def challenge_of(reply: Reply) -> tuple[int, str | None]:
    return reply.status, dict(reply.headers).get("www-authenticate")


async def test_a_caller_without_a_token_is_sent_for_one_with_the_scopes_that_rules_name() -> None:
    asked = engine()
    assert challenge_of(await asked.check(call("read", None))) == (401, f"Bearer {METADATA}")
    assert challenge_of(await asked.check(call("write", None))) == (401, f'Bearer scope="bank.write", {METADATA}')
    answer = (401, f'Bearer scope="bank.admin bank.root bank.write", {METADATA}')
    assert challenge_of(await asked.check(call("wide", None, amount=1))) == answer
    assert challenge_of(await asked.check(call("odd", None))) == (401, f"Bearer {METADATA}")
    reply = await asked.check(call("write", None))
    assert json.loads(reply.body)["error"]["data"]["reason"] == "unauthenticated"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (bearer(exp=NOW - 31), "the token has expired"),
        (bearer(aud="https://mcp.example/other"), "the token is for another audience"),
        (bearer(iss="https://evil.example"), "the token is of another issuer"),
        ("Bearer x", "the Authorization header is not one signed JWT that can be read without doubt"),
    ],
)
@pytest.mark.parametrize("tool", ["open", "read", "never", "nothing"])
async def test_a_token_that_does_not_count_is_refused_whatever_nobody_may_do(tool: str, header: str, why: str) -> None:
    sink = Sink()
    reply = await engine(sink=sink).check(call(tool, header))
    answer = f'Bearer error="invalid_token", error_description="{why}", {METADATA}'
    assert challenge_of(reply) == (401, answer)
    decision = sink.last.decision
    assert (decision.reason, decision.rule, decision.detail) == (Reason.UNAUTHENTICATED, "identity", why)


@pytest.mark.parametrize(
    ("tool", "arguments", "scope", "needed"),
    [
        ("write", {}, "bank.read", "bank.write"),
        ("write", {}, None, "bank.write"),
        ("wide", {"amount": 1}, "bank.read", "bank.admin bank.root"),
        ("team", {}, "", "bank.dba"),
        ("asked", {}, "", "bank.ask"),
    ],
)
async def test_a_caller_who_lacks_scopes_is_told_which(
    tool: str, arguments: dict[str, Any], scope: str | None, needed: str
) -> None:
    reply = await engine().check(call(tool, bearer(scope, groups=[]), **arguments))
    assert challenge_of(reply) == (403, f'{MORE}, scope="{needed}", {METADATA}')


@pytest.mark.parametrize(
    ("tool", "scope"),
    [("never", ""), ("group", ""), ("nothing", ""), ("quiet", ""), ("odd", ""), ("wide", "bank.write")],
)
async def test_a_caller_whom_no_scope_would_help_is_denied_in_band(tool: str, scope: str) -> None:
    reply = await engine().check(call(tool, bearer(scope, groups=[]), amount=99))
    # `wide` would be allowed by another scope still
    expected = (403, f'{MORE}, scope="bank.admin bank.root", {METADATA}') if tool == "wide" else (200, None)
    assert challenge_of(reply) == expected


async def test_what_baselines_need_is_named_too() -> None:
    reply = await engine(POLICY, BASELINE).check(call("both", bearer("")))
    assert challenge_of(reply) == (403, f'{MORE}, scope="bank.write org.write org.destroy", {METADATA}')
    reply = await engine(POLICY, BASELINE).check(call("both", bearer("bank.write org.destroy")))
    assert challenge_of(reply) == (403, f'{MORE}, scope="org.write", {METADATA}')


async def test_what_categories_need_is_named_too() -> None:
    reply = await engine(POLICY, BASELINE).check(call("open", bearer("")))
    assert challenge_of(reply) == (403, f'{MORE}, scope="org.destroy", {METADATA}')


async def test_allowed_calls_are_not_challenged() -> None:
    reply = await engine().check(call("write", bearer("bank.write")))
    assert (reply.allowed, reply.headers) == (True, ())


@pytest.mark.parametrize(
    ("method", "header", "expected"),
    [
        ("GET", None, (401, f'Bearer scope="bank.stream", {METADATA}')),
        ("GET", bearer("bank.read"), (403, f'{MORE}, scope="bank.stream", {METADATA}')),
        ("DELETE", None, (401, f"Bearer {METADATA}")),
        ("DELETE", bearer(exp=1), None),
    ],
)
async def test_requests_without_a_body_are_answered_alike(method: str, header: str | None, expected: Any) -> None:
    why = f'Bearer error="invalid_token", error_description="the token has expired", {METADATA}'
    assert challenge_of(await engine().check(request(method, header))) == (expected or (401, why))


async def test_a_notification_without_a_good_token_gets_401_too() -> None:
    notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert challenge_of(await engine().check(post(notice, None))) == (401, f"Bearer {METADATA}")
    assert (await engine().check(post(notice, bearer()))).allowed


async def test_the_metadata_are_for_everybody_even_with_a_token_that_does_not_count() -> None:
    path = "/.well-known/oauth-protected-resource/bank"
    for header in (None, "Bearer x", bearer(exp=1), bearer()):
        assert (await engine().check(request("GET", header, path))).allowed


async def test_the_challenge_of_a_batch_is_that_of_the_part_that_was_denied() -> None:
    batch = [
        {"jsonrpc": "2.0", "id": at, "method": "tools/call", "params": {"name": tool}}
        for at, tool in enumerate(("open", "write"))
    ]
    reply = await engine().check(post(batch, bearer("")))
    assert challenge_of(reply) == (403, f'{MORE}, scope="bank.write", {METADATA}')


async def test_while_no_keys_are_known_callers_are_asked_to_try_again() -> None:
    reply = await engine(keys=False).check(call("read", bearer()))
    assert challenge_of(reply) == (200, None)
    assert json.loads(reply.body)["result"]["_meta"]
    assert "busy" in reply.body.decode()


async def test_a_token_of_another_source_is_challenged_by_the_setting_alone() -> None:
    source = replace(SOURCE, kind=SourceKind.JWT_AUTHN)
    assert challenge_of(await engine(source=source).check(call("write", None))) == (200, None)
    asked = engine(source=source, challenge='Bearer realm="x"')
    assert challenge_of(await asked.check(call("write", None))) == (401, 'Bearer realm="x"')
    assert challenge_of(await asked.check(call("never", None))) == (200, None)


async def test_refused_tokens_charge_nobody() -> None:
    policy = """
version: 1
server: bank
tools:
  some: {action: allow, rate_limit: {max: 2, window: 60, per: principal}}
"""
    asked = engine(policy)
    for header in (bearer(exp=1), "Bearer x", bearer(aud="https://mcp.example/other"), bearer(iss="https://e")) * 5:
        assert (await asked.check(call("some", header))).status == 401
    assert [(await asked.check(call("some", bearer()))).allowed for _ in range(3)] == [True, True, False]


async def test_a_shadow_that_wants_a_token_sees_its_refusal() -> None:
    plain = IdentitySource("gw", SourceKind.HEADER, id="x-user")
    keys = Keys()
    keys.replace(key_set(RSA))
    sink = Sink()
    identities = Identities([plain, SOURCE], {"corp": Verifier(SOURCE, keys)})
    small = "version: 1\nserver: bank\nshadow: true\nidentity: corp\ntools: {open: allow}\n"
    found = compile_policies(
        {"a.yaml": b"version: 1\nserver: bank\nidentity: gw\ntools: {open: allow}\n", "s.yaml": small.encode()},
        PolicyContext({"gw": {}, "corp": {}}),
    )
    asked = Engine(found, MemoryStore(), [sink], EngineSettings(identities=identities), clock=lambda: NOW)
    reply = await asked.check(call("open", "Bearer x"))
    assert reply.allowed
    (seen,) = sink.last.shadowed
    assert seen.reason is Reason.UNAUTHENTICATED


async def test_a_shadow_of_the_same_source_denies_a_refused_token_too() -> None:
    shadow = (
        "version: 1\nserver: bank\nshadow: true\ntools: {open: {action: allow, rate_limit: {max: 1, window: 60}}}\n"
    )
    found = compile_policies({"a.yaml": POLICY.encode(), "s.yaml": shadow.encode()}, PolicyContext({"corp": {}}))
    assert not found.problems, found.problems
    keys = Keys()
    keys.replace(key_set(RSA))
    sink = Sink()
    settings = EngineSettings(identities=Identities([SOURCE], {"corp": Verifier(SOURCE, keys)}))
    asked = Engine(found, MemoryStore(), [sink], settings, clock=lambda: NOW)
    for _ in range(3):
        await asked.check(call("open", "Bearer x"))
        (seen,) = sink.last.shadowed
        assert (seen.reason, seen.rule) == (Reason.UNAUTHENTICATED, "identity")
    await asked.check(call("open", bearer()))
    assert sink.last.shadowed[0].reason is Reason.ALLOWED, "nothing was charged"


def test_challenges_are_what_clients_of_the_sdk_read() -> None:
    for status, value in ((401, f'Bearer scope="a b", {METADATA}'), (403, f'{MORE}, scope="a b", {METADATA}')):
        answer = httpx2.Response(status, headers={"WWW-Authenticate": value})
        url = utils.extract_resource_metadata_from_www_auth(answer)  # type: ignore[arg-type, unused-ignore]
        assert url == f"{AUDIENCE.removesuffix('/bank')}/.well-known/oauth-protected-resource/bank"
        assert utils.extract_scope_from_www_auth(answer) == "a b"  # type: ignore[arg-type, unused-ignore]
        error = utils.extract_field_from_www_auth(answer, "error")  # type: ignore[arg-type, unused-ignore]
        assert error == (None if status == 401 else "insufficient_scope")
    assert re.fullmatch(r"[ -~]+", MORE)
