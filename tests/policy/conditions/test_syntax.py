"""The library's serialised trees -> plain values, and what of them cannot be read."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from authz.policy.conditions.pb import cel_syntax_pb2 as pb
from authz.policy.conditions.syntax import (
    Const,
    Literal,
    Loop,
    MapOf,
    Name,
    Operation,
    Select,
    SyntaxUnreadableError,
    parse,
)
from authz.policy.conditions.types import ENVIRONMENT


def tree(text: str) -> object:
    return parse(ENVIRONMENT.compile(text).serialize())


def serialized(expr: pb.Expr) -> bytes:
    checked = pb.CheckedExpr(expr=expr)
    return AnyMessage(value=checked.SerializeToString()).SerializeToString()


@pytest.mark.parametrize(
    ("text", "value", "type_"),
    [
        ("null", None, "null"),
        ("true", True, "boolean"),
        ("-1", -1, "number"),
        ("1u", 1, "number"),
        ("1.5", 1.5, "number"),
        ("'a'", "a", "string"),
        ("b'a'", b"a", "bytes"),
    ],
)
def test_every_kind_of_literal_is_read_with_its_type(text: str, value: Literal, type_: str) -> None:
    found = tree(f"{text} == {text}")
    assert found == Operation("_==_", (Const(value, type_),) * 2, "boolean")


def test_a_map_is_read_with_its_entries() -> None:
    assert tree("{'a': 1}.size() == 0") == Operation(
        "_==_",
        (
            Operation("size", (MapOf(((Const("a", "string"), Const(1, "number")),)),), "number"),
            Const(0, "number"),
        ),
        "boolean",
    )


def test_types_that_json_has_not_have_words_of_their_own() -> None:
    found = tree("now - duration('1s') == now && type(1) == int")
    assert isinstance(found, Operation)
    times, types = found.parts
    assert isinstance(times, Operation)
    assert isinstance(types, Operation)
    assert [part.type for part in times.parts if isinstance(part, Name | Operation)] == ["timestamp", "timestamp"]
    assert types.parts[1] == Name("int", "type")


def test_has_is_a_selection_that_tests() -> None:
    found = tree("has(args.a)")
    assert found == Select(Name("args", "object"), "a", test=True, type="boolean")


def test_a_macro_that_makes_a_list_collects_and_one_that_decides_does_not() -> None:
    decides = tree("[1].exists(x, x == 1)")
    assert isinstance(decides, Loop)
    assert (decides.variable, decides.collects, decides.type) == ("x", False, "boolean")
    compared = tree("[1].map(x, x) == [1]")
    assert isinstance(compared, Operation)
    made = compared.parts[0]
    assert isinstance(made, Loop)
    assert made.collects


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        (pb.Expr(), "an empty expression is not supported"),
        (pb.Expr(const_expr=pb.Constant()), "a literal of type unknown is not supported"),
        (
            pb.Expr(struct_expr=pb.Expr.CreateStruct(message_name="google.protobuf.Duration")),
            "message literals are not supported",
        ),
        (
            pb.Expr(comprehension_expr=pb.Expr.Comprehension(iter_var="i", iter_var2="v")),
            "loops with two variables are not supported",
        ),
    ],
)
def test_what_this_reader_does_not_know_is_refused_and_never_passed_over(expr: pb.Expr, problem: str) -> None:
    with pytest.raises(SyntaxUnreadableError) as refused:
        parse(serialized(expr))
    assert str(refused.value) == problem


def test_a_tree_that_is_nested_deeper_than_protobuf_reads_is_refused() -> None:
    expr = pb.Expr(const_expr=pb.Constant(bool_value=True)).SerializeToString()
    for _ in range(60):  # two messages each; as bytes, for the library would not build it either
        expr = inside("call_expr", inside("args", expr, pb.Expr.Call), pb.Expr)
    envelope = AnyMessage(value=inside("expr", expr, pb.CheckedExpr))
    with pytest.raises(SyntaxUnreadableError, match=r"^nested too deeply$"):
        parse(envelope.SerializeToString())


def inside(field: str, data: bytes, kind: type[Message]) -> bytes:
    """A message of `kind` with nothing but `field`, a message itself, as bytes."""
    size = len(data)
    assert size < 1 << 14
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([kind.DESCRIPTOR.fields_by_name[field].number << 3 | 2]) + length + data
