from __future__ import annotations

from typing import Any

import pytest
from tokens import SOURCE, claims

from authz.errors import TokenBusy, TokenRefused
from authz.identity import Identities, IdentitySource, SourceKind
from authz.model import HttpRequest, JsonObject, Principal

CORP = IdentitySource(
    name="corp",
    kind=SourceKind.JWT_AUTHN,
    payload="jwt",
    issuer="https://idp.example",
    groups="groups",
    client_id="azp",
    scopes="scope",
    claims={"tier": "int", "names": "list(string)", "admin": "bool", "score": "double", "team": "string"},
)
TOKEN = {"iss": "https://idp.example", "sub": "alice", "groups": ["dba"], "azp": "cli", "scope": "read write"}


def request(*, headers: dict[str, str] | None = None, peer: str = "", **payloads: Any) -> HttpRequest:
    verified = {"envoy.filters.http.jwt_authn": payloads} if payloads else {}
    return HttpRequest("POST", "/mcp", "h", headers or {}, peer=peer, verified=verified)


def identify(source: IdentitySource, asked: HttpRequest) -> Principal:
    return Identities([source]).identify(asked, source.name)


def test_a_verified_token_is_a_principal() -> None:
    found = identify(CORP, request(jwt=TOKEN))
    assert found == Principal(
        id="alice",
        issuer="https://idp.example",
        source="corp",
        client_id="cli",
        groups=frozenset(["dba"]),
        scopes=frozenset(["read", "write"]),
        claims={},
        verified=True,
    )


@pytest.mark.parametrize(
    "payloads",
    [
        {},
        {"other": TOKEN},
        {"jwt": {**TOKEN, "iss": "https://evil.example"}},
        {"jwt": {**TOKEN, "sub": ""}},
        {"jwt": {**TOKEN, "sub": 5}},
        {"jwt": {"iss": "https://idp.example"}},
        {"jwt": "text"},
        {"jwt": ["list"]},
    ],
)
def test_anything_else_is_nobody(payloads: dict[str, Any]) -> None:
    assert not identify(CORP, request(**payloads)).verified


def test_metadata_of_another_filter_is_nobody() -> None:
    asked = HttpRequest("POST", "/mcp", "h", {}, verified={"envoy.filters.http.mcp": {"jwt": TOKEN}})
    assert not identify(CORP, asked).verified


@pytest.mark.parametrize("groups", ["dba", 5, [1], None, {"a": 1}])
def test_groups_that_are_no_list_of_texts_are_absent_and_not_empty(groups: object) -> None:
    found = identify(CORP, request(jwt={**TOKEN, "groups": groups}))
    assert found.groups == frozenset()
    assert found.absent == {"groups"}


def test_a_source_may_say_that_absent_means_empty() -> None:
    source = IdentitySource("corp", SourceKind.JWT_AUTHN, payload="jwt", groups="groups", absent_empty=True)
    assert identify(source, request(jwt={"sub": "a"})).absent == frozenset()


def test_claims_have_their_declared_type_or_are_absent() -> None:
    claims = {"tier": 2.0, "names": ["a"], "admin": True, "score": 1.5, "team": "x"}
    assert identify(CORP, request(jwt={**TOKEN, **claims})).claims == {**claims, "tier": 2}
    wrong = {"tier": 2.5, "names": "a", "admin": 1, "score": True, "team": 5}
    assert identify(CORP, request(jwt={**TOKEN, **wrong})).claims == {}


@pytest.mark.parametrize("tier", [float("nan"), float("inf"), 2.0**54])
def test_an_integer_claim_that_may_have_been_rounded_is_absent(tier: float) -> None:
    assert identify(CORP, request(jwt={**TOKEN, "tier": tier})).claims == {}


def test_without_settings_the_one_payload_counts() -> None:
    identities = Identities()
    assert not identities.configured
    assert identities.identify(request(any_name=TOKEN), identities.default).id == "alice"
    assert identities.identify(request(any_name=TOKEN), identities.default).client_id == "cli"
    assert not identities.identify(request(one=TOKEN, two=TOKEN), identities.default).verified


def test_the_peer_is_a_principal_where_a_source_says_so() -> None:
    source = IdentitySource("mesh", SourceKind.PEER)
    assert identify(source, request(peer="spiffe://lab/a")).id == "spiffe://lab/a"
    assert not identify(source, request()).verified


