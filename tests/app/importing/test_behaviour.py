"""An imported policy decides as Intercept does, and where it differs it denies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imported import Imported
from intercept import Intercept

from authz.app.importing.changes import Options
from authz.errors import PolicyError

PLAIN: list[Any] = ["a", "b", "42", "true", "1e+06", "[a]", 42, 1.5, 0, -1, 1_000_000, True, False]
ANY: list[Any] = [*PLAIN, "ab", "xaby", "1.5", "", ["a"], ["a", 42], [], {}, {"d": "a"}, [["a"]], 41, 43, None]
PATHS = ["a", "b", "c.d"]


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    plain = st.sampled_from(PLAIN)
    numbers = st.sampled_from([42, 1.5, 0, -1])

    def one(operators: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        paths = st.sampled_from([f"args.{path}" for path in PATHS])
        return st.fixed_dictionaries({"path": paths, "op": st.sampled_from(operators), "value": values})

    return st.one_of(
        one(["eq", "neq", "contains"], plain),
        one(["in", "not_in"], st.lists(plain, min_size=1, max_size=3, unique_by=repr)),
        one(["lt", "lte", "gt", "gte"], numbers),
        one(["regex"], st.sampled_from(["^a", "b$", "a", "[0-9]+"])),
        one(["exists"], st.booleans()),
    )


def near(condition: dict[str, Any]) -> list[Any]:
    """Values that such a condition is about, and what some reader takes for them."""
    value = condition["value"]
    values = [*(value if isinstance(value, list) else [value]), None]
    numbers = [one for one in values if kind(one) == "number"]
    texts = [str(one).lower() for one in values]
    return [*values, *texts, *([one] for one in values), *(one + step for one in numbers for step in (-0.5, 1))]


@st.composite
def calls(draw: st.DrawFn, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls whose arguments are near what is asked of them."""
    made = []
    for _ in range(draw(st.integers(2, 6))):
        found: dict[str, Any] = {}
        for condition in asked:
            path = condition["path"].removeprefix("args.").split(".")
            if draw(st.integers(0, 9)):
                value = draw(st.sampled_from(near(condition) if draw(st.integers(0, 3)) else ANY))
                found[path[0]] = {path[1]: value} if len(path) > 1 else value
        if draw(st.integers(0, 9)) == 0:
            found["c"] = draw(st.sampled_from(ANY))
        made.append(found)
    return made


def policy_of(rules: list[list[dict[str, Any]]], everywhere: list[dict[str, Any]], default: str) -> dict[str, Any]:
    named = [{"name": f"rule {at}", "conditions": listed} for at, listed in enumerate(rules)]
    tools: dict[str, Any] = {"t": {"rules": named}}
    if everywhere:
        tools["*"] = {"rules": [{"name": "all", "conditions": everywhere}]}
    return {"version": "1", "default": default, "tools": tools}


def importable(policy: dict[str, Any]) -> Imported | None:
    """The policy imported; None where its conditions exclude each other, which is refused."""
    text = json.dumps(policy)
    try:
        return Imported(text)
    except PolicyError:
        with pytest.raises(PolicyError, match="its conditions cannot be written together"):
            Imported(text)
        return None


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def as_written(condition: dict[str, Any], found: Any) -> bool:
    """Whether what is found is of the one type that the condition writes."""
    operator, value = condition["op"], condition["value"]
    if operator in ("eq", "neq", "in", "not_in"):
        return {kind(found)} == {kind(one) for one in (value if isinstance(value, list) else [value])}
    if operator == "contains" and isinstance(found, list):
        return all(kind(one) == kind(value) for one in found)
    return True


def value_at(found: dict[str, Any], path: str) -> tuple[bool, Any]:
    value: Any = found
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return False, None
        value = value[part]
    return True, value


@given(
    st.lists(st.lists(conditions(), min_size=1, max_size=2), min_size=1, max_size=2),
    st.one_of(st.just([]), st.just([]), st.lists(conditions(), max_size=1)),
    st.sampled_from(["allow", "deny"]),
    st.data(),
)
@settings(max_examples=500, deadline=None)
def test_an_imported_policy_denies_all_that_intercept_denies(rules, everywhere, default, data) -> None:
    policy = policy_of(rules, everywhere, default)
    ours = importable(policy)
    if ours is None:
        return
    theirs = Intercept(policy)
    asked = [*(one for listed in rules for one in listed), *everywhere]
    for call in data.draw(calls(asked)):
        for tool in ("t", "other"):
            passes, would = ours.allows(tool, call), theirs.allows(tool, call, 0)
            assert would or not passes, (policy, tool, call)
            places = [(one, *value_at(call, one["path"].removeprefix("args."))) for one in asked]
            plain = all(as_written(one, value) for one, found, value in places if found)
            broken = not isinstance(call.get("c", {}), dict)  # not an object where one is looked into
            if plain and not broken:
                assert passes == would, (policy, tool, call)


@given(
    st.integers(1, 5),
    st.sampled_from(["minute", "hour"]),
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(["t", "u"]), st.sampled_from([0, 1, 20, 59, 61, 1000, 3600])), max_size=25),
    st.sampled_from(["", "increment", "increment_from"]),
    st.sampled_from(["lt", "lte"]),
)
@settings(max_examples=120, deadline=None)
def test_limits_by_the_clock_pass_what_intercept_passes_and_sliding_ones_no_more(
    most, window, amount, made, way, operator
) -> None:
    state = {"counter": "n", "window": window}
    if way:
        state[way] = "args.amount" if way == "increment_from" else amount
    condition = {"path": "state.t.n", "op": operator, "value": most * (amount if way else 1) + (operator == "lt")}
    rules = [{"name": "own", "conditions": [condition], "state": state}]
    everywhere = [{"name": "all", "rate_limit": f"{most + 1}/{window}"}]
    policy = {"version": "1", "tools": {"t": {"rules": rules}, "u": {"rules": []}, "*": {"rules": everywhere}}}
    for fixed in (True, False):
        ours, theirs = Imported(json.dumps(policy), Options(fixed_windows=fixed)), Intercept(policy)
        for tool, later in made:
            found = {"amount": amount} if tool == "t" else {}
            passes = ours.allows(tool, found, later=later)
            would = theirs.allows(tool, found, ours.now)
            assert would == passes if fixed else would or not passes
            if passes:
                theirs.make(tool, found, ours.now)
