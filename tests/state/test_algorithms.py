"""The fixed window and the token bucket, each against what it promises."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.model import Algorithm, Limit
from authz.state.bucket import TokenBucket
from authz.state.counter import plus
from authz.state.fixed import FixedWindow

WINDOW = 60.0
STEPS = st.one_of(st.just(0.0), st.integers(1, 200).map(lambda n: n / 8), st.floats(0.0, 70.0))
COSTS = st.sampled_from([1.0, 1.0, 2.0, 0.5, 0.1, 3.7])


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.7, 1e-9, 3.0, 1e9]), st.booleans())))
def test_a_running_sum_of_two_doubles_loses_nothing_that_one_could_show(moves):
    total, rest, kept, peak = 0.0, 0.0, [], 1.0
    for amount, back in moves:
        amount = -kept.pop() if back and kept else amount
        kept += [amount] if amount > 0 else []
        total, rest = plus(total, rest, amount)
        peak = max(peak, total)
        assert math.isclose(total, math.fsum(kept), rel_tol=2**-52, abs_tol=peak * 2**-90)


@pytest.fixture
def fixed(limit):
    return lambda epoch=0.0, most=3, times=1: FixedWindow(limit(most, WINDOW, algorithm="fixed_window"), epoch, times)


@pytest.fixture
def bucket(limit):
    return lambda most=60, burst=5, times=1: TokenBucket(limit(most, WINDOW, "b", "token_bucket", burst), times)


@pytest.mark.parametrize("epoch", [0.0, 17.0, 1_799_971_213.25, 1e9 + 1 / 3])
def test_a_window_is_aligned_whatever_the_clock_began_with(fixed, epoch):
    counter = fixed(epoch)
    counter.add(5.0, 1.0)
    edge = counter.due
    assert 5.0 < edge <= 65.0
    assert (edge + epoch) % WINDOW == pytest.approx(0.0, abs=1e-6) or (edge + epoch) % WINDOW > WINDOW - 1e-6
    assert counter.used(math.nextafter(edge, 0.0)) == 1.0
    assert counter.used(edge) == 0.0
    counter.add(edge, 1.0)
    assert counter.due == edge + WINDOW


@given(st.floats(0.0, 2e9), st.floats(0.0, 1e7))
def test_every_moment_is_before_the_end_of_its_window(epoch, now):
    counter = FixedWindow(Limit("a", ("a",), 3, WINDOW, "bank"), epoch)
    counter.add(now, 1.0)
    assert now < counter.due <= now + WINDOW + 1e-6
    assert now + counter.reset(now) >= counter.due


def test_what_inherits_a_fixed_window_counts_both(fixed):
    one, other = fixed(), fixed()
    one.add(10.0, 1.0)
    other.add(50.0, 2.0)
    one.inherit(other, 55.0)
    assert (one.used(59.0), one.used(60.0), other.used(59.0)) == (3.0, 0.0, 2.0)
    one.inherit(other, 61.0)
    assert one.used(61.0) == 0.0


def test_a_fixed_window_takes_back_only_what_it_counts(fixed):
    counter = fixed()
    counter.add(50.0, 2.0)
    state = counter.saved()
    counter.take_back(50.0, 1.5, 55.0)
    assert counter.used(55.0) == 0.5
    counter.restore(state)
    assert counter.used(55.0) == 2.0
    counter.used(60.0)
    counter.add(61.0, 1.0)
    counter.take_back(50.0, 1.0, 61.0)
    assert counter.used(61.0) == 1.0


def test_a_counter_of_several_sessions_holds_as_many_times(fixed, bucket):
    assert (fixed(times=10).most, bucket(times=10).most) == (30, 50)
    counter = bucket(times=10)
    counter.add(0.0, 50.0)
    assert (counter.reset(0.0), counter.used(1.0), counter.wait(1.0, 20.0)) == (5.0, 40.0, 1.0)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 100), st.integers(1, 20), st.lists(st.tuples(STEPS, COSTS), max_size=60))
def test_a_bucket_is_as_by_exact_arithmetic(most, burst, moves):
    counter = TokenBucket(Limit("b", ("b",), most, WINDOW, "bank", Algorithm.TOKEN_BUCKET, burst))
    tokens, now = Fraction(burst), 1000.0
    for step, cost in moves:
        before, now = now, now + step
        tokens = min(Fraction(burst), tokens + (Fraction(now) - Fraction(before)) * most / 60)
        assert burst - counter.used(now) == pytest.approx(float(tokens), abs=1e-9)
        if counter.used(now) + cost <= counter.most:
            assert Fraction(cost) <= tokens + Fraction(1, 10**9)
            counter.add(now, cost)
            tokens -= Fraction(cost)
        else:
            assert Fraction(cost) >= tokens - Fraction(1, 10**9)
            wait = counter.wait(now, cost)
            if cost > burst:
                assert wait == math.inf
            else:
                assert wait == pytest.approx(float((Fraction(cost) - tokens) * 60 / most), abs=1e-6)
                assert counter.used(now + wait) + cost <= counter.most
        assert counter.reset(now) == pytest.approx(float((burst - tokens) * 60 / most), abs=1e-6)


def test_a_slower_pace_counts_from_when_it_is_known(bucket, limit):
    counter = bucket(60, 5)
    counter.add(0.0, 5.0)
    counter.adopt(limit(6, WINDOW, "b", "token_bucket", 5), 2.0)
    assert (counter.used(2.0), counter.used(12.0), counter.due) == (3.0, 2.0, 32.0)
    counter.adopt(limit(6, WINDOW, "b", "token_bucket", 2), 12.0)
    assert (counter.most, counter.used(12.0), counter.left(12.0), counter.wait(12.0, 1.0)) == (2, 2.0, 0, 10.0)


def test_what_inherits_a_bucket_misses_what_both_miss(bucket):
    one, other = bucket(), bucket()
    other.add(0.0, 4.0)
    one.add(1.0, 1.0)
    one.inherit(other, 1.0)
    assert (one.used(1.0), one.used(3.0), one.due) == (4.0, 2.0, 5.0)
    one.inherit(other, 10.0)
    assert one.used(10.0) == 0.0


def test_a_bucket_gives_nothing_back_that_has_come_back_by_itself(bucket):
    counter = bucket(60, 5)
    counter.add(0.0, 1.0)
    counter.used(1.0)
    counter.add(1.0, 5.0)  # full of what others have paid
    counter.take_back(0.0, 1.0, 1.0)
    assert counter.used(1.0) == 5.0
    counter.take_back(1.0, 5.0, 3.0)
    assert counter.used(3.0) == 0.0
    state = counter.saved()
    counter.add(4.0, 3.0)
    counter.take_back(4.0, 2.0, 4.0)
    assert counter.used(4.0) == 1.0
    counter.restore(state)
    assert counter.used(4.0) == 0.0


def test_ten_thousand_small_steps_lose_nothing(bucket):
    counter = bucket(60, 5)
    counter.add(0.0, 5.0)
    for i in range(10_000):
        counter.adopt(counter.limit, i / 3000)
        counter.used(i / 3000)
    assert counter.used(4.0) == 1.0
