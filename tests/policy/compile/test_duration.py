from __future__ import annotations

import pytest

from authz.policy.compile.duration import parse_rate, parse_window


@pytest.mark.parametrize(
    ("text", "seconds"), [(60, 60), ("60s", 60), ("5m", 300), ("1h", 3_600), ("1d", 86_400), ("366d", 31_622_400)]
)
def test_a_window_is_seconds_or_a_number_with_a_unit(text: int | str, seconds: float) -> None:
    assert parse_window(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5", "5x", "-5m", "1.5h", "٣s", "5 m", True])
def test_anything_else_is_refused(text: int | str) -> None:
    with pytest.raises(ValueError, match=f"^expected seconds, or a number with s, m, h or d, got {text!r}$"):
        parse_window(text)


@pytest.mark.parametrize("text", [0, -1, "0s", "367d"])
def test_a_window_out_of_bounds_is_refused(text: int | str) -> None:
    with pytest.raises(ValueError, match=f"^expected at least 1 second and at most 366 days, got {text!r}$"):
        parse_window(text)


def test_the_shorthand_is_a_number_and_a_unit() -> None:
    assert parse_rate("10/minute") == (10, 60.0)
    assert parse_rate("1/day") == (1, 86_400.0)


@pytest.mark.parametrize("text", ["10", "10/min", "/minute", "x/minute", "-1/minute", "10/minute/"])
def test_another_shorthand_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^expected NUMBER/second, /minute, /hour or /day, got {text!r}$"):
        parse_rate(text)
