"""Any sequence of attempts and clock moves, by all three algorithms at once, against lists of all that was paid."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from authz.state.store import Attempt, Owed

WINDOW = 60.0
MOST = {"sliding_window": 5, "fixed_window": 5, "token_bucket": 30}
BURST = 4


class Sliding:
    def __init__(self):
        self.log = []

    def used(self, now):
        return sum(cost for then, cost in self.log if then + WINDOW > now)

    def fits(self, now, cost):
        return self.used(now) + cost <= MOST["sliding_window"]

    def pay(self, now, cost):
        self.log.append((now, cost))
        for end, _ in self.log:  # never more than max in any window
            assert sum(paid for then, paid in self.log if end - WINDOW < then <= end) <= MOST["sliding_window"]


class Fixed(Sliding):
    def used(self, now):
        return sum(cost for then, cost in self.log if then // WINDOW == now // WINDOW)

    def pay(self, now, cost):
        self.log.append((now, cost))
        assert self.used(now) <= MOST["fixed_window"]


class Bucket(Sliding):
    def used(self, now):
        missing, before = Fraction(0), Fraction(0)
        for then, cost in [*self.log, (now, 0.0)]:
            missing = max(Fraction(0), missing - (Fraction(then) - before) * MOST["token_bucket"] / 60)
            missing, before = missing + Fraction(cost), Fraction(then)
        return missing

    def fits(self, now, cost):
        return self.used(now) + Fraction(cost) <= BURST

    def pay(self, now, cost):
        self.log.append((now, cost))
        for begin, _ in self.log:  # never more than the burst and what has come back meanwhile
            paid = sum(Fraction(cost) for then, cost in self.log if then >= begin)
            assert paid <= BURST + Fraction(now - begin) * MOST["token_bucket"] / 60


MODELS = {"sliding_window": Sliding, "fixed_window": Fixed, "token_bucket": Bucket}
# Multiples of 1/8 s and of 1/4, so that edges are hit and all arithmetic is exact.
STEPS = st.one_of(
    st.just(0.0), st.integers(0, 40).map(lambda n: n / 8), st.sampled_from([WINDOW, 20.0, WINDOW / 2, 119.875])
)
CHARGES = st.tuples(
    st.sampled_from(sorted(MODELS)), st.sampled_from(["alice", "bob"]), st.sampled_from([1.0, 1.0, 0.25, 2.5, 4.5])
)
MOVES = st.lists(
    st.tuples(
        STEPS,
        st.lists(CHARGES, min_size=1, max_size=3),
        st.sampled_from(["pay", "pay", "pay", "peek", "wait"]),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_no_sequence_gets_more_than_its_limits_or_less(play, limit, charge, moves):
    limits = {name: limit(MOST[name], WINDOW, name, name, BURST) for name in MODELS}

    async def script(store, clock):
        models = {(name, who): MODELS[name]() for name in MODELS for who in ("alice", "bob")}
        for step, charges, how in moves:
            clock.now += step
            owed = {}
            for name, who, cost in charges:
                owed[name, who] = owed.get((name, who), 0.0) + cost
            refused = {name for (name, who), cost in owed.items() if not models[name, who].fits(clock.now, cost)}
            parts = [Owed((charge(limits[name], who, cost=cost),)) for name, who, cost in charges]
            got = await store.discharge(Attempt(parts, peek=how == "peek"))
            assert (got.paid, {one.name for one in got.exhausted}) == (not refused, refused)
            if how == "wait" and 0.0 < got.retry_after < math.inf:
                assert got.retry_after <= 2 * WINDOW
                clock.now += math.ceil(got.retry_after * 8) / 8
                got = await store.discharge(Attempt(parts))
                assert got.paid
            if got.paid and how != "peek":
                for (name, who), cost in owed.items():
                    models[name, who].pay(clock.now, cost)
        for usage in await store.usage():
            model = models[usage.limit.name, dict(usage.descriptor)["principal"]]
            assert usage.used == pytest.approx(float(model.used(clock.now)), abs=1e-9)

    play(script)


@settings(max_examples=100, deadline=None)
@given(MOVES, st.lists(st.sampled_from([1, 2, 3, 5, 8]), min_size=30, max_size=30))
def test_no_sequence_of_changes_of_max_makes_a_window_forget(play, limit, charge, moves, maxima):
    async def script(store, clock):
        paid = {"sliding_window": [], "fixed_window": []}
        for (step, charges, _), most in zip(moves, maxima, strict=False):
            clock.now += step
            for name, log in paid.items():
                one = structs.replace(limit(most, WINDOW, name, name))
                live = [
                    cost
                    for then, cost in log
                    if (then // WINDOW == clock.now // WINDOW if name == "fixed_window" else then + WINDOW > clock.now)
                ]
                cost = charges[0][2]
                got = await store.discharge(Attempt([Owed((charge(one, cost=cost),))]))
                assert got.paid == (sum(live) + cost <= most)
                log += [(clock.now, cost)] if got.paid else []

    play(script)
