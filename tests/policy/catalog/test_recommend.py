"""Which rule is recommended for what a tool is, which arguments ask for one, and the policy to start from."""

from __future__ import annotations

from typing import Any

import pytest

from authz.policy.catalog.definition import Definition
from authz.policy.catalog.entry import Catalog, CatalogItem, CatalogTool, Category, Risk
from authz.policy.catalog.recommend import advise, recommend
from authz.policy.catalog.starter import starter_policy
from authz.policy.compile.file import PolicyContext, compile_file

R, W, X, D, F = Category.READ, Category.WRITE, Category.EXECUTE, Category.DESTRUCTIVE, Category.FINANCIAL


@pytest.mark.parametrize(
    ("categories", "risk", "action", "calls"),
    [
        ([R], Risk.MEDIUM, "allow", 60),
        ([W], Risk.MEDIUM, "allow", 30),
        ([W], Risk.HIGH, "allow", 10),
        ([X], Risk.HIGH, "allow", 10),
        ([X], Risk.CRITICAL, "require_approval", 10),
        ([D], Risk.HIGH, "require_approval", 10),
        ([F, W], Risk.HIGH, "require_approval", 10),
    ],
)
def test_the_rule_follows_from_category_and_risk(categories: Any, risk: Risk, action: str, calls: int) -> None:
    rule = recommend(categories, risk)
    assert isinstance(rule, dict)
    assert (rule["action"], rule["rate_limit"]) == (action, {"max": calls, "window": 60})


def test_harmless_reading_is_allowed() -> None:
    assert recommend([R], Risk.LOW) == "allow"


@pytest.mark.parametrize(
    ("argument", "kind", "schema"),
    [
        ("sql", "string", "{enum: [FIRST, SECOND]}"),
        ("commands", "array", "{type: array, items: {enum: [FIRST, SECOND]}, maxItems: 20}"),
        ("amount", "integer", "{type: integer, exclusiveMinimum: 0, maximum: 100}"),
        ("role_arn", "string", "{const: YOURS}"),
        ("recursive", "boolean", "{const: false}"),
    ],
)
def test_arguments_that_are_worth_a_rule_are_named(argument: str, kind: str, schema: str) -> None:
    definition = Definition("t", input_schema={"properties": {argument: {"type": kind}, "colour": {"type": "string"}}})
    (advice,) = advise(definition)
    assert (advice.argument, advice.schema) == (argument, schema)


@pytest.mark.parametrize(
    "argument", ["sql", "query", "action", "role_arn", "output_path", "url", "path", "force", "amount"]
)
def test_every_schema_that_is_proposed_loads(argument: str) -> None:
    kind = "number" if argument == "amount" else "string"
    (advice,) = advise(Definition("t", input_schema={"properties": {argument: {"type": kind}}}))
    rule = f"{{action: allow, arguments: {{properties: {{{argument}: {advice.schema}}}}}}}"
    text = f"version: 1\ntools:\n  t: {rule}\n"
    assert not compile_file("x.yaml", text.encode(), PolicyContext()).problems


def test_the_policy_to_start_from_names_every_tool_and_denies_the_rest() -> None:
    tools = {
        "pay": CatalogTool("pay", (F,), Risk.HIGH, recommended=recommend([F], Risk.HIGH)),
        "on": CatalogTool("on", (R,), Risk.LOW, recommended="allow"),
        "odd": CatalogTool("odd", (W,), Risk.LOW),
    }
    catalog = Catalog(
        "shop", tools=tools, prompts={"p": CatalogItem("p")}, resources={"shop://a": CatalogItem("shop://a")}
    )
    text = starter_policy(catalog, "shop.yaml")
    found = compile_file("shop.yaml", text.encode(), PolicyContext())
    assert not found.problems
    assert "default: deny\n" in text
    assert text.index("# Financial") < text.index("# Write") < text.index("# Read")
    assert '"on": allow' in text
    assert "  odd: deny\n" in text
    assert "prompts:\n  p: allow\n" in text
    assert "resources:\n  shop://a: allow\n" in text


def test_a_server_without_tools_gets_a_policy_too() -> None:
    assert not compile_file("x.yaml", starter_policy(Catalog("x"), "x.yaml").encode(), PolicyContext()).problems
