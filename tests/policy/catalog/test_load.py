"""Catalogue files -> values, or every problem with its place."""

# ruff: noqa: E501 - messages are tested whole and stand on one line
from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema_rs
import pytest

from authz.errors import PolicyError
from authz.policy.catalog.entry import CatalogItem, CatalogTool, Category, Risk
from authz.policy.catalog.load import SCHEMA, is_catalog, parse_catalog, server_of

WHOLE = """\
version: 1
server: awslabs-valkey
title: Valkey
source: {registry: pypi, package: awslabs.valkey-mcp-server, version: 1.1.1}
protocol: "2025-11-25"
tools:
  write:
    title: Write
    description: writes
    categories: [Write, Destructive]
    risk: High
    why: it overwrites
    confidence: 1
    evidence: [its name]
    reviewed: true
    annotations: {readOnlyHint: false, title: null}
    input_schema: {type: object, properties: {key: {type: string, default: null}}}
    digest: sha256:DIGEST
    recommended: {action: allow, rate_limit: {max: 10, window: 60}}
prompts: {greet: {description: says hello}}
resources: {"file:///a": {name: a, mime_type: text/plain}}
resource_templates: {"file:///{x}": {title: any}}
""".replace("DIGEST", "ab" * 32)


def problems_of(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_catalog(f"version: 1\n{text}\n".encode(), "catalog/x.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_a_whole_catalogue_is_read() -> None:
    catalog = parse_catalog(WHOLE.encode(), "catalog/x.yaml")
    assert (catalog.server, catalog.title, catalog.protocol) == ("awslabs-valkey", "Valkey", "2025-11-25")
    assert catalog.source == {"registry": "pypi", "package": "awslabs.valkey-mcp-server", "version": "1.1.1"}
    assert catalog.tools == {
        "write": CatalogTool(
            name="write",
            categories=(Category.WRITE, Category.DESTRUCTIVE),
            risk=Risk.HIGH,
            title="Write",
            description="writes",
            why="it overwrites",
            confidence=1.0,
            evidence=("its name",),
            reviewed=True,
            annotations={"readOnlyHint": False, "title": None},
            input_schema={"type": "object", "properties": {"key": {"type": "string", "default": None}}},
            digest="sha256:" + "ab" * 32,
            recommended={"action": "allow", "rate_limit": {"max": 10, "window": 60}},
        )
    }
    assert catalog.prompts == {"greet": CatalogItem("greet", description="says hello")}
    assert catalog.resources == {"file:///a": CatalogItem("file:///a", name="a", mime_type="text/plain")}
    assert catalog.resource_templates == {"file:///{x}": CatalogItem("file:///{x}", title="any")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tools: {a: {risk: Low}}", "2:9: tools.a: missing key 'categories', expected a list of at least one of Read, Write, Execute, Destructive, Financial"),
        ("tools: {a: {categories: [Read]}}", "2:9: tools.a: missing key 'risk', expected one of Low, Medium, High, Critical"),
        ("tools: {a: {categories: [], risk: Low}}", "2:25: tools.a.categories: expected a list of at least one of Read, Write, Execute, Destructive, Financial, got an empty list"),
        ("tools: {a: {categories: [Unknown], risk: Low}}", "2:26: tools.a.categories[0]: expected one of Read, Write, Execute, Destructive, Financial, got 'Unknown'"),
        ("tools: {a: {categories: [read], risk: Low}}", "2:26: tools.a.categories[0]: expected one of Read, Write, Execute, Destructive, Financial, got 'read', did you mean 'Read'?"),
        ("tools: {a: {categories: [Read], risk: low}}", "2:39: tools.a.risk: expected one of Low, Medium, High, Critical, got 'low', did you mean 'Low'?"),
        ("tools: {a: {categories: [Read], risk: Low, confidence: 2}}", "2:56: tools.a.confidence: expected a number from 0 to 1, got 2"),
        ("tools: {a: {categories: [Read], risk: Low, digest: md5}}", "2:52: tools.a.digest: expected sha256: and 64 hexadecimal digits, got 'md5'"),
        ("tools: {a: {categories: [Read], risk: Low, recommended: alow}}", "2:57: tools.a.recommended: expected allow, deny, require_approval, or a mapping with action or rules, got 'alow', did you mean 'allow'?"),
        ("tools: {a: {categories: [Read], risk: Low, why: null}}", "2:49: tools.a.why: 'null' is nothing, which is allowed nowhere: write a value, or \"null\" for the text"),
        ("tools: {a: {categories: [Read], risk: Low, input_schema: null}}", "2:58: tools.a.input_schema: 'null' is nothing, which is allowed nowhere: write a value, or \"null\" for the text"),
        ("tools: {a: {categories: [Read], risk: Low, input_schema: {default: ~}}}", "2:68: tools.a.input_schema.default: '~' is nothing, which is allowed nowhere: write a value, or \"~\" for the text"),
        ("tools: {a: {categories: [Read], risk: Low, input_schema: {null: 1}}}", "2:59: tools.a.input_schema.null: a name must be text, and 'null' is nothing, which is allowed nowhere: write \"null\""),
        ("tools: []", "2:8: tools: expected a mapping from tool names to what is known of them, got an empty list"),
        ("server: a b", "2:9: server: expected a name of letters, digits and . _ - (or TEAM/NAME), got 'a b'"),
        ("tool: {}", "2:1: tool: unknown key 'tool', did you mean 'tools'?"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_at_its_place(text: str, expected: str) -> None:
    found = problems_of(text)
    assert found == [f"catalog/x.yaml:{expected}"]


def test_a_tool_that_no_policy_could_name_is_refused() -> None:
    assert problems_of('tools: {get: {categories: [Read], risk: Low}, "del*": {categories: [Read], risk: Low}}') == [
        "catalog/x.yaml:2:47: tools.del*: a tool's name cannot have a *: in a policy it stands for any characters"
    ]


def test_all_problems_are_told_and_not_the_first() -> None:
    assert len(problems_of("tools: {a: {risk: x}, b: {categories: [Read], risk: y}}")) == 3


@pytest.mark.parametrize(
    ("file", "given", "server"),
    [
        ("catalog/db.yaml", None, "db"),
        ("catalog/db.yaml", "mongo", "mongo"),
        ("team/catalog/db.yaml", None, "team/db"),
        ("team/catalog/db.yaml", "mongo", "team/mongo"),
        ("team/catalog/db.yaml", "team/mongo", "team/mongo"),
        ("team/catalog/db.yaml", "other/mongo", "team/other/mongo"),
    ],
)
def test_a_catalogue_is_of_the_server_it_says_or_its_file_is_named_for(
    file: str, given: str | None, server: str
) -> None:
    assert server_of(file, given) == server


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("catalog/x.yaml", True),
        ("team/catalog/x.yaml", True),
        ("catalog/", True),
        ("x.yaml", False),
        ("catalog.yaml", False),
        ("team/x.yaml", False),
        ("a/b/catalog/x.yaml", False),
        ("catalogs/x.yaml", False),
    ],
)
def test_catalogues_stand_in_folders_of_their_own(file: str, expected: bool) -> None:
    assert is_catalog(file) is expected


def test_risks_are_ordered() -> None:
    assert sorted([Risk.CRITICAL, Risk.LOW, Risk.HIGH, Risk.MEDIUM]) == list(Risk)
    assert max(Risk.MEDIUM, Risk.HIGH) is Risk.HIGH
    assert Risk.LOW <= Risk.LOW
    with pytest.raises(TypeError):
        _ = Risk.LOW < "Medium"  # type: ignore[operator]


def test_a_schema_that_is_json_is_a_schema_in_yaml() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [None, "x", 1.5]}}, "required": ["a"]}
    text = f"version: 1\ntools: {{a: {{categories: [Read], risk: Low, input_schema: {json.dumps(schema)}}}}}\n"
    assert parse_catalog(text.encode(), "catalog/x.yaml").tools["a"].input_schema == schema


def test_the_schema_is_one_and_editors_can_tell_what_each_key_is() -> None:
    schema = json.loads(resources.files("authz.policy").joinpath(SCHEMA).read_bytes())
    jsonschema_rs.meta.validate(schema)

    def silent(node: Any) -> list[str]:
        known = node.get("properties", {})
        own = [name for name, one in known.items() if not {"description", "$ref"} & one.keys() and name != "title"]
        return own + [name for one in known.values() for name in silent(one)]

    assert silent(schema) == []
    assert [silent(one) for one in schema["$defs"].values()] == [[]] * len(schema["$defs"])
