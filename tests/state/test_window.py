"""The sliding window log, against the list of all that was ever paid."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz.state.window import EXACT, SlidingWindow

WINDOW = 64.0
WHOLE = st.integers(1, 5).map(float)
FRACTION = st.integers(1, 400).map(lambda n: n / 64)  # exact in binary, so that the naive sum is exact too
STEPS = st.one_of(st.just(0.0), st.integers(1, 640).map(lambda n: n / 64), st.floats(0.0, 100.0), st.just(WINDOW))


def naive(log, now, window=WINDOW):
    return math.fsum(cost for then, cost in log if then + window > now)


def offer(counter, now, cost):
    """Pay `cost` if it fits; whether it did."""
    if counter.used(now) + cost > counter.most:
        return False
    counter.add(now, cost)
    return True


@settings(max_examples=60, deadline=None)
@given(st.integers(1, EXACT), st.lists(st.tuples(STEPS, WHOLE), max_size=400))
def test_up_to_128_it_is_exact(limit, most, calls):
    counter = SlidingWindow(limit(most, WINDOW))
    log, now = [], 1000.0
    for step, cost in calls:
        now += step
        used = naive(log, now)
        fits = used + cost <= most
        assert counter.used(now) == used
        if not fits:
            waits = [then + WINDOW for then, _ in log if naive(log, then + WINDOW) + cost <= most and cost <= most]
            expected = min((due - now for due in waits if due > now), default=math.inf)
            assert counter.wait(now, cost) == pytest.approx(expected, abs=1e-9)
            assert expected == math.inf or counter_fits_at(log, now + counter.wait(now, cost), cost, most)
        assert offer(counter, now, cost) == fits
        if fits:
            log.append((now, cost))
        assert counter.left(now) == int(most - naive(log, now))
        assert counter.reset(now) == pytest.approx(max([t + WINDOW - now for t, _ in log] + [0.0]), abs=1e-9)
        assert counter.entries() <= EXACT


def counter_fits_at(log, when, cost, most):
    return naive(log, when) + cost <= most


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 7, 128, 129, 300, 2000]),
    st.lists(st.tuples(STEPS, st.one_of(WHOLE, FRACTION), st.integers(1, 60)), max_size=60),
)
def test_beyond_128_it_never_admits_more_than_max_and_refuses_little_longer(limit, most, bursts):
    counter = SlidingWindow(limit(most, WINDOW))
    log, now = [], 1000.0
    for step, cost, times in bursts:
        for _ in range(times):
            now += step / times
            if offer(counter, now, cost):
                log.append((now, cost))
                assert naive(log, now) <= most
            else:
                assert naive(log, now, WINDOW + WINDOW / EXACT + 1e-9) + cost > most
            assert counter.entries() <= 257


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEPS, st.sampled_from([1, 100, 128, 129, 1000, 5000]), st.integers(1, 300)), max_size=30))
def test_a_max_that_changes_never_makes_it_forget(limit, moves):
    counter = SlidingWindow(limit(1, WINDOW))
    log, now = [], 1000.0
    for step, most, times in moves:
        counter.most = most
        for _ in range(times):
            now += step / times
            if offer(counter, now, 1.0):
                log.append((now, 1.0))
            assert counter.used(now) >= naive(log, now)
            assert counter.used(now) <= naive(log, now, WINDOW + WINDOW / EXACT + 1e-9)
            assert counter.entries() <= 257


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEPS, st.booleans(), st.sampled_from([1.0, 0.5]))), STEPS)
def test_what_inherits_counts_what_both_have_paid(limit, calls, later):
    one, other = SlidingWindow(limit(100, WINDOW)), SlidingWindow(limit(100, WINDOW))
    log, now = [], 1000.0
    for step, first, cost in calls:
        now += step
        if offer(one if first else other, now, cost):
            log.append((now, cost))
    now += later
    kept = other.used(now)
    one.inherit(other, now)
    for when in (now, now + 1, now + WINDOW / 2, now + WINDOW):
        assert one.used(when) == naive(log, when)
    assert other.entries() == 0 or other.used(now) == kept


def test_a_counter_that_was_never_charged_is_live_and_empty(limit):
    counter = SlidingWindow(limit())
    assert (counter.due, counter.used(1e9), counter.reset(1e9), counter.left(1e9)) == (math.inf, 0.0, 0.0, 3)


def test_a_full_window_of_buckets_holds_no_more_than_129(limit):
    counter = SlidingWindow(limit(10**6, WINDOW))
    worst = 0
    for i in range(20_000):
        assert offer(counter, i / 64, 1.0)
        worst = max(worst, counter.entries())
    assert 120 < worst <= 129


def test_many_small_costs_fill_no_more_memory(limit):
    counter = SlidingWindow(limit(100, WINDOW))
    log = []
    for i in range(8000):
        now = i / 100
        if offer(counter, now, 1 / 64):
            log.append((now, 1 / 64))
        assert counter.entries() <= 257
        if i % 100 == 0:
            assert naive(log, now) <= counter.used(now) <= 100


def test_the_time_to_wait_is_never_short_by_a_rounding(limit):
    counter = SlidingWindow(limit(1, 60.1))
    counter.add(0.0, 1.0)
    nows = [part * 0.0007 for part in range(10_000)]
    assert any(now + (60.1 - now) < 60.1 for now in nows)
    assert all(now + counter.wait(now, 1.0) >= 60.1 for now in nows)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([5, 128, 300]),
    st.lists(st.tuples(STEPS, st.one_of(WHOLE, FRACTION), st.booleans()), max_size=200),
)
def test_what_is_taken_back_was_never_paid(limit, most, moves):
    counter = SlidingWindow(limit(most, WINDOW))
    log, now = [], 1000.0
    for step, cost, back in moves:
        now += step
        used = counter.used(now)
        if back and log:
            then, paid = log.pop(len(log) // 2)
            state = counter.saved()
            counter.take_back(then, paid, now)
            taken = counter.saved()
            counter.restore(state)
            assert (counter.used(now), counter.entries()) == (used, len(state[0]))
            counter.restore(taken)
        elif offer(counter, now, cost):
            log.append((now, cost))
        assert naive(log, now) - 1e-9 <= counter.used(now) <= naive(log, now, WINDOW + WINDOW / EXACT + 1e-9) + 1e-9
        assert counter.entries() <= 257


def test_nothing_is_taken_back_from_what_has_not_counted_it(limit):
    counter = SlidingWindow(limit(3, WINDOW))
    counter.take_back(0.0, 1.0, 1.0)
    counter.add(1.0, 2.0)
    counter.take_back(2.0, 1.0, 3.0)
    assert counter.used(3.0) == 2.0
