"""`x-forwarded-client-cert` is believed of listed callers, where it can be read in one way only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.identity import Identities, IdentitySource, SourceKind
from authz.identity.xfcc import is_spiffe_id, spiffe_id
from authz.model import ANONYMOUS, HttpRequest

ALICE = "spiffe://cluster.local/ns/agents/sa/alice"
WAYPOINT = "spiffe://cluster.local/ns/a/sa/waypoint"
SOURCE = IdentitySource("mesh", SourceKind.XFCC, callers=frozenset([WAYPOINT]))


def request(header: str | None, caller: str = WAYPOINT, peer: str = "") -> HttpRequest:
    headers = {} if header is None else {"x-forwarded-client-cert": header}
    return HttpRequest("POST", "/mcp", "h", headers, caller=caller, peer=peer)


def test_the_client_of_a_listed_waypoint_is_the_principal_and_the_peer() -> None:
    found = Identities([SOURCE]).identify(request(f'By={WAYPOINT};Hash=0a;Subject="";URI={ALICE}'), "mesh")
    assert (found.id, found.peer, found.source, found.verified) == (ALICE, ALICE, "mesh", True)
    assert found.absent == {"groups", "client_id", "scopes"}


@pytest.mark.parametrize("caller", ["", "unix", "10.0.0.7", ALICE, WAYPOINT + "x"])
def test_nobody_else_can_say_who_a_client_is(caller: str) -> None:
    assert Identities([SOURCE]).identify(request(f"URI={ALICE}", caller), "mesh") == ANONYMOUS


def test_without_the_header_the_waypoint_itself_is_not_taken_for_its_client() -> None:
    assert Identities([SOURCE]).identify(request(None, peer=WAYPOINT), "mesh") == ANONYMOUS


@pytest.mark.parametrize(
    "header",
    [
        f"URI={ALICE}",
        f"uri={ALICE}",
        f'By={WAYPOINT};URI="{ALICE}"',
        f'Hash=00;Cert="-----BEGIN%20CERT,URI=x;";Subject="CN=a,O=\\"b\\"";URI={ALICE};DNS=a.example;DNS=b.example',
    ],
)
def test_one_element_with_one_uri_is_read(header: str) -> None:
    assert spiffe_id(header) == ALICE


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"URI={ALICE},URI={WAYPOINT}",
        f"URI={ALICE},By={WAYPOINT}",
        f"By={WAYPOINT},URI={ALICE}",
        f"URI={ALICE};URI={WAYPOINT}",
        f"URI={ALICE};uri={ALICE}",
        f"URI={ALICE};",
        f";URI={ALICE}",
        f" URI={ALICE}",
        f"URI= {ALICE}",
        f'URI="{ALICE}',
        f'URI="{ALICE}"x',
        f'Subject="a\\";URI={ALICE}',
        f"Xyz=1;URI={ALICE}",
        f"URI={ALICE}\u00e9",
        "URI=https://example.com/x",
        "URI=spiffe://cluster.local",
        "URI=spiffe://cluster.local/",
        "URI=spiffe://cluster.local/ns/../sa/alice",
        "URI=spiffe://Cluster.local/ns/a",
        "URI=spiffe://cluster.local/ns/a?x",
        "URI=spiffe://cluster.local/ns//a",
        "By=" + WAYPOINT,
        "Hash=" + "0" * 20_000 + f";URI={ALICE}",
    ],
)
def test_what_could_be_read_in_two_ways_names_nobody(header: str) -> None:
    assert spiffe_id(header) == ""


@given(st.text(alphabet='URIBy=;,"\\ spife:/ns', max_size=60))
def test_whatever_a_header_says_what_is_found_is_an_id_that_stands_in_it(header: str) -> None:
    found = spiffe_id(header)
    assert not found or (found in header and is_spiffe_id(found))
