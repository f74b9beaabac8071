"""Envoy Gateway with jwt_authn before ext_authz (`EnvoyProxy.spec.filterOrder`): the gateway refuses most forged tokens
itself, with its own answer, and forged copies of the headers that `claimToHeaders` writes do not arrive."""

from __future__ import annotations

import pytest
from mesh_attempts import ATTEMPTS, CERTIFICATE, CLAIM_HEADERS, Attempt, bob
from mesh_checks import assert_charged_to_itself, assert_clients_work, assert_denied, client, fruitless, reads
from meshes import Mesh, token

CLAIMED = (*CLAIM_HEADERS, *CERTIFICATE)
OPENED = ("vault", "opened", "principal claims/alice")
DECISIONS = "mcp_authz_decisions_total"


@pytest.fixture(scope="module")
def filter_order() -> str:
    return "jwt_authn"


@pytest.mark.parametrize("attempt", [one for one in ATTEMPTS if one.proxy_says], ids=str)
def test_the_gateway_refuses_forged_tokens_before_it_asks(gateway: Mesh, attempt: Attempt) -> None:
    asked = gateway.metric(DECISIONS)
    answer = fruitless(gateway, attempt)
    assert answer.status == (403 if "Audiences" in attempt.proxy_says else 401)
    assert answer.body.decode().startswith(attempt.proxy_says)
    assert gateway.metric(DECISIONS) == asked + 1  # alice's own


@pytest.mark.parametrize("attempt", [one for one in ATTEMPTS if not one.proxy_says], ids=str)
def test_nobody_passes_for_somebody_else(gateway: Mesh, attempt: Attempt) -> None:
    assert_denied(gateway, attempt)


def test_a_host_is_a_route_and_the_token_must_be_for_its_server(gateway: Mesh) -> None:
    answer = fruitless(gateway, Attempt("host", bob, None, "", (("host", gateway.hosts["lab"]),)))
    assert (answer.status, answer.body) == (403, b"Audiences in Jwt are not allowed")


def test_calls_are_charged_to_the_bearer_of_the_token_whatever_headers_say(gateway: Mesh) -> None:
    assert_charged_to_itself(gateway)


def test_claims_in_headers_are_those_of_the_token(gateway: Mesh) -> None:
    before = gateway.counters().get(OPENED, 0)
    assert gateway.call(server="vault", bearer=token(server="vault")).reason == ""
    assert gateway.call(server="vault", bearer=token(server="vault"), headers=CLAIMED).reason == ""
    assert gateway.call(server="vault", bearer=token("bob", "vault"), headers=CLAIMED).reason == "no_rule_holds"
    assert gateway.call(server="vault", headers=CLAIMED).status == 401
    assert gateway.counters()[OPENED] == before + 2


def test_where_tokens_are_optional_forged_headers_do_not_arrive_either(gateway: Mesh) -> None:
    reached = gateway.reached()
    assert gateway.call(server="lab", bearer=token(server="lab")).reason == ""
    assert gateway.call(server="lab", headers=CLAIMED).reason == "unauthenticated"
    assert gateway.reached() == reached + 1


def test_a_flood_of_unknown_key_ids_does_not_reach_the_service(gateway: Mesh) -> None:
    assert gateway.call(bearer=token()).reason == ""
    asked, fetched, counters = gateway.metric(DECISIONS), gateway.issuer.fetched, gateway.counters()
    for number in range(50):
        assert gateway.call(bearer=token(head={"kid": f"key-{number}"})).status == 401
    assert gateway.call(bearer=token()).reason == ""
    assert gateway.metric(DECISIONS) == asked + 1
    assert gateway.issuer.fetched <= fetched + 1
    assert gateway.counters() == {**counters, reads("alice"): counters[reads("alice")] + 1}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_clients_work(gateway: Mesh, mode: str) -> None:
    await assert_clients_work(gateway, mode)


async def test_a_client_works_by_the_route(gateway: Mesh) -> None:
    async with client(gateway, "auto", "vault", bearer=token(server="vault")) as agent:
        assert not (await agent.call_tool("get_value", {"key": "app:greeting"})).is_error
