"""A policy into which a changed block is grafted decides as one that is compiled from the changed document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from authz.app.testing.grafting import Grafting
from authz.app.testing.mutants import mutants, put
from authz.policy.compile.file import PolicyContext, compile_document
from authz.policy.rules import Policy
from authz.policy.text.document import parse

CONTEXT = PolicyContext()
POLICY = """
version: 1
default: require_approval
tools:
  a: {action: require_approval, approval: {by: ["group:x"]}, rate_limit: 3/minute}
  b: {action: allow, when: "args.k > 1", arguments: {properties: {k: {type: integer, minimum: 1}}, required: [k]}}
  "c_*": {action: deny, reason: never}
  d: {rules: [{principals: [alice], action: deny}, {action: allow, continuations_are: none}]}
categories: {Read: allow, Unknown: {action: deny}}
resources: {"file:///p/*": {action: allow, rate_limit: [{max: 1, window: 60, name: reads}, 5/hour]}}
methods: {ping: deny}
limits: [{name: all, max: 9, window: 60, tools: [a, b]}]
""".replace(", continuations_are: none", "")


def compiled(text: str) -> Any:
    document = parse(text.encode(), "bank.yaml")
    return document, compile_document(document, "digest", CONTEXT)


def shape(policy: Policy | None) -> Any:
    """What of a policy bears on decisions, as text."""
    if policy is None:
        return None
    blocks = {**policy.categories}
    for kind, index in policy.sections.items():
        blocks |= {f"{kind} {key}": block for key, block in (*index.exact.items(), *index.globs.items())}
    return (
        policy.forbids_unnamed_continuations,
        policy.default,
        {key: list(_said(block)) for key, block in blocks.items()},
    )


def _said(block: Any) -> Iterator[Any]:
    yield block.name, block.key, block.arguments is None, len(block.require), block.strict
    for rule in block.rules:
        yield rule.name, rule.allows, rule.principals, rule.when is None, rule.approval, rule.reason
        yield [(limit.limit, limit.per, limit.name) for limit in rule.limits]
        if rule.arguments is not None:
            yield [rule.arguments.check(value) is None for value in ({}, {"k": 0}, {"k": 1})]


def test_every_mutant_is_what_compiling_all_of_it_gives():
    document, original = compiled(POLICY)
    assert not original.problems
    grafting = Grafting(document, original, CONTEXT, {})
    seen = 0
    for mutant in mutants(document.value, baseline=False):
        whole = Grafting(document, original, CONTEXT, {})._whole(mutant.value)
        assert shape(grafting.compile(mutant.value).policy) == shape(whole.policy), mutant.what
        seen += 1
    assert seen > 20


def test_only_what_differs_is_compiled(monkeypatch):
    document, original = compiled(POLICY)
    grafting = Grafting(document, original, CONTEXT, {})
    asked = []
    whole = grafting._whole
    monkeypatch.setattr(grafting, "_whole", lambda value: asked.append(value) or whole(value))
    changed = put(document.value, ("tools", "b", "action"), "deny")
    assert grafting.compile(changed).policy is not None
    assert [value["tools"].keys() for value in asked] == [{"b"}, {"b"}]
    assert all("limits" not in value for value in asked)


@pytest.mark.parametrize("reads", ["cost: args.k", "per: args.k"])
def test_where_limits_read_arguments_all_is_compiled(reads):
    text = POLICY.replace("tools: [a, b]}", f"tools: [b], {reads}}}")
    document, original = compiled(text)
    assert not original.problems
    without_types = put(document.value, ("tools", "b"), "allow")
    assert Grafting(document, original, CONTEXT, {}).compile(without_types).policy is None
