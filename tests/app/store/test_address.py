"""`--state` as people write it."""

import pytest

from authz.app.store.address import MEMORY, Place, StateAddress, Topology, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("valkey://db", (Topology.SINGLE, (Place("db", 6379),), False, "", 0, "")),
        ("redis://db:7000/3", (Topology.SINGLE, (Place("db", 7000),), False, "", 3, "")),
        ("valkeys://authz@db.example/", (Topology.SINGLE, (Place("db.example", 6379),), True, "authz", 0, "")),
        ("rediss://a%40b@[::1]:1", (Topology.SINGLE, (Place("::1", 1),), True, "a@b", 0, "")),
        ("valkey+unix:///run/v%20k.sock", (Topology.UNIX, (Place(path="/run/v k.sock"),), False, "", 0, "")),
        ("redis+unix://u@/run/r", (Topology.UNIX, (Place(path="/run/r"),), False, "u", 0, "")),
        (
            "valkey+sentinel://a,b:7/main/2",
            (Topology.SENTINEL, (Place("a", 26379), Place("b", 7)), False, "", 2, "main"),
        ),
        ("rediss+sentinel://a/my.db", (Topology.SENTINEL, (Place("a", 26379),), True, "", 0, "my.db")),
        ("valkey+cluster://a,b:7", (Topology.CLUSTER, (Place("a", 6379), Place("b", 7)), False, "", 0, "")),
        ("valkeys+cluster://u@a/0", (Topology.CLUSTER, (Place("a", 6379),), True, "u", 0, "")),
    ],
)
def test_an_address_says_where_and_how(text, expected):
    address = parse(text)
    assert address == StateAddress(text, *expected)
    assert address.shared
    assert str(address) == text


def test_memory_is_no_server():
    assert parse("memory") is MEMORY
    assert not MEMORY.shared
    assert str(MEMORY) == "memory"


def test_places_are_written_as_they_are_dialled():
    assert [str(place) for place in (Place("a", 1), Place("::1", 2), Place(path="/s"))] == ["a:1", "[::1]:2", "/s"]


SECRET = (
    "expected no password in {}://…, where a list of processes would show it: "
    "give it by state_password as file:PATH or env:NAME"
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("disk", "expected memory or an address such as valkey://HOST:6379/0, got 'disk'"),
        ("memry", "expected memory or an address such as valkey://HOST:6379/0, got 'memry', did you mean 'memory'?"),
        ("u:hunter2@db", "expected memory or an address such as valkey://HOST:6379/0, got something else"),
        (
            "valky://:hunter2@db",
            "expected memory or an address such as valkey://HOST:6379/0, got 'valky://…', did you mean 'valkey'?",
        ),
        (
            "valkeys+unix:///run/s",
            (
                "expected memory or an address such as valkey://HOST:6379/0, got 'valkeys+unix://…', "
                "did you mean 'valkey+unix'?"
            ),
        ),
        ("valkey://:hunter2@db", SECRET.format("valkey")),
        ("rediss+cluster://u:hunter2@db", SECRET.format("rediss+cluster")),
        ("valkey+unix://u:hunter2@/run/s", SECRET.format("valkey+unix")),
        ("valkey://@db", "expected the name of an ACL user before '@', got ''"),
        ("valkey://a b@db", "expected the name of an ACL user before '@', got 'a b'"),
        (
            "valkey://db?password=hunter2",
            "expected no '?' in valkey://…: options are settings of their own (--state-…)",
        ),
        ("valkey://db#1", "expected no '#' in valkey://…: options are settings of their own (--state-…)"),
        ("valkey://", "expected HOST:PORT or [IPv6]:PORT, got '' in 'valkey://'"),
        ("valkey://::1", "expected HOST:PORT or [IPv6]:PORT, got '::1' in 'valkey://::1'"),
        ("valkey://db:0", "expected a port from 1 to 65535, got 'db:0'"),
        ("valkey://db:65536", "expected a port from 1 to 65535, got 'db:65536'"),
        ("valkey://db/x", "expected the number of a database at the end, such as /0, got 'valkey://db/x'"),
        ("valkey://a,b", "expected one HOST:PORT, got 'a,b': several are valkey+sentinel:// or +cluster://"),
        ("valkey+cluster://a,a", "expected each HOST:PORT once, got 'a,a'"),
        ("valkey+cluster://a/1", "expected database 0, the only one that a cluster has, got 'valkey+cluster://a/1'"),
        (
            "valkey+sentinel://a",
            "expected the name of the primary, as in …+sentinel://HOST:26379/NAME/0, got 'valkey+sentinel://a'",
        ),
        ("valkey+unix://run/s", "expected the absolute path of a socket, of up to 107 bytes, got 'run/s'"),
        ("valkey+unix://", "expected the absolute path of a socket, of up to 107 bytes, got ''"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_telling_a_password(text, problem):
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        parse(text)
    assert str(caught.value) == problem
    assert "hunter2" not in problem
