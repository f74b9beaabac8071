"""Catalogues, and what policies say by them, in an editor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from language_server import LanguageServer

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "policies/catalog/not-on-disk.yaml"
POLICY = ROOT / "policies/not-on-disk-either.yaml"
ENTRY = """\
# yaml-language-server: $schema=../../authz/policy/catalog_schema.json
version: 1
tools:
  a:
    categories: [Read]
    risk: Low
    \n"""
CATEGORIES = """\
# yaml-language-server: $schema=../authz/policy/schema.json
version: 1
categories:
  Read: allow
  \ntools:
  a: {action: allow, strict_arguments: true}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    with LanguageServer(ROOT) as running:
        yield running


def test_an_entry_of_a_catalogue_is_checked_completed_and_explained(server: LanguageServer) -> None:
    assert server.open(CATALOG, ENTRY) == []
    assert {"why", "reviewed", "annotations", "input_schema"} <= set(server.completions(CATALOG, 6, 4))
    assert "Little harm." in server.hover(CATALOG, 5, 6)
    assert "by what it can do at worst" in server.hover(CATALOG, 4, 6)


def test_a_slip_in_a_catalogue_is_marked(server: LanguageServer) -> None:
    slip = CATALOG.with_stem("not-on-disk-but-wrong")
    wrong = server.open(slip, ENTRY.replace("Read", "Reed").replace("Low", "low"))
    assert [(one["range"]["start"]["line"], one["range"]["start"]["character"]) for one in wrong] == [(4, 17), (5, 10)]


def test_categories_are_completed_and_explained(server: LanguageServer) -> None:
    assert server.open(POLICY, CATEGORIES) == []
    offered = set(server.completions(POLICY, 4, 2))
    assert offered == {"Write", "Execute", "Destructive", "Financial", "Unknown", "reads only"}
    assert "that no name or glob matches" in server.hover(POLICY, 2, 3)
    assert "members that it does not name are denied" in server.hover(POLICY, 6, 25)
