"""A compiled CEL expression -> its syntax tree as plain values.

The library compiles and evaluates but shows no tree; its serialised form is a `cel.expr.CheckedExpr`, which is read
here by a trimmed definition of our own (protos/cel_syntax.proto). Knows nothing of policies, arguments or variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from authz.policy.conditions.pb import cel_syntax_pb2 as pb

Literal: TypeAlias = bool | int | float | str | bytes | None

_PRIMITIVES = {
    pb.Type.BOOL: "boolean",
    pb.Type.INT64: "number",
    pb.Type.UINT64: "number",
    pb.Type.DOUBLE: "number",
    pb.Type.STRING: "string",
    pb.Type.BYTES: "bytes",
}
_WELL_KNOWN = {pb.Type.TIMESTAMP: "timestamp", pb.Type.DURATION: "duration"}
_OTHERS = {"null": "null", "list_type": "array", "map_type": "object", "type": "type"}


class SyntaxUnreadableError(ValueError):
    """An expression whose tree cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Const:
    """A literal."""

    value: Literal
    type: str


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, qualified as it was declared (`principal.id`), or the variable of a loop around it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Select:
    """`of.field`; with `test` it is `has(of.field)`."""

    of: Node
    field: str
    test: bool
    type: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A function or operator (`_==_`, `_[_]`, `contains`); the value it is called on comes first in `parts`."""

    function: str
    parts: tuple[Node, ...]
    type: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list literal."""

    items: tuple[Node, ...]
    type: str = "array"


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map literal."""

    entries: tuple[tuple[Node, Node], ...]
    type: str = "object"


@dataclass(frozen=True, slots=True)
class Loop:
    """A macro (`all`, `exists`, `exists_one`, `map`, `filter`), expanded as CEL expands it.

    `step` gives the accumulator's next value for each element of `over`; with `collects` it is a list that grows.
    """

    variable: str
    over: Node
    accumulator: str
    collects: bool
    until: Node
    step: Node
    result: Node
    type: str


Node: TypeAlias = Const | Name | Select | Operation | ListOf | MapOf | Loop


def parse(serialized: bytes) -> Node:
    """The tree of a serialised expression; raises SyntaxUnreadableError.

    A node's `type` is JSON's word for it (`string number boolean null array object`), `bytes`, `timestamp`,
    `duration`, `type`, or "" where only the evaluation can tell.
    """
    envelope, checked = AnyMessage(), pb.CheckedExpr()
    try:
        envelope.ParseFromString(serialized)
        checked.ParseFromString(envelope.value)
    except DecodeError as error:  # protobuf reads at most 100 levels of messages
        raise SyntaxUnreadableError("nested too deeply") from error
    return _Parser({key: _type_name(value) for key, value in checked.type_map.items()}).node(checked.expr)


def _type_name(type_: pb.Type) -> str:
    kind = type_.WhichOneof("type_kind")
    if kind == "primitive":
        return _PRIMITIVES.get(type_.primitive, "")
    if kind == "well_known":
        return _WELL_KNOWN.get(type_.well_known, "")
    return _OTHERS.get(kind or "", "")


class _Parser:
    def __init__(self, types: dict[int, str]) -> None:
        self._types = types

    def node(self, expr: pb.Expr) -> Node:
        type_ = self._types.get(expr.id, "")
        match expr.WhichOneof("expr_kind"):
            case "const_expr":
                return self._const(expr.const_expr, type_)
            case "ident_expr":
                return Name(expr.ident_expr.name, type_)
            case "select_expr":
                select = expr.select_expr
                return Select(self.node(select.operand), select.field, select.test_only, type_)
            case "call_expr":
                call = expr.call_expr
                parts = [call.target, *call.args] if call.HasField("target") else list(call.args)
                return Operation(call.function, tuple(self.node(part) for part in parts), type_)
            case "list_expr":
                return ListOf(tuple(self.node(item) for item in expr.list_expr.elements))
            case "struct_expr":
                return self._struct(expr.struct_expr)
            case "comprehension_expr":
                return self._loop(expr.comprehension_expr, type_)
            case other:
                raise SyntaxUnreadableError(f"{other or 'an empty expression'} is not supported")

    def _const(self, constant: pb.Constant, type_: str) -> Const:
        match constant.WhichOneof("constant_kind"):
            case "null_value":
                return Const(None, "null")
            case "bool_value":
                return Const(constant.bool_value, "boolean")
            case "int64_value":
                return Const(constant.int64_value, "number")
            case "uint64_value":
                return Const(constant.uint64_value, "number")
            case "double_value":
                return Const(constant.double_value, "number")
            case "string_value":
                return Const(constant.string_value, "string")
            case "bytes_value":
                return Const(constant.bytes_value, "bytes")
            case _:
                raise SyntaxUnreadableError(f"a literal of type {type_ or 'unknown'} is not supported")

    def _struct(self, struct: pb.Expr.CreateStruct) -> MapOf:
        if struct.message_name:
            raise SyntaxUnreadableError("message literals are not supported")
        return MapOf(tuple((self.node(entry.map_key), self.node(entry.value)) for entry in struct.entries))

    def _loop(self, loop: pb.Expr.Comprehension, type_: str) -> Loop:
        if loop.iter_var2:
            raise SyntaxUnreadableError("loops with two variables are not supported")
        return Loop(
            variable=loop.iter_var,
            over=self.node(loop.iter_range),
            accumulator=loop.accu_var,
            collects=loop.accu_init.WhichOneof("expr_kind") == "list_expr",
            until=self.node(loop.loop_condition),
            step=self.node(loop.loop_step),
            result=self.node(loop.result),
            type=type_,
        )
