"""Requests that have paid: known for their time, in bounded memory."""

from __future__ import annotations

from authz.state.repeats import Repeats, identify


def test_what_a_key_has_paid_is_told_by_charge(charge):
    repeats = Repeats(10.0, 5)
    repeats.remember(b"k", [charge(), charge(), charge(who="bob", cost=2.5)], [], 0.0)
    assert repeats.recall(b"k", 9.9).costs == {identify(charge()): 2.0, identify(charge(who="bob")): 2.5}
    assert repeats.recall(b"k", 10.0) is None
    assert repeats.recall(b"other", 0.0) is None


def test_a_recall_is_the_callers_own(charge):
    repeats = Repeats(10.0, 5)
    repeats.remember(b"k", [charge()], [], 0.0)
    repeats.recall(b"k", 0.0).costs.clear()
    assert repeats.recall(b"k", 0.0).costs == {identify(charge()): 1.0}


def test_a_key_that_pays_more_keeps_its_time(charge):
    repeats = Repeats(10.0, 5)
    repeats.remember(b"k", [charge(cost=2.0)], [], 0.0)
    repeats.remember(b"k", [charge(), charge(who="bob")], [], 5.0)
    assert repeats.recall(b"k", 9.9).costs == {identify(charge()): 2.0, identify(charge(who="bob")): 1.0}
    assert repeats.recall(b"k", 10.0) is None


def test_a_key_whose_time_is_over_begins_anew(charge):
    repeats = Repeats(10.0, 2)
    for key, now in ((b"a", 0.0), (b"b", 1.0), (b"a", 10.5), (b"c", 10.6)):
        repeats.remember(key, [charge()], [], now)
    assert [bool(repeats.recall(key, 10.7)) for key in (b"a", b"b", b"c")] == [True, False, True]


def test_when_there_are_too_many_the_oldest_is_forgotten(charge):
    repeats = Repeats(10.0, 3)
    for i in range(5):
        repeats.remember(bytes([i]), [charge()], [], i / 10)
    assert [bool(repeats.recall(bytes([i]), 1.0)) for i in range(5)] == [False, False, True, True, True]
    assert len(repeats) == 3


def test_keys_whose_time_is_over_are_forgotten_a_few_at_a_time(charge):
    repeats = Repeats(10.0, 100)
    for i in range(5):
        repeats.remember(bytes([i]), [charge()], [], float(i))
    left = []
    for now in (9.9, 13.5, 13.5, 13.5, 99.0, 99.0):
        repeats.reclaim(now)
        left.append(len(repeats))
    assert left == [5, 3, 1, 1, 0, 0]


def test_the_grants_a_key_has_claimed_are_told_by_digest(charge):
    repeats = Repeats(10.0, 5)
    repeats.remember(b"k", [], [(b"a", "1"), (b"a", "2"), (b"b", "3")], 0.0)
    repeats.recall(b"k", 0.0).claims[b"a"].pop()
    assert repeats.recall(b"k", 0.0).claims == {b"a": ["1", "2"], b"b": ["3"]}
    repeats.remember(b"k", [charge()], [(b"a", "1"), (b"c", "4")], 5.0)
    assert repeats.recall(b"k", 5.0).claims == {b"a": ["1", "2"], b"b": ["3"], b"c": ["4"]}


def test_what_is_paid_covers_once(charge):
    repeats = Repeats(10.0, 5)
    repeats.remember(b"k", [charge(cost=2.0)], [], 0.0)
    paid = repeats.recall(b"k", 0.0)
    assert [paid.cover(charge(cost=1.5)), paid.cover(charge()), paid.cover(charge())] == [0.0, 0.5, 1.0]
    assert paid.cover(charge(who="bob")) == 1.0
