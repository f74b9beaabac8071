"""Quotas -> the RateLimit-Policy and RateLimit response headers (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from authz.model import Quota

_NOT_STRING = re.compile(r"[^ -~]")  # RFC 9651 section 3.3.3: a structured string is printable ASCII
_LARGEST = 999_999_999_999_999  # RFC 9651 section 3.3.1: an integer has at most 15 digits


def encode_quotas(quotas: Iterable[Quota]) -> tuple[tuple[str, str], ...]:
    """Both headers, or none where there are no quotas.

    Of counters of one limit the fullest is shown, and of limits that share a name.
    """
    fullest: dict[str, Quota] = {}
    for quota in quotas:
        name = _string(quota.limit.name)
        if name not in fullest or quota.remaining < fullest[name].remaining:
            fullest[name] = quota
    if not fullest:
        return ()
    policies = (
        f"{name};q={_integer(quota.limit.max)};w={_integer(quota.limit.window)}" for name, quota in fullest.items()
    )
    states = (f"{name};r={_integer(quota.remaining)};t={_integer(quota.reset)}" for name, quota in fullest.items())
    return ("ratelimit-policy", ",".join(policies)), ("ratelimit", ",".join(states))


def _string(text: str) -> str:
    plain = _NOT_STRING.sub("_", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


def _integer(number: float) -> int:
    return math.ceil(max(0.0, number)) if number < _LARGEST else _LARGEST
