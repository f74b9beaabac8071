"""Envoy Gateway as it is: ext_authz before jwt_authn, the server by contextExtensions or by the route's own metadata,
and the body as text."""

from __future__ import annotations

import json

import pytest
import tokens
from mesh_attempts import ATTEMPTS, CERTIFICATE, CLAIM_HEADERS, Attempt, bob
from mesh_checks import (
    METADATA,
    assert_charged_to_itself,
    assert_clients_work,
    assert_denied,
    assert_floods_touch_nobody,
    assert_forged_signatures_cost_little,
    client,
    fruitless,
)
from meshes import Mesh, token

OPENED = ("vault", "opened", f"principal corp/alice of {tokens.ISSUER}")
SET = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "set_value"}}


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_nobody_passes_for_somebody_else(gateway: Mesh, attempt: Attempt) -> None:
    assert_denied(gateway, attempt)


def test_a_host_is_a_route_and_the_token_must_be_for_its_server(gateway: Mesh) -> None:
    attempt = Attempt("host", bob, None, "", (("host", gateway.hosts["lab"]),))
    answer = fruitless(gateway, attempt)
    assert answer.status == 401
    assert answer.challenge.startswith('Bearer error="invalid_token", error_description="the token is for another aud')
    assert answer.challenge.endswith('/.well-known/oauth-protected-resource/lab"')


def test_a_host_without_a_route_leads_nowhere(gateway: Mesh) -> None:
    assert fruitless(gateway, Attempt("host", bob, None, "", (("host", "other.example"),))).status == 404


def test_calls_are_charged_to_the_bearer_of_the_token_whatever_headers_say(gateway: Mesh) -> None:
    assert_charged_to_itself(gateway)


def test_a_flood_of_unknown_key_ids_touches_nobody(gateway: Mesh) -> None:
    assert_floods_touch_nobody(gateway)


def test_a_token_without_the_scope_is_told_which_one(gateway: Mesh) -> None:
    counters, reached = gateway.counters(), gateway.reached()
    answer = gateway.call("list_keys", {}, bearer=token("bob", scope="other"))
    assert (answer.status, answer.reason) == (403, "no_rule_holds")
    assert answer.challenge.startswith('Bearer error="insufficient_scope", ')
    assert answer.challenge.endswith(f'scope="keys", {METADATA}')
    assert (gateway.counters(), gateway.reached()) == (counters, reached)
    assert gateway.call("list_keys", {}, bearer=token("bob", scope="other keys")).reason == ""


def test_the_route_names_the_server(gateway: Mesh) -> None:
    before = gateway.counters().get(OPENED, 0)
    assert gateway.call(server="vault", bearer=token(server="vault")).reason == ""
    assert gateway.counters()[OPENED] == before + 1
    forged = (*CLAIM_HEADERS, *CERTIFICATE)
    assert gateway.call(server="vault", bearer=token("bob", "vault"), headers=forged).reason == "no_rule_holds"
    assert gateway.call(server="vault", headers=forged).status == 401
    assert gateway.counters()[OPENED] == before + 1


# --------------------------------------------------------------------------------------------- the body as text


def body_of(arguments: str, name: str = '"set_value"') -> bytes:
    """A call whose arguments are written so; a `¿` in it becomes a byte that is no UTF-8."""
    text = f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":{name},"arguments":{arguments}}}}}'
    return text.encode().replace("¿".encode(), b"\xff")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (body_of('{"key": "app:!"}'), 200, "arguments_invalid"),
        (body_of('{"key": "app:¿"}'), 200, "arguments_invalid"),
        (body_of('{"k!y": "app:a"}'), 400, "malformed"),
        (body_of('{"key": "app:a", "k¿": 1}'), 400, "malformed"),
        (body_of("{}", '"set¿value"'), 400, "malformed"),
        (body_of("{}", '"set!value"'), 400, "malformed"),
    ],
)
def test_an_exclamation_mark_is_not_trusted_where_something_depends_on_it(
    gateway: Mesh, body: bytes, status: int, reason: str
) -> None:
    counters, reached = gateway.counters(), gateway.reached()
    answer = gateway.call(bearer=token(), body=body)
    assert (answer.status, answer.reason) == (status, reason)
    assert (gateway.counters(), gateway.reached()) == (counters, reached)


def test_an_exclamation_mark_passes_where_nothing_depends_on_it(gateway: Mesh) -> None:
    reached = gateway.reached()
    assert gateway.call(bearer=token(), body=body_of('{"key": "app:a", "value": "hello!", "ttl": 60}')).reason == ""
    assert gateway.reached() == reached + 1


def test_text_of_any_script_and_a_long_body_pass(gateway: Mesh) -> None:
    value = "Grüße, 你好 " * 10_000  # 180 kB: more than the gateway's buffer of a connection
    reached = gateway.reached()
    arguments = {"key": "app:ü", "value": value, "ttl": 60}
    body = json.dumps({**SET, "params": {"name": "set_value", "arguments": arguments}}, ensure_ascii=False).encode()
    assert gateway.call(bearer=token(), body=body).reason == ""
    assert gateway.reached() == reached + 1


# ------------------------------------------------------------------------------------------------ who is welcome


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_clients_work(gateway: Mesh, mode: str) -> None:
    await assert_clients_work(gateway, mode)


async def test_a_client_works_by_the_route(gateway: Mesh) -> None:
    async with client(gateway, "auto", "vault", bearer=token(server="vault")) as agent:
        assert not (await agent.call_tool("get_value", {"key": "app:greeting"})).is_error


def test_a_flood_of_forged_signatures_touches_nobody(gateway: Mesh) -> None:
    """The last one: until the second is over, new tokens from its address are told to come again."""
    assert_forged_signatures_cost_little(gateway)
