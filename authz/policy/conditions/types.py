"""What a condition may name: its variables, its functions, the types of claims, and the types that values have.

CEL's own types say too little (arguments and claims are `dyn`): `kinds` here are JSON's, from what is declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from cel_expr_python import cel  # type: ignore[import-untyped]  # ships stubs without py.typed

from authz.policy.arguments.schema import DeclaredType
from authz.policy.catalog.entry import UNKNOWN, Category, Risk

Kinds: TypeAlias = frozenset[str]  # of string number boolean null array object bytes timestamp duration type

NUMBERS = ("integer", "number")

_STRINGS = cel.Type.List(cel.Type.STRING)

# policies/README.md 4. A variable that is not known for a call (no verified identity, no such claim) is not passed:
# what reads it is an error unless the rest of the expression decides.
VARIABLES: dict[str, cel.Type] = {
    "args": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "target.kind": cel.Type.STRING,
    "target.name": cel.Type.STRING,
    "method": cel.Type.STRING,
    "server": cel.Type.STRING,
    "principal.id": cel.Type.STRING,
    "principal.issuer": cel.Type.STRING,
    "principal.client_id": cel.Type.STRING,
    "principal.groups": _STRINGS,
    "principal.scopes": _STRINGS,
    "principal.claims": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "principal.namespace": cel.Type.STRING,
    "principal.service_account": cel.Type.STRING,
    "peer.id": cel.Type.STRING,
    "session": cel.Type.STRING,
    "source.address": cel.Type.STRING,
    "request.host": cel.Type.STRING,
    "request.path": cel.Type.STRING,
    "request.headers": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "now": cel.Type.TIMESTAMP,
    "catalog.categories": _STRINGS,
    "catalog.risk": cel.Type.STRING,
    "catalog.annotations": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "continuation": cel.Type.BOOL,
}
ROOTS = frozenset(name.partition(".")[0] for name in VARIABLES)
UNORDERED = frozenset(["principal.groups", "principal.scopes", "catalog.categories"])
# What the catalogue can say: a comparison with anything else is a slip that would never hold.
AMONG: dict[str, tuple[str, ...]] = {
    "catalog.categories": (*(category.value for category in Category), UNKNOWN),
    "catalog.risk": tuple(risk.value for risk in Risk),
}
ENVIRONMENT = cel.NewEnv(variables=VARIABLES)
BOOL = cel.Type.BOOL
NUMERIC = (cel.Type.INT, cel.Type.UINT, cel.Type.DOUBLE)

# Functions by what they cost; one that is not here is refused, so that no release of the library adds an unbounded one.
LOGIC = frozenset(["_&&_", "_||_", "!_"])
COMPARISONS = frozenset(["_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"])
ARITHMETIC = frozenset(["_-_", "_*_", "_/_", "_%_", "-_"])
ON_TEXT = frozenset(["contains", "startsWith", "endsWith", "matches"])
CONVERSIONS = frozenset(["int", "uint", "double", "bool", "timestamp", "duration", "type", "string", "bytes", "dyn"])
DATES = frozenset(
    f"get{part}"
    for part in ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "Hours", "Minutes", "Seconds")
) | {"getMilliseconds"}
FUNCTIONS = frozenset([*ON_TEXT, *CONVERSIONS, *DATES, "size", "has", "all", "exists", "exists_one", "map", "filter"])


def kinds_of(declared: DeclaredType) -> Kinds:
    """JSON's types of a declared argument; CEL's numbers compare as one kind."""
    return frozenset("number" if name in NUMBERS else name for name in declared.names)


@dataclass(frozen=True, slots=True)
class ClaimType:
    """The type of a claim: `kind` is string, number, integer, boolean, object or array with `item`."""

    kind: str
    item: ClaimType | None = None

    @property
    def kinds(self) -> Kinds:
        """The same as kinds."""
        return frozenset(["number" if self.kind in NUMBERS else self.kind])

    def read(self, value: Any) -> Any:
        """`value` as CEL takes it; raises ValueError if it is of another type. Envoy's metadata has only doubles."""
        kind = type(value)
        if self.kind == "array" and self.item is not None and kind in (list, tuple):
            return [self.item.read(one) for one in value]
        if self.kind == "integer" and kind is float and value.is_integer():
            return int(value)
        fits = {"string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,), "object": (dict,)}
        if kind not in fits.get(self.kind, ()):
            raise ValueError(f"a claim is not {self.kind}")
        return value


_CLAIM_KINDS = {
    "string": "string",
    "bool": "boolean",
    "boolean": "boolean",
    "int": "integer",
    "integer": "integer",
    "number": "number",
    "double": "number",
    "map": "object",
}


def parse_claim_type(text: str) -> ClaimType:
    """`string`, `int`, `number`, `bool`, `map` or `list(…)` of these; raises ValueError."""
    inner = re.fullmatch(r"list\((.*)\)", text.strip())
    if inner:
        return ClaimType("array", parse_claim_type(inner[1]))
    if text.strip() not in _CLAIM_KINDS:
        raise ValueError(f"expected string, int, number, bool, map or list(…) of these, got {text!r}")
    return ClaimType(_CLAIM_KINDS[text.strip()])


def join_kinds(found: Iterable[Kinds | None]) -> Kinds | None:
    """The kinds of one of several values, None if one is unknown."""
    together: Kinds = frozenset()
    for one in found:
        if one is None:
            return None
        together |= one
    return together
