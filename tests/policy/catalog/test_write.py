"""What is written is what the strict reader takes back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.policy.catalog.entry import Catalog, CatalogItem, CatalogTool, Category, Risk
from authz.policy.catalog.load import parse_catalog
from authz.policy.catalog.write import block, dump, write_catalog

TOOL = CatalogTool("t", (Category.READ,), Risk.LOW)


def back(catalog: Catalog) -> Catalog:
    return parse_catalog(write_catalog(catalog).encode(), "catalog/x.yaml")


def test_a_full_catalogue_comes_back() -> None:
    tool = CatalogTool(
        "delete_it",
        (Category.DESTRUCTIVE, Category.WRITE),
        Risk.CRITICAL,
        title="Delete",
        description="Deletes.\n\nFor good: all of it # really",
        why="Destructive, because: it's gone.",
        confidence=0.9,
        evidence=("name begins with the verb 'delete'", "x: y"),
        reviewed=True,
        annotations={"destructiveHint": True, "title": "no"},
        input_schema={"type": "object", "properties": {"a": {"default": None, "enum": [1, 2.5, "no", None, True]}}},
        digest="sha256:" + "0a" * 32,
        recommended={"action": "require_approval", "reason": "a person's yes", "rate_limit": {"max": 10, "window": 60}},
    )
    item = CatalogItem("file:///a b", "n", "t", "d", "text/plain")
    catalog = Catalog(
        "x",
        "X: the server",
        {"registry": "pypi", "version": "1.10"},
        "2025-11-25",
        {"delete_it": tool, "on": dataclasses.replace(TOOL, name="on")},
        {"p": CatalogItem("p")},
        {item.key: item},
        {"file:///{path}": CatalogItem("file:///{path}")},
    )
    assert back(catalog) == catalog


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=80))
def test_any_visible_text_comes_back(text: str) -> None:
    text = text.strip() or "x"
    name = text.replace("*", "x")  # a tool of such a name has no place in a catalogue
    catalog = Catalog("x", tools={name: dataclasses.replace(TOOL, name=name, description=text, why=text)})
    assert back(catalog) == catalog


@pytest.mark.parametrize("text", ["no", "0777", "1e3", "12:30:45", "2024-01-01", "~", "null", "", " x", "x ", "a: b"])
def test_words_that_yaml_reads_differently_are_quoted(text: str) -> None:
    tool = dataclasses.replace(TOOL, input_schema={"default": text, "enum": [text]})
    assert back(Catalog("x", tools={"t": tool})).tools["t"].input_schema == {"default": text, "enum": [text]}


def test_long_names_are_written_like_others() -> None:
    name = "x" * 200
    text = write_catalog(Catalog("x", prompts={name: CatalogItem(name, description="d")}))
    assert f"\n  {name}:\n    description: d\n" in text


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("allow", "t: allow\n"),
        (
            {"action": "allow", "rate_limit": {"max": 1, "window": 2}},
            "t: {action: allow, rate_limit: {max: 1, window: 2}}\n",
        ),
        ({"action": "deny", "reason": "x" * 100}, f"t:\n  action: deny\n  reason: {'x' * 100}\n"),
    ],
)
def test_rules_are_laid_out_as_people_write_them(rule: Any, text: str) -> None:
    assert dump({"t": block(rule)}) == text


def test_an_apostrophe_is_written_in_double_quotes() -> None:
    assert dump({"a": "it's: so"}) == 'a: "it\'s: so"\n'
    assert dump({"a": "a person's yes"}) == "a: a person's yes\n"


def test_lines_are_indented_but_for_empty_ones() -> None:
    assert dump({"a": "x\n\ny"}, indent=2) == "  a: |-\n    x\n\n    y\n"
