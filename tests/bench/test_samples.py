import pytest

from tests.bench.samples import Sample, Samples, Spread


def samples(*values: tuple[str, int, float]) -> Samples:
    return Samples(Sample("suite", variant, "calls/s", value, round_) for variant, round_, value in values)


def test_a_ratio_is_taken_within_a_round():
    found = samples(("a", 0, 30), ("b", 0, 10), ("a", 1, 20), ("b", 1, 5), ("a", 2, 50), ("b", 2, 10))
    assert found.ratio("suite", "a", "b", "calls/s") == Spread(3, 4, 5)


def test_a_round_that_lacks_one_of_the_two_does_not_count():
    found = samples(("a", 0, 30), ("b", 0, 10), ("a", 1, 1000))
    assert found.ratio("suite", "a", "b", "calls/s") == Spread(3, 3, 3)


def test_what_was_not_measured_has_no_spread_and_no_ratio():
    found = samples(("a", 0, 30))
    assert found.spread("suite", "b", "calls/s") is None
    assert found.ratio("suite", "a", "b", "calls/s") is None


def test_a_base_of_zero_gives_no_ratio():
    assert samples(("a", 0, 30), ("b", 0, 0)).ratio("suite", "a", "b", "calls/s") is None


def test_two_places_of_one_scale_are_compared():
    found = Samples(
        Sample("engine", "x", "p50 µs", value, round_, at)
        for at, values in ((10, (20, 40)), (1000, (22, 42)))
        for round_, value in enumerate(values)
    )
    ratio = found.ratio("engine", "x", "x", "p50 µs", at=1000, base_at=10)
    assert ratio == Spread(pytest.approx(1.05), pytest.approx(1.075), pytest.approx(1.1))
    assert found.scale("engine", "x", "p50 µs") == [10, 1000]


def test_variants_come_in_the_order_in_which_they_were_measured():
    assert samples(("b", 0, 1), ("a", 0, 1), ("b", 1, 1)).variants("suite", "calls/s") == ["b", "a"]


def test_a_spread_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^spread: expected values, got none$"):
        Spread.of([])
