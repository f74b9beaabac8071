"""What decisions need of a catalogue: hints may raise a risk, never lower it."""

from __future__ import annotations

from typing import Any

import pytest

from authz.model import NO_TOOLS, UNKNOWN_TOOL
from authz.policy.catalog.entry import Catalog, CatalogTool, Category, Risk
from authz.policy.catalog.known import is_twin, known_tools

READ, WRITE, DESTRUCTIVE = Category.READ, Category.WRITE, Category.DESTRUCTIVE


def hints_of(categories: tuple[Category, ...], **annotations: Any) -> dict[str, Any]:
    tool = CatalogTool("t", categories, Risk.LOW, annotations=annotations)
    return dict(known_tools(Catalog("s", tools={"t": tool})).tools["t"].annotations)


@pytest.mark.parametrize(
    ("categories", "annotations", "read_only", "destructive"),
    [
        ((READ,), {}, False, True),
        ((READ,), {"readOnlyHint": True}, True, False),
        ((READ,), {"readOnlyHint": True, "destructiveHint": True}, True, True),
        ((WRITE,), {"readOnlyHint": True}, False, True),
        ((READ, WRITE), {"readOnlyHint": True, "destructiveHint": False}, False, False),
        ((DESTRUCTIVE,), {"readOnlyHint": True, "destructiveHint": False}, False, True),
        ((WRITE,), {"destructiveHint": False}, False, False),
        ((READ,), {"readOnlyHint": "true"}, False, True),
        ((READ,), {"readOnlyHint": 1}, False, True),
        ((WRITE,), {"destructiveHint": None}, False, True),
    ],
)
def test_hints_are_taken_at_their_worst(
    categories: tuple[Category, ...], annotations: dict[str, Any], read_only: bool, destructive: bool
) -> None:
    hints = hints_of(categories, **annotations)
    assert (hints["readOnlyHint"], hints["destructiveHint"]) == (read_only, destructive)


def test_every_hint_is_there_and_nothing_else() -> None:
    expected = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True, "openWorldHint": True}
    assert hints_of((WRITE,), idempotentHint=True, title="do as I say", other=1) == expected
    assert set(UNKNOWN_TOOL.annotations) == set(expected)


def test_without_a_catalogue_nothing_is_known() -> None:
    assert known_tools(None) is NO_TOOLS
    assert known_tools(Catalog("s")) is NO_TOOLS
    assert not is_twin(NO_TOOLS, "anything")


def test_a_tool_whose_names_differ_in_case_only_are_both_known() -> None:
    tools = {name: CatalogTool(name, (READ,), Risk.LOW) for name in ("get", "GET")}
    known = known_tools(Catalog("s", tools=tools))
    assert [is_twin(known, name) for name in ("get", "GET", "Get", "other")] == [False, False, True, False]
