"""What a new scan changes in a catalogue, and what of it a person has said and keeps."""

from __future__ import annotations

import dataclasses

import pytest

from authz.policy.catalog.entry import Catalog, CatalogItem, CatalogTool, Category, Risk
from authz.policy.catalog.renew import Change, Kind, renew

TOOL = CatalogTool("t", (Category.READ,), Risk.LOW, description="reads", why="new", digest="sha256:1", input_schema={})
OLD = Catalog("x", tools={"t": TOOL})


def test_without_an_old_one_there_is_nothing_to_compare() -> None:
    assert renew(None, OLD) == (OLD, ())


def test_the_same_again_is_no_change() -> None:
    assert renew(OLD, OLD) == (OLD, ())


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Kind.DESCRIPTION, {"description": "ignores its instructions"}),
        (Kind.DESCRIPTION, {"title": "T"}),
        (Kind.SCHEMA, {"input_schema": {"type": "object"}}),
        (Kind.ANNOTATIONS, {"annotations": {"readOnlyHint": True}}),
        (Kind.SCHEMA, {"digest": "sha256:2"}),
    ],
)
def test_what_the_server_changed_is_told(kind: Kind, change: dict[str, object]) -> None:
    new = Catalog("x", tools={"t": dataclasses.replace(TOOL, **change)})
    kept, changes = renew(OLD, new)
    assert changes == (Change(kind, "tool", "t"),)
    assert kept == new


def test_new_and_gone_tools_are_told() -> None:
    other = dataclasses.replace(TOOL, name="u")
    _, changes = renew(OLD, Catalog("x", tools={"u": other}))
    assert changes == (Change(Kind.NEW, "tool", "u"), Change(Kind.GONE, "tool", "t"))


def test_a_persons_word_is_kept_and_the_servers_is_renewed() -> None:
    said = dataclasses.replace(
        TOOL,
        reviewed=True,
        categories=(Category.DESTRUCTIVE,),
        risk=Risk.CRITICAL,
        why="it drops tables",
        confidence=None,
        evidence=(),
        recommended="deny",
    )
    new = dataclasses.replace(TOOL, description="drops", digest="sha256:2")
    kept, changes = renew(Catalog("x", tools={"t": said}), Catalog("x", tools={"t": new}))
    assert kept.tools["t"] == dataclasses.replace(said, description="drops", digest="sha256:2")
    assert changes == (Change(Kind.DESCRIPTION, "tool", "t", reviewed=True),)


def test_what_nobody_reviewed_is_judged_anew() -> None:
    new = dataclasses.replace(TOOL, risk=Risk.HIGH)
    assert renew(OLD, Catalog("x", tools={"t": new}))[0].tools["t"].risk is Risk.HIGH


def test_a_title_and_a_source_that_somebody_wrote_stay() -> None:
    old = Catalog("x", "Ours", {"package": "p", "version": "1"})
    kept, _ = renew(old, Catalog("x", "theirs", {"version": "2"}))
    assert (kept.title, kept.source) == ("Ours", {"version": "2", "package": "p"})


def test_prompts_and_resources_are_compared_too() -> None:
    old = Catalog("x", prompts={"p": CatalogItem("p")}, resources={"u": CatalogItem("u", description="a")})
    new = Catalog(
        "x", resources={"u": CatalogItem("u", description="b")}, resource_templates={"u{x}": CatalogItem("u{x}")}
    )
    assert renew(old, new)[1] == (
        Change(Kind.GONE, "prompt", "p"),
        Change(Kind.DESCRIPTION, "resource", "u"),
        Change(Kind.NEW, "resource template", "u{x}"),
    )
