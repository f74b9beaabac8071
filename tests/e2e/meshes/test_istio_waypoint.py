"""An ambient waypoint: no source.principal, but the client's SPIFFE id in the header that the waypoint writes before
it asks; Host chooses the policy, and a DENY policy with notHosts after the check refuses a forged one."""

from __future__ import annotations

import grpc
import pytest
from mesh_attempts import ATTEMPTS, CERTIFICATE, Attempt, Headers, bob
from mesh_checks import (
    assert_another_is_not,
    assert_charged_to_itself,
    assert_clients_work,
    assert_denied,
    assert_floods_touch_nobody,
    assert_forged_signatures_cost_little,
    assert_known_by_account,
    assert_works_without_a_token,
    fruitless,
)
from meshes import Mesh

from authz.envoy.pb import ext_authz_pb2 as pb


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_nobody_passes_for_somebody_else(waypoint: Mesh, attempt: Attempt) -> None:
    assert_denied(waypoint, attempt)


def test_a_host_that_no_policy_matches_is_governed_by_none(waypoint: Mesh) -> None:
    attempt = Attempt("host", bob, None, "", (("host", "other.tools.svc.cluster.local"),))
    assert fruitless(waypoint, attempt).reason == "no_policy"


def test_a_forged_host_is_refused_by_the_deny_policy(waypoint: Mesh) -> None:
    attempt = Attempt("host", bob, None, "", (("host", waypoint.hosts["lab"]),))
    answer = fruitless(waypoint, attempt)
    assert (answer.status, answer.body) == (403, b"RBAC: access denied")


def test_without_a_deny_policy_the_client_chooses_its_policy(waypoint: Mesh) -> None:
    """Which is why `--select-by host` at a waypoint needs one: the chain of `vault` has none."""
    reached = waypoint.reached()
    forged = (("host", waypoint.hosts["lab"]),)
    assert waypoint.call(server="vault").reason == "no_rule_holds"
    assert waypoint.call(server="vault", headers=forged).reason == ""
    assert waypoint.reached() == reached + 1


def test_calls_are_charged_to_the_bearer_of_the_token_whatever_headers_say(waypoint: Mesh) -> None:
    assert_charged_to_itself(waypoint)


def test_a_flood_of_unknown_key_ids_touches_nobody(waypoint: Mesh) -> None:
    assert_floods_touch_nobody(waypoint)


def test_a_workload_is_known_by_namespace_and_service_account(waypoint: Mesh) -> None:
    assert_known_by_account(waypoint)


@pytest.mark.parametrize("headers", [(), CERTIFICATE], ids=["plain", "a forged client certificate"])
def test_another_workload_is_not(waypoint: Mesh, headers: Headers) -> None:
    assert_another_is_not(waypoint, headers)


def test_a_certificate_with_two_ids_is_nobodys(waypoint: Mesh) -> None:
    counters, reached = waypoint.counters(), waypoint.reached()
    assert waypoint.call(server="vault", workload="double").reason == "condition_failed"
    assert (waypoint.counters(), waypoint.reached()) == (counters, reached)


def test_the_header_counts_from_the_waypoint_only(waypoint: Mesh) -> None:
    """Somebody else who may ask, here by the unix socket, says what the waypoint would say."""
    counters = waypoint.counters()
    http = pb.AttributeContext.HttpRequest(
        method="POST",
        path="/mcp",
        host=waypoint.hosts["vault"],
        headers={**dict(CERTIFICATE), "content-type": "application/json", "mcp-protocol-version": "2025-06-18"},
        raw_body=b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_value","arguments":{}}}',
    )
    check = pb.CheckRequest()
    check.attributes.request.http.CopyFrom(http)
    with grpc.insecure_channel(f"unix:{waypoint.service.socket}") as channel:
        ask = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
        answer = pb.CheckResponse.FromString(ask(check.SerializeToString(), timeout=10))
    assert answer.status.code == 7
    assert '"reason":"condition_failed"' in answer.denied_response.body
    assert waypoint.counters() == counters


@pytest.mark.parametrize("workload", ["trusted", "intruder"])
def test_without_the_annotation_nobody_is_known(waypoint: Mesh, workload: str) -> None:
    counters, reached = waypoint.counters(), waypoint.reached()
    answer = waypoint.call(server="plain", workload=workload, headers=CERTIFICATE)
    assert answer.reason == "condition_failed"
    assert (waypoint.counters(), waypoint.reached()) == (counters, reached)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_clients_work(waypoint: Mesh, mode: str) -> None:
    await assert_clients_work(waypoint, mode)


async def test_a_client_works_by_its_certificate_alone(waypoint: Mesh) -> None:
    await assert_works_without_a_token(waypoint)


def test_a_flood_of_forged_signatures_touches_nobody(waypoint: Mesh) -> None:
    """The last one: until the second is over, new tokens from its address are told to come again."""
    assert_forged_signatures_cost_little(waypoint)