def test_the_peer_is_known_beside_a_token() -> None:
    assert identify(CORP, request(peer="spiffe://lab/a", jwt=TOKEN)).peer == "spiffe://lab/a"
    assert identify(CORP, request(peer="spiffe://lab/a")).peer == "spiffe://lab/a"


def test_headers_are_a_principal_where_a_source_says_so() -> None:
    source = IdentitySource("gw", SourceKind.HEADER, id="x-user", groups="x-groups", scopes="x-scopes")
    found = identify(source, request(headers={"x-user": "bob", "x-groups": "a, b,", "x-scopes": "r w"}))
    assert (found.id, found.groups, found.scopes) == ("bob", {"a", "b"}, {"r", "w"})
    assert found.absent == {"client_id"}


@pytest.mark.parametrize("value", ["", "bob,admin", "bob\n"])
def test_an_id_header_that_came_twice_or_is_odd_is_nobody(value: str) -> None:
    source = IdentitySource("gw", SourceKind.HEADER, id="x-user")
    assert not identify(source, request(headers={"x-user": value})).verified


def test_headers_are_nobody_where_no_source_says_so() -> None:
    assert not identify(CORP, request(headers={"x-user": "admin", "authorization": "Bearer x"})).verified


# ------------------------------------------------------------------------------------------- tokens verified here


class Verifying:
    """Takes one token for good, and remembers what it was asked."""

    def __init__(self, **more: Any) -> None:
        self.asked: list[tuple[str, str, str, float]] = []
        self.more = more

    def verify(self, token: str, audience: str, sender: str, now: float) -> JsonObject:
        self.asked.append((token, audience, sender, now))
        if token != "good":
            raise TokenRefused("no", "malformed")
        return claims(**self.more)


def bearer(header: str | None, peer: str = "spiffe://a/b") -> HttpRequest:
    headers = {} if header is None else {"authorization": header}
    return HttpRequest("POST", "/mcp", "h", headers, peer=peer, source_address="192.0.2.7")


@pytest.mark.parametrize("header", ["Bearer good", "bearer good", "BEARER   good", "Bearer good  "])
def test_the_bearer_of_a_token_is_whom_it_names(header: str) -> None:
    verifier = Verifying(groups=["dba"], scope="read write", client_id="cli")
    found = Identities([SOURCE], {"corp": verifier}).identify(bearer(header), "corp", "bank", 7.0)
    assert verifier.asked == [("good", "https://mcp.example/bank", "192.0.2.7", 7.0)]
    assert found == Principal(
        id="alice",
        issuer="https://idp.example",
        source="corp",
        client_id="cli",
        groups=frozenset(["dba"]),
        scopes=frozenset(["read", "write"]),
        claims={},
        peer="spiffe://a/b",
        verified=True,
    )


@pytest.mark.parametrize("header", [None, "", "Basic Z29vZA==", "Digest username=bearers", "Bearers good", "good"])
def test_without_a_bearer_token_nobody_asks(header: str | None) -> None:
    verifier = Verifying()
    found = Identities([SOURCE], {"corp": verifier}).identify(bearer(header), "corp", "bank", 7.0)
    assert (found, verifier.asked) == (Principal(peer="spiffe://a/b"), [])


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer good, Bearer good",
        "Bearer good,Bearer other",
        "Basic Z29vZA==, Bearer good",
        "Basic Z29vZA==,bearer good",
        "Bearer\tgood",
        " Bearer good",
        ",Bearer good",
        "Bearer\xa0good",
        "Bearer Bearer good",
        "Bearer good\t",
        "bearer=good",
    ],
)
def test_a_token_that_another_reader_could_find_is_refused(header: str) -> None:
    with pytest.raises(TokenRefused):
        Identities([SOURCE], {"corp": Verifying()}).identify(bearer(header), "corp", "bank", 7.0)


def test_a_token_that_does_not_say_who_is_refused_and_not_nobody() -> None:
    with pytest.raises(TokenRefused, match=r"^the token does not say who it is of$"):
        Identities([SOURCE], {"corp": Verifying(sub="")}).identify(bearer("Bearer good"), "corp", "bank", 7.0)


def test_a_source_without_a_verifier_can_tell_nobody() -> None:
    with pytest.raises(TokenBusy, match=r"^no keys of the issuer are known yet$"):
        Identities([SOURCE]).identify(bearer("Bearer good"), "corp", "bank", 7.0)
