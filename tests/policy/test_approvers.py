"""Who can be named as an approver, and what is said of what cannot."""

from __future__ import annotations

import pytest

from authz.policy.approvers import approver_problem, foreign_source

FORM = "expected group:NAME or the id of a person"


@pytest.mark.parametrize(
    "text", ["alice", "alice@bank.example", "group:dba", "group:a/b", "group:team:pay", "auth0|5", "mailto:a@b", "Ünal"]
)
def test_an_exact_id_or_group_can_approve(text: str) -> None:
    assert approver_problem(text) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("*", f"{FORM}, got '*'; to let anyone approve whom the service lets, leave it out"),
        ("client:cli", f"an OAuth client is no person: {FORM}, got 'client:cli'"),
        ("scope:pay", f"a scope is no person: {FORM}, got 'scope:pay'"),
        ("spiffe://lab/a", f"the peer of a connection is no person: {FORM}, got 'spiffe://lab/a'"),
        ("SPIFFE://lab/a", f"the peer of a connection is no person: {FORM}, got 'SPIFFE://lab/a'"),
        ("groups:dba", "unknown kind of approver in 'groups:dba', did you mean 'group:dba'?"),
        ("Group:dba", "unknown kind of approver in 'Group:dba', did you mean 'group:dba'?"),
        ("role:dba", "unknown kind of approver in 'role:dba', did you mean 'group:dba'?"),
        ("user:alice", "unknown kind of approver in 'user:alice', did you mean 'alice'?"),
        ("al*", "expected an exact name without *, got 'al*'"),
        ("group:*", "expected an exact name without *, got 'group:*'"),
        ("group:", f"{FORM}, got 'group:'"),
        (" ", f"{FORM}, got ' '"),
        ("", f"{FORM}, got ''"),
        (" alice", f"{FORM}, got ' alice'"),
        ("group: dba", f"{FORM}, got 'group: dba'"),
        ("al\u200bice", f"{FORM}, got 'al\\u200bice'"),
        ("al\nice", f"{FORM}, got 'al\\nice'"),
    ],
)
def test_what_can_never_be_a_person_who_says_yes_is_refused(text: str, problem: str) -> None:
    assert approver_problem(text) == problem


@pytest.mark.parametrize(
    ("text", "sources", "meant"),
    [
        ("group:corp/dba", ("corp", "lab"), "group:dba"),
        ("lab/alice", ("corp", "lab"), "alice"),
        ("group:corp/dba", ("corp",), ""),
        ("group:dba", ("corp", "lab"), ""),
        ("group:other/dba", ("corp", "lab"), ""),
        ("corp/", ("corp", "lab"), ""),
    ],
)
def test_a_source_of_the_callers_before_a_name_is_noticed(text: str, sources: tuple[str, ...], meant: str) -> None:
    assert foreign_source(text, sources) == meant
