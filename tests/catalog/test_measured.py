"""How well tools are classified: on servers on which nothing was tuned, few dangerous ones may pass for harmless."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authz.policy.catalog.classify import classify
from authz.policy.catalog.definition import Definition
from authz.policy.catalog.entry import Category

LABELLED = Path(__file__).parent / "labelled.jsonl"
GRAVEST = (Category.FINANCIAL, Category.DESTRUCTIVE, Category.EXECUTE, Category.WRITE, Category.READ)
DANGEROUS = {Category.FINANCIAL, Category.DESTRUCTIVE, Category.EXECUTE}


def is_held_out(server: str) -> bool:
    return hashlib.sha256(server.encode()).digest()[0] % 2 == 1


def rows(*, held_out: bool) -> Iterator[dict[str, Any]]:
    for line in LABELLED.read_text().splitlines():
        row = json.loads(line)
        if is_held_out(row["server"]) is held_out:
            yield row


def judged(row: dict[str, Any]) -> tuple[Category, ...]:
    definition = Definition(
        row["name"], row.get("title", ""), row.get("description", ""), row.get("annotations", {}), row["input_schema"]
    )
    return classify(definition, (row["server"], row["package"])).categories


def gravest(categories: Any) -> Category:
    return next(one for one in GRAVEST if one in categories)


def measured(*, held_out: bool) -> tuple[Counter[tuple[Category, Category]], list[str], int]:
    """The confusion matrix by gravest category, dangerous tools called harmless, and how many are dangerous."""
    matrix: Counter[tuple[Category, Category]] = Counter()
    harmless: list[str] = []
    dangerous = 0
    for row in rows(held_out=held_out):
        labels, given = {Category(one) for one in row["labels"]}, judged(row)
        matrix[gravest(labels), gravest(given)] += 1
        if labels & DANGEROUS:
            dangerous += 1
            if set(given) == {Category.READ}:
                harmless.append(f"{row['server']} {row['name']}")
    return matrix, harmless, dangerous


def shown(matrix: Counter[tuple[Category, Category]]) -> str:
    head = f"{'label / given':14}" + "".join(f"{one:>12}" for one in GRAVEST)
    return "\n".join([head, *(f"{a:14}" + "".join(f"{matrix[a, b]:12}" for b in GRAVEST) for a in GRAVEST)])


def test_both_parts_are_large_and_have_servers_of_their_own() -> None:
    tuned, held = list(rows(held_out=False)), list(rows(held_out=True))
    assert len(tuned) > 250
    assert len(held) > 250
    assert not {row["server"] for row in tuned} & {row["server"] for row in held}


def test_of_the_held_out_dangerous_tools_at_most_two_in_a_hundred_are_called_harmless() -> None:
    matrix, harmless, dangerous = measured(held_out=True)
    print(f"\n{shown(matrix)}\ndangerous: {dangerous}, called harmless: {harmless}")
    assert dangerous >= 50
    assert len(harmless) <= 0.02 * dangerous, harmless


def test_no_dangerous_tool_of_the_development_part_is_called_harmless() -> None:
    matrix, harmless, _ = measured(held_out=False)
    print(f"\n{shown(matrix)}")
    assert harmless == []


@pytest.mark.parametrize("held_out", [True, False])
def test_nine_in_ten_get_their_gravest_category(held_out: bool) -> None:
    matrix, _, _ = measured(held_out=held_out)
    assert sum(count for (label, given), count in matrix.items() if label is given) >= 0.88 * matrix.total()


def test_annotations_in_favour_of_a_tool_change_nothing() -> None:
    flattering = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}
    for row in [*rows(held_out=True), *rows(held_out=False)]:
        plain = judged({**row, "annotations": {}})
        assert judged({**row, "annotations": flattering}) == plain, row["name"]
