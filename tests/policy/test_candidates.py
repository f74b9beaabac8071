"""Rules that are left out are for somebody else; those that are looked at come in their order."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from authz.model import Principal
from authz.policy.candidates import FEW
from authz.policy.conditions.condition import Match
from authz.policy.principals import compile_principals
from authz.policy.rules import Block, Rule

WORDS = st.sampled_from(["a", "b", "c"])
ENTRIES = st.one_of(
    st.just("*"),
    st.builds("{}:{}".format, st.sampled_from(["group", "client", "scope"]), WORDS),
    WORDS,
    st.sampled_from(["spiffe://td/a", "spiffe://td/*"]),
)
FIELDS = st.frozensets(st.sampled_from(["groups", "client_id", "scopes"]))
PRINCIPALS = st.builds(
    Principal,
    id=WORDS,
    client_id=WORDS,
    groups=st.frozensets(WORDS),
    scopes=st.frozensets(WORDS),
    absent=FIELDS,
    peer=st.sampled_from(["", "spiffe://td/a"]),
    verified=st.booleans(),
)


def block(entries: list[list[str] | None]) -> Block:
    rules = []
    for place, listed in enumerate(entries):
        principals = None if listed is None else compile_principals(listed, ["one"])[0]
        rules.append(Rule(f"tools.t.rules[{place}]", allows=True, principals=principals))
    return Block("tools.t", "t", tuple(rules))


@given(st.lists(st.none() | st.lists(ENTRIES, min_size=1, max_size=3), min_size=FEW + 1, max_size=30), PRINCIPALS)
def test_whatever_is_left_out_does_not_hold(entries: list[list[str] | None], principal: Principal) -> None:
    found = block(entries)
    looked_at = list(found.rules_for(principal))
    assert [rule for rule in found.rules if rule in looked_at] == looked_at
    for rule in found.rules:
        if rule not in looked_at:
            assert rule.principals is not None
            assert rule.principals.match(principal) is Match.NO


def test_of_a_thousand_rules_for_others_none_is_looked_at() -> None:
    found = block([[f"team-{place}"] for place in range(1000)] + [None])
    alice = Principal(id="alice", groups=frozenset({"dba"}), verified=True)
    assert [rule.name for rule in islice(found.rules_for(alice), 5)] == ["tools.t.rules[1000]"]
    bob = Principal(id="team-7", verified=True)
    assert [rule.name for rule in found.rules_for(bob)] == ["tools.t.rules[7]", "tools.t.rules[1000]"]
