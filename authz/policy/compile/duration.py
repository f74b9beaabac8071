"""Text of a policy -> numbers: windows (`30s 5m 1h 1d`, or seconds) and the shorthand `10/minute`."""

from __future__ import annotations

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RATES = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


MAX_DAYS = 366


def parse_window(value: int | str, most_days: int = MAX_DAYS) -> float:
    """Seconds of a `window` or `timeout` of at most `most_days`; ValueError says what was expected."""
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = value
    else:
        number, unit = str(value)[:-1], str(value)[-1:]
        if unit not in _UNITS or not number.isdecimal() or not number.isascii() or len(number) > 9:
            raise ValueError(f"expected seconds, or a number with s, m, h or d, got {value!r}")
        seconds = int(number) * _UNITS[unit]
    if not 1 <= seconds <= most_days * 86_400:
        raise ValueError(f"expected at least 1 second and at most {most_days} days, got {value!r}")
    return float(seconds)


def parse_rate(text: str) -> tuple[int, float]:
    """`10/minute` -> (10, 60.0); ValueError says what was expected."""
    number, slash, unit = text.partition("/")
    if not slash or unit not in _RATES or not number.isdecimal() or not number.isascii() or len(number) > 9:
        raise ValueError(f"expected NUMBER/second, /minute, /hour or /day, got {text!r}")
    return int(number), float(_RATES[unit])
