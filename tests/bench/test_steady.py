import pytest

from tests.bench.soak.steady import Rest, left_behind, memory_grown

REST = Rest(files=20, threads=9, tasks=4, in_flight=0)


def test_memory_that_grows_while_it_warms_up_has_not_grown():
    grown, allowed = memory_grown([50.0 + number for number in range(40)] + [90.0] * 60)
    assert grown == 0
    assert allowed == 8


def test_memory_that_grows_afterwards_has_grown():
    grown, allowed = memory_grown([100.0 + number for number in range(100)])
    assert grown == pytest.approx(40)
    assert grown > allowed


def test_a_large_service_may_vary_by_a_share():
    assert memory_grown([400.0] * 50) == (0, 20)


def test_too_few_readings_tell_nothing():
    with pytest.raises(ValueError, match=r"^soak: expected at least 15 readings, got 10$"):
        memory_grown([1.0] * 10)


def test_what_was_there_before_is_not_left_behind():
    assert left_behind(REST, Rest(files=19, threads=9, tasks=3, in_flight=0)) == []


def test_whatever_is_more_than_before_is_told():
    assert left_behind(REST, Rest(files=22, threads=10, tasks=5, in_flight=1)) == [
        "file descriptors: expected 20 as before the traffic, got 22",
        "threads: expected 9 as before the traffic, got 10",
        "tasks: expected 4 as before the traffic, got 5",
        "calls in flight: expected none, got 1",
    ]
