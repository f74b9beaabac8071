"""Who may ask for a check, and about which servers."""

from __future__ import annotations

import pytest

from authz.identity.callers import AllowedCaller, Callers, parse_caller

WAYPOINT = "spiffe://cluster.local/ns/a/sa/waypoint"


@pytest.mark.parametrize(
    ("text", "caller"),
    [
        (WAYPOINT, AllowedCaller(WAYPOINT)),
        (f"{WAYPOINT}=a/valkey,a/files", AllowedCaller(WAYPOINT, ("a/valkey", "a/files"))),
        ("spiffe://cluster.local/ns/a/*=a/*", AllowedCaller("spiffe://cluster.local/ns/a/*", ("a/*",))),
        ("CN=envoy,O=Example\\, Inc.", AllowedCaller("CN=envoy,O=Example\\, Inc.")),
        ('"CN=envoy,O=a=b"=bank,shop', AllowedCaller("CN=envoy,O=a=b", ("bank", "shop"))),
    ],
)
def test_an_entry_is_read_and_shown_as_it_is_written(text: str, caller: AllowedCaller) -> None:
    assert parse_caller(text) == caller
    assert str(caller) == text


def test_a_quoted_subject_may_be_without_servers() -> None:
    assert parse_caller('"CN=envoy"') == AllowedCaller("CN=envoy")


@pytest.mark.parametrize(
    "text", ["", "envoy", "*", "spiffe://*", "spiffe://td/*/x", "spiffe://TD/x", "/*", "=a", "unix"]
)
def test_what_is_no_identity_is_refused(text: str) -> None:
    identity = text.partition("=")[0] if text.startswith("spiffe") else text
    with pytest.raises(ValueError, match="expected a SPIFFE id") as caught:
        parse_caller(text)
    assert str(caught.value) == (
        f"expected a SPIFFE id, one that ends in /*, or a subject such as CN=envoy, got {identity!r}"
    )


@pytest.mark.parametrize(("servers", "named"), [("", ""), ("a,", ""), ("*", "*"), ("a*", "a*"), ("a/*/b", "a/*/b")])
def test_what_is_no_server_is_refused(servers: str, named: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a server") as caught:
        parse_caller(f"{WAYPOINT}={servers}")
    assert str(caught.value) == f"expected the name of a server, or TEAM/*, got {named!r}"


def test_a_quote_that_does_not_end_is_refused() -> None:
    for text in ('"CN=envoy', '"CN=envoy"a', '"'):
        with pytest.raises(ValueError, match='expected "SUBJECT"=SERVER,…, got'):
            parse_caller(text)


def callers(*texts: str) -> Callers:
    return Callers([parse_caller(text) for text in texts])


def test_without_a_list_everybody_may_ask_about_everything() -> None:
    assert Callers().knows("CN=x")
    assert Callers().may_ask("CN=x", "bank")
    assert not Callers().bound


def test_a_list_names_exactly_those_who_may_ask() -> None:
    listed = callers(WAYPOINT, "spiffe://cluster.local/ns/b/*", "CN=envoy")
    assert listed.knows(WAYPOINT)
    assert listed.knows("spiffe://cluster.local/ns/b/sa/any")
    assert listed.knows("CN=envoy")
    for stranger in (WAYPOINT + "x", WAYPOINT.upper(), "spiffe://cluster.local/ns/b", "spiffe://cluster.local/ns/b/"):
        assert not listed.knows(stranger)
    assert not listed.knows("spiffe://cluster.local/ns/bc/sa/x")
    assert not listed.knows("CN=envoy,O=x")
    assert not listed.knows("")
    assert not listed.bound


def test_a_bound_caller_may_ask_about_its_servers_only() -> None:
    listed = callers(f"{WAYPOINT}=a/*,shop", '"CN=envoy"=bank', "CN=gateway")
    assert listed.bound
    assert [listed.may_ask(WAYPOINT, server) for server in ("a/x", "shop", "a", "a/", "bank")] == [
        *(True, True),
        *(False, False, False),
    ]
    assert listed.may_ask("CN=envoy", "bank")
    assert not listed.may_ask("CN=envoy", "shop")
    assert listed.may_ask("CN=gateway", "anything")
    assert not listed.may_ask("CN=stranger", "bank")


def test_entries_for_one_caller_add_up() -> None:
    listed = callers(f"{WAYPOINT}=a", f"{WAYPOINT}=b", "spiffe://cluster.local/ns/a/*=c")
    assert [listed.may_ask(WAYPOINT, server) for server in ("a", "b", "c", "d")] == [True, True, True, False]


def test_a_unix_socket_or_an_address_is_no_name_and_bound_to_nothing() -> None:
    listed = callers(f"{WAYPOINT}=a")
    assert all(listed.may_ask(caller, "bank") for caller in ("unix", "127.0.0.1", "::1", ""))
