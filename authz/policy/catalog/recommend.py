"""What a tool is -> the rule that is recommended for it, and what else its arguments ask for.

The rule is a block of the policy language that holds for any caller; which values are right only its owner knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from authz.policy.catalog import signs
from authz.policy.catalog.definition import Definition, words_of
from authz.policy.catalog.entry import Category, Risk

_MINUTE = 60
# Calls a minute: a person who works with an agent causes a few; what goes on and on is a loop.
_READS, _WRITES, _RUNS = 60, 30, 10

_ASKS = {
    Category.FINANCIAL: "moving money needs a person's yes",
    Category.DESTRUCTIVE: "what is removed may not come back: it needs a person's yes",
    Category.EXECUTE: "it runs what the caller chooses: it needs a person's yes",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """An argument that is worth a rule: why, and a schema to begin from, as YAML in flow style."""

    argument: str
    why: str
    schema: str


def recommend(categories: Collection[Category], risk: Risk) -> Mapping[str, Any] | str:
    """The block for a tool of these categories (at least one) and this risk."""
    if Category.FINANCIAL in categories or Category.DESTRUCTIVE in categories:
        first = Category.FINANCIAL if Category.FINANCIAL in categories else Category.DESTRUCTIVE
        return _ask(_ASKS[first])
    if Category.EXECUTE in categories:
        return _ask(_ASKS[Category.EXECUTE]) if risk is Risk.CRITICAL else _allow(_RUNS)
    if Category.WRITE in categories:
        return _allow(_WRITES if risk <= Risk.MEDIUM else _RUNS)
    return "allow" if risk is Risk.LOW else _allow(_READS)


def advise(definition: Definition) -> tuple[Advice, ...]:
    """The arguments of a tool that are worth a rule, in its own order."""
    found = []
    for name, schema in definition.arguments.items():
        key = "_".join(words_of(name))
        kind = schema.get("type") if isinstance(schema, Mapping) else None
        for names, why, example in _RULES:
            if key in names and not (isinstance(schema, Mapping) and "enum" in schema and names is signs.CODE):
                found.append(Advice(name, why, _LIST.format(example) if kind == "array" else example))
                break
        else:
            if kind in ("number", "integer") and key in signs.MONEY_ARGUMENTS:
                found.append(Advice(name, "it is an amount: bound it", _AMOUNT.format(kind)))
    return tuple(found)


def _allow(calls: int) -> Mapping[str, Any]:
    return {"action": "allow", "rate_limit": {"max": calls, "window": _MINUTE}}


def _ask(reason: str) -> Mapping[str, Any]:
    return {"action": "require_approval", "reason": reason, "rate_limit": {"max": _RUNS, "window": _MINUTE}}


_LIST = "{{type: array, items: {}, maxItems: 20}}"
_AMOUNT = "{{type: {}, exclusiveMinimum: 0, maximum: 100}}"
_RULES: tuple[tuple[frozenset[str], str, str], ...] = (
    (signs.CODE, "its text is run: list what may be", "{enum: [FIRST, SECOND]}"),
    (signs.QUERY, "no pattern can judge a language: ask a person, or give the server a role that may only read",
     "{type: string, maxLength: 2000}"),
    (signs.SWITCHES, "it chooses what the tool does: list the harmless ones", "{enum: [list, get]}"),
    (signs.RIGHTS, "it says with whose rights: name the one that may be used", "{const: YOURS}"),
    (signs.OUTPUT_ARGUMENTS, "it says where data goes: allow places that you know",
     '{type: string, pattern: "^s3://your-bucket/[A-Za-z0-9/_-]+$"}'),
    (signs.URL_ARGUMENTS, "it is an address: allow hosts that you know, or the agent reaches into your network",
     '{type: string, pattern: "^https://docs\\\\.example/[A-Za-z0-9/_.-]*$"}'),
    (signs.PATH_ARGUMENTS, "it is a path: keep it below one directory",
     '{type: string, pattern: "^/project/[A-Za-z0-9/_-]+(\\\\.[a-z]+)?$"}'),
    (signs.SWEEPING, "it widens what one call does: forbid it", "{const: false}"),
)  # fmt: skip
