"""A `!` in a body that was sent as text: where it counts, and where it is only a `!`."""

from __future__ import annotations

from typing import Any

import pytest

from authz.model import Call, Effect, Message, MessageKind, Principal, Target, TargetKind
from authz.policy.arguments.doubt import doubt
from authz.policy.catalog.strict import StrictSchema
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.policy.evaluate import evaluate

NO = "no '!' while the proxy sends bodies as text (pack_as_bytes)"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "note": {"type": "string", "description": "free text"},
        "key": {"type": "string", "pattern": "^app:"},
        "any": True,
    },
}


def doubted(schema: dict[str, Any], arguments: dict[str, Any], *, types_constrain: bool = False) -> bool:
    found = doubt(schema, arguments, types_constrain=types_constrain)
    if found is not None:
        assert (found.path, found.accepted) == ("args", NO)
    return found is not None


@pytest.mark.parametrize("value", ["app:a!", ["app:!"], {"a": ["!"]}])
def test_what_the_schema_says_more_of_than_a_type_may_have_none(value: Any) -> None:
    assert doubted(SCHEMA, {"key": value})
    assert not doubted(SCHEMA, {"note": value, "other": value})


def test_where_conditions_may_read_it_a_type_is_enough() -> None:
    assert doubted(SCHEMA, {"note": "wow!"}, types_constrain=True)
    assert not doubted(SCHEMA, {"other": "wow!"}, types_constrain=True)
    assert doubted(SCHEMA, {"any": "wow!"})


@pytest.mark.parametrize("more", [{"anyOf": [{}]}, {"additionalProperties": {"maxLength": 1}}, {"minProperties": 1}])
def test_a_schema_that_says_something_of_all_arguments_constrains_each(more: dict[str, Any]) -> None:
    assert doubted({**SCHEMA, **more}, {"other": "wow!"})


def test_a_schema_of_the_catalogue_is_doubted_in_the_same_way() -> None:
    schema = StrictSchema(SCHEMA)
    assert schema.check({"key": "app:!", "note": "!"}) is None
    assert schema.doubt({"note": "!"}) is None
    found = schema.doubt({"key": "app:!"})
    assert found is not None
    assert found.accepted == NO


CATALOG = """version: 1
server: notes
tools:
  write:
    categories: [Write]
    risk: Low
    why: it writes
    input_schema: {type: object, properties: {text: {type: string}, key: {type: string, enum: ["a!"]}}}
"""
STRICT = "version: 1\nserver: notes\ntools: {write: {action: allow, strict_arguments: true}}\n"


@pytest.mark.parametrize(
    ("arguments", "as_text", "effect"),
    [
        ({"key": "a!"}, False, Effect.ALLOW),
        ({"key": "a!"}, True, Effect.DENY),
        ({"text": "wow!"}, True, Effect.ALLOW),
        ({"texts": "wow"}, True, Effect.DENY),
    ],
)
def test_a_call_that_must_fit_the_catalogue_is_denied_where_nobody_knows_what_it_says(
    arguments: dict[str, Any], as_text: bool, effect: Effect
) -> None:
    files = {"notes.yaml": STRICT.encode(), "catalog/notes.yaml": CATALOG.encode()}
    found = compile_policies(files, PolicyContext())
    assert found.problems == ()
    policy = found.policies["notes"]
    target = Target(TargetKind.TOOL, "write")
    message = Message(MessageKind.REQUEST, "tools/call", 1, (target,), arguments, doubtful_text=as_text)
    call = Call("notes", message, Principal(), catalog=policy.catalog)
    assert evaluate(policy, (), call).effect is effect
