"""What Intercept 1.1 decides, told anew from its documentation and measurements, to compare imported policies with.

Takes a policy as plain values that Intercept would load.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


class Intercept:
    """Decides calls by one policy and counts those that are made."""

    def __init__(self, policy: Mapping[str, Any]) -> None:
        self._policy = policy
        self._counters: dict[tuple[str, int], int] = defaultdict(int)

    def allows(self, tool: str, arguments: Mapping[str, Any], now: float) -> bool:
        """Whether the call would pass; counts nothing."""
        policy = self._policy
        hidden = policy.get("hide", [])
        if tool in hidden or "*" in hidden:
            return False
        tools = policy.get("tools", {})
        if policy.get("default", "allow") == "deny" and tool not in tools:
            return False
        return all(self._passes(scope, rule, arguments, now) for scope, rule in self._rules(tool))

    def make(self, tool: str, arguments: Mapping[str, Any], now: float) -> None:
        """Count a call that passed."""
        for scope, rule in self._rules(tool):
            if "state" in rule:
                self._counters[self._key(scope, rule["state"], now)] += self._amount(rule["state"], arguments)

    def _rules(self, tool: str) -> list[tuple[str, Mapping[str, Any]]]:
        tools = self._policy.get("tools", {})
        own = [(tool, _unfolded(tool, rule)) for rule in tools.get(tool, {}).get("rules", [])]
        return own + [("_global", _unfolded("_global", rule)) for rule in tools.get("*", {}).get("rules", [])]

    def _passes(self, scope: str, rule: Mapping[str, Any], arguments: Mapping[str, Any], now: float) -> bool:
        if rule.get("action") == "deny":
            return False
        state = rule.get("state")
        for condition in rule["conditions"]:
            path, operator, value = condition["path"], condition["op"], condition["value"]
            if path.startswith("args."):
                if not _holds(operator, *_found(arguments, path[5:]), value):
                    return False
            elif state is not None:
                most = int(value) - (operator == "lt")
                amount = self._amount(state, arguments)
                if amount is None or self._counters[self._key(scope, state, now)] + amount > most:
                    return False
        return True

    @staticmethod
    def _key(scope: str, state: Mapping[str, Any], now: float) -> tuple[str, int]:
        return f"{scope}.{state['counter']}", math.floor(now / SECONDS[state["window"]])

    @staticmethod
    def _amount(state: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
        if "increment_from" not in state:
            return state.get("increment") or 1
        found, value = _found(arguments, state["increment_from"][5:])
        return int(value) if found and _is_number(value) else None


def _unfolded(scope: str, rule: Mapping[str, Any]) -> Mapping[str, Any]:
    if "rate_limit" not in rule:
        return rule
    count, window = rule["rate_limit"].split("/")
    condition = {"path": f"state.{scope}._rate_{window}", "op": "lte", "value": int(count)}
    return {"conditions": [condition], "state": {"counter": f"_rate_{window}", "window": window}}


def _found(arguments: Any, path: str) -> tuple[bool, Any]:
    for part in path.split("."):
        if not isinstance(arguments, dict) or part not in arguments:
            return False, None
        arguments = arguments[part]
    return True, arguments


def _holds(operator: str, found: bool, actual: Any, expected: Any) -> bool:
    if operator == "exists":
        return (found and actual is not None) == expected
    if not found:
        return False
    match operator:
        case "eq" | "neq":
            return _equal(actual, expected) == (operator == "eq")
        case "in" | "not_in":
            return any(_equal(actual, one) for one in expected) == (operator == "in")
        case "lt" | "lte" | "gt" | "gte":
            if not _is_number(actual):
                return False
            compared = {"lt": actual < expected, "lte": actual <= expected, "gt": actual > expected}
            return compared.get(operator, actual >= expected)
        case "regex":
            return isinstance(actual, str) and re.search(expected, actual) is not None
    if isinstance(actual, str):
        return isinstance(expected, str) and expected in actual
    return isinstance(actual, list) and any(_equal(one, expected) for one in actual)


def _equal(actual: Any, expected: Any) -> bool:
    if _is_number(actual) and _is_number(expected):
        return float(actual) == float(expected)
    # What comes as JSON is float64 there; what the file writes without a point is an integer.
    return _printed(float(actual) if _is_number(actual) else actual) == _printed(expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _printed(value: Any) -> str:
    """As Go's `%v` prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + " ".join(_printed(float(one) if _is_number(one) else one) for one in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{name}:{_printed(value[name])}" for name in sorted(value)) + "]"
    if not isinstance(value, float):
        return str(value)
    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted()
    if value and not -5 < exponent < 6:
        digits = "".join(map(str, number.as_tuple().digits))
        return f"{'-' * (value < 0)}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{exponent:+03d}"
    return format(number, "f")
