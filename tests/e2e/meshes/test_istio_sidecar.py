"""An Istio sidecar: the peer by mTLS, tokens verified here (ext_authz comes before jwt_authn), the server by the
certificate of the workload that was connected to. Nothing of the route arrives."""

from __future__ import annotations

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


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_nobody_passes_for_somebody_else(sidecars: Mesh, attempt: Attempt) -> None:
    assert_denied(sidecars, attempt)


def test_a_forged_host_chooses_no_other_policy(sidecars: Mesh) -> None:
    attempt = Attempt("host", bob, None, "", (("host", sidecars.hosts["lab"]),))
    assert fruitless(sidecars, attempt).reason == "rule_denied"


def test_calls_are_charged_to_the_bearer_of_the_token_whatever_headers_say(sidecars: Mesh) -> None:
    assert_charged_to_itself(sidecars)


def test_a_flood_of_unknown_key_ids_touches_nobody(sidecars: Mesh) -> None:
    assert_floods_touch_nobody(sidecars)


def test_a_workload_is_known_by_namespace_and_service_account(sidecars: Mesh) -> None:
    assert_known_by_account(sidecars)


@pytest.mark.parametrize("headers", [(), CERTIFICATE], ids=["plain", "a forged client certificate"])
def test_another_workload_is_not(sidecars: Mesh, headers: Headers) -> None:
    assert_another_is_not(sidecars, headers)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_clients_work(sidecars: Mesh, mode: str) -> None:
    await assert_clients_work(sidecars, mode)


async def test_a_client_works_by_its_certificate_alone(sidecars: Mesh) -> None:
    await assert_works_without_a_token(sidecars)


def test_a_flood_of_forged_signatures_touches_nobody(sidecars: Mesh) -> None:
    """The last one: until the second is over, new tokens from its address are told to come again."""
    assert_forged_signatures_cost_little(sidecars)
