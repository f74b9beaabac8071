from __future__ import annotations

from typing import Any

import pytest

from authz.model import Call, Limit, Message, MessageKind, Principal, Target, TargetKind
from authz.policy.limits import LimitRule, caller_descriptor

LIMIT = Limit("n", ("k",), 3, 60.0, "bank")
PAY = Target(TargetKind.TOOL, "pay")
ALICE = Principal(id="alice", issuer="https://idp", source="corp", client_id="cli", verified=True)


def descriptor(*per: str, arguments: Any = None, **call: Any) -> dict[str, str]:
    message = Message(MessageKind.REQUEST, "tools/call", 1, arguments=arguments or {})
    asked = Call(**{"server": "bank", "message": message, "principal": ALICE, "address": "192.0.2.1", **call})
    charge = LimitRule(LIMIT, per).charge(asked, PAY)
    assert charge is not None
    return dict(charge.descriptor)


def test_each_part_separates_counters() -> None:
    found = descriptor("principal", "client", "server", "tool")
    assert found == {
        "principal": "corp\nhttps://idp\nalice",
        "client": "https://idp\ncli",
        "server": "bank",
        "tool": "pay",
    }


def test_the_same_id_from_another_issuer_is_another_principal() -> None:
    other = Principal(id="alice", issuer="https://other", source="corp", verified=True)
    assert descriptor("principal") != descriptor("principal", principal=other)


def test_without_identity_the_source_address_is_who_calls() -> None:
    nobody = Principal()
    for part in ("session", "principal", "client"):
        assert descriptor(part, principal=nobody) == {"address": "192.0.2.1"}
        assert descriptor(part, principal=nobody, address="2001:db8::7") == {"address": "2001:db8::/64"}


def test_a_principal_without_a_client_id_does_not_share_a_counter_with_others_without_one() -> None:
    first, second = (Principal(id=name, source="corp", verified=True) for name in ("a", "b"))
    assert descriptor("client", principal=first) != descriptor("client", principal=second)


def test_only_a_limit_per_session_takes_the_session() -> None:
    message = Message(MessageKind.REQUEST, "tools/call", 1)
    asked = Call("bank", message, ALICE, session="s-1")
    assert LimitRule(LIMIT, ("session",)).charge(asked, PAY).session == "s-1"
    assert LimitRule(LIMIT, ("principal",)).charge(asked, PAY).session == ""


def test_only_charges_that_count_by_address_are_anonymous() -> None:
    message = Message(MessageKind.REQUEST, "tools/call", 1)
    asked = Call("bank", message, Principal(), address="192.0.2.1")
    assert LimitRule(LIMIT, ("session",)).charge(asked, PAY).anonymous
    assert not LimitRule(LIMIT, ("server",)).charge(asked, PAY).anonymous


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (True, 1), (True, "true"), (None, "null"), ("", None), ([1], "[1]"), (2**63, 2**63 + 1)],
)
def test_values_of_different_types_are_different(one: object, other: object) -> None:
    assert descriptor("args.x", arguments={"x": one}) != descriptor("args.x", arguments={"x": other})


def test_equal_numbers_are_equal() -> None:
    assert descriptor("args.x", arguments={"x": 1}) == descriptor("args.x", arguments={"x": 1.0})


def test_an_absent_argument_is_a_value_of_its_own() -> None:
    assert descriptor("args.x") == {"args.x": ""}
    assert descriptor("args.x", arguments={"x": ""}) == {"args.x": '""'}
    assert descriptor("args.x.y", arguments={"x": {"y": "z"}}) == {"args.x.y": '"z"'}
    assert descriptor("args.x.y", arguments={"x": "z"}) == {"args.x.y": ""}


def test_a_long_value_is_kept_as_its_digest() -> None:
    found = descriptor("args.x", arguments={"x": "a" * 1_000_000})["args.x"]
    assert found.startswith("sha256:")
    assert len(found) == 71
    assert found != descriptor("args.x", arguments={"x": "a" * 1_000_001})["args.x"]


@pytest.mark.parametrize(
    ("principal", "address", "expected"),
    [
        (ALICE, "192.0.2.1", ("principal", "corp\nhttps://idp\nalice")),
        (Principal(), "192.0.2.1", ("address", "192.0.2.1")),
        (Principal(), "2001:db8::7", ("address", "2001:db8::/64")),
    ],
)
def test_who_calls_is_what_a_limit_per_principal_counts_by(
    principal: Principal, address: str, expected: tuple[str, str]
) -> None:
    message = Message(MessageKind.REQUEST, "tools/call", 1)
    asked = Call("bank", message, principal, address=address)
    charge = LimitRule(LIMIT, ("principal",)).charge(asked, PAY)
    assert charge is not None
    assert charge.descriptor == (caller_descriptor(asked),) == (expected,)


def test_a_long_id_of_who_calls_is_bounded() -> None:
    message = Message(MessageKind.REQUEST, "tools/call", 1)
    name, value = caller_descriptor(Call("bank", message, Principal(id="a" * 1_000, verified=True)))
    assert (name, value[:7], len(value)) == ("principal", "sha256:", 71)
