"""What a server lists becomes a catalogue that its file can hold, with notes on what could not."""

from __future__ import annotations

from typing import Any

import pytest

from authz.app.catalog.cataloguing import catalogue
from authz.app.catalog.reading import Found
from authz.policy.catalog.definition import Definition, digest_of
from authz.policy.catalog.entry import CatalogItem, Category
from authz.policy.catalog.load import parse_catalog
from authz.policy.catalog.starter import starter_policy
from authz.policy.catalog.write import write_catalog


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


def test_a_tool_is_classified_and_its_definition_digested() -> None:
    definition = Definition("delete_it", "Delete\x1b", "Deletes it.", {"title": None, "readOnlyHint": False})
    catalog, notes = catalogue(Found("srv", "Server", "1", "2025-11-25", [definition]), "x", {"version": "1"})
    tool = catalog.tools["delete_it"]
    assert notes == ()
    assert (catalog.server, catalog.title, catalog.protocol) == ("x", "Server", "2025-11-25")
    assert tool.categories == (Category.DESTRUCTIVE,)
    assert tool.title == "Delete⟨U+001B⟩"
    assert tool.annotations == {"readOnlyHint": False}
    assert tool.digest == digest_of(definition)
    assert isinstance(tool.recommended, dict)
    assert tool.recommended["action"] == "require_approval"


@pytest.mark.parametrize("name", ["", "a\x1b", "a\u202eb", " a", "x" * 129, "warn⚠️"])
def test_a_name_that_could_be_another_is_left_out(name: str) -> None:
    catalog, notes = catalogue(Found(tools=[Definition(name)]), "x", {})
    assert catalog.tools == {}
    assert len(notes) == 1
    assert notes[0].endswith("left out, its name is doubtful or there twice")
    assert "\x1b" not in notes[0]


@pytest.mark.parametrize("name", ["*", "get_*", "del*_all"])
def test_a_name_that_would_be_a_glob_in_a_policy_is_left_out(name: str) -> None:
    found = Found(
        tools=[Definition(name), Definition("get_it")],
        prompts=[CatalogItem(name)],
        resources=[CatalogItem(name)],
        resource_templates=[CatalogItem("file:///{path*}")],
    )
    catalog, notes = catalogue(found, "x", {})
    assert notes == (
        f"tool {name!r}: left out, in a policy its name would stand for others: it has a *",
        f"prompt {name!r}: left out, in a policy its name would stand for others: it has a *",
        f"resource {name!r}: left out, in a policy its name would stand for others: it has a *",
    )
    assert [*catalog.resource_templates] == ["file:///{path*}"]
    assert starter_policy(catalog, "x.yaml").endswith("default: deny\n\ntools:\n  # Read\n  get_it: allow\n")


def test_of_two_tools_of_one_name_the_first_counts() -> None:
    found = Found(tools=[Definition("delete_it"), Definition("delete_it", description="Reads.")])
    catalog, notes = catalogue(found, "x", {})
    assert catalog.tools["delete_it"].description == ""
    assert notes == ("tool 'delete_it': left out, its name is doubtful or there twice",)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (nested(40), "nested deeper than 32 levels"),
        ({"maximum": 1e300}, "it cannot be written"),
        ({"maximum": 2**70}, "64 bits"),
        ({"description": "x" * 70_000, "title": "y" * 70_000}, "more than 65536 characters"),
        ({"enum": [float("nan")]}, ""),
    ],
)
def test_a_schema_that_the_file_cannot_hold_is_left_out_and_told(schema: dict[str, Any], why: str) -> None:
    schema = {"type": "object", "properties": {"a": schema, "b": {"examples": ["z" * 16_000] * 3}}}
    catalog, notes = catalogue(Found(tools=[Definition("get_it", input_schema=schema)]), "x", {})
    assert catalog.tools["get_it"].input_schema is None
    assert catalog.tools["get_it"].digest
    assert len(notes) == 1
    assert notes[0].startswith("tool 'get_it': its input schema is left out, ")
    assert why in notes[0]
    assert parse_catalog(write_catalog(catalog).encode(), "catalog/x.yaml") == catalog


def test_prompts_and_resources_are_kept_by_their_names() -> None:
    found = Found(
        prompts=[CatalogItem("p", description="\x1b"), CatalogItem("p"), CatalogItem("")],
        resources=[CatalogItem("file:///a", "A"), CatalogItem("file:///\x1b")],
        resource_templates=[CatalogItem("file:///{x}")],
        notes=["something else"],
    )
    catalog, notes = catalogue(found, "x", {})
    assert catalog.prompts == {"p": CatalogItem("p", description="⟨U+001B⟩")}
    assert set(catalog.resources) == {"file:///a"}
    assert set(catalog.resource_templates) == {"file:///{x}"}
    assert [note.partition(":")[0] for note in notes] == [
        "something else",
        "prompt 'p'",
        "prompt ''",
        "resource 'file",
    ]


def test_schemas_beyond_what_one_file_holds_are_left_out_and_told() -> None:
    tools = [
        Definition(f"get_{n}", input_schema={"type": "object", "description": "x" * 16_000, "title": "y" * 16_000})
        for n in range(21)
    ]
    catalog, notes = catalogue(Found(tools=tools), "x", {})
    assert [tool.input_schema is None for tool in catalog.tools.values()] == [False] * 19 + [True] * 2
    assert notes == tuple(
        f"tool 'get_{n}': its input schema is left out, with those before it, it would make more than 640000 characters"
        for n in (19, 20)
    )
