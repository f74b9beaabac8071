"""JSON Schema 2020-12 -> `ArgumentsSchema`: whether a tool's arguments fit, and if not, what would be accepted.

Compiled once at load, offline, with linear-time patterns; `check` never raises, whatever a caller sent. Knows no
policy file, no rule and no call (policies/README.md 3).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from authz.policy.arguments.bounds import Bounds
from authz.policy.arguments.form import Form
from authz.policy.arguments.schema import (
    ITEM,
    DeclaredType,
    Definitions,
    Path,
    Schema,
    SchemaProblem,
    declared_at,
    required_at,
)
from authz.policy.arguments.shape import Shape, shape_of
from authz.policy.arguments.words import Explainer, Violation, violation

__all__ = [
    "ITEM",
    "ArgumentsSchema",
    "DeclaredType",
    "SchemaProblem",
    "Violation",
    "compile_arguments",
    "inspect_definitions",
]

# The engine's own default is 10 MiB for each; a program of 1 MiB is thousands of instructions, more than RE2 takes.
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)


@dataclass(frozen=True, slots=True)
class ArgumentsSchema:
    """A compiled schema of arguments."""

    _schema: Schema
    _definitions: Definitions
    _validator: jsonschema_rs.Draft202012Validator
    _shape: Shape | None
    _explainer: Explainer

    def check(self, arguments: Mapping[str, Any]) -> Violation | None:
        """None if `arguments` fit, else why not, in the policy's own words. Takes JSON as Python values.

        Work is bounded by the size of the arguments times the size of the schema. Never raises: what is no JSON
        (a lone surrogate, a number of more than 4,300 digits) does not fit.
        """
        if type(arguments) is not dict:
            arguments = dict(arguments)
        if self._shape is not None:
            fault = self._shape.fault(arguments)
            if fault is not None:
                return violation(*fault)
        try:
            if self._validator.is_valid(arguments):
                return None
            return self._explainer.explain(self._schema, arguments)
        except ValueError:
            return Violation("args", "only JSON that can be read without doubt")

    def doubt(self, arguments: Mapping[str, Any]) -> Violation | None:
        """The refusal of a constrained argument with `!` in it, for callers who cannot be sure of that character.

        Where a proxy sends bodies as text, each byte that is not UTF-8 became a `!` (Envoy's `sanitizeUtf8String`).
        """
        open_ended = self._schema.keys() - {"type", "properties", "required", "title", "description"}
        for name, value in arguments.items():
            if (open_ended or name in self._schema.get("properties", {})) and "!" in json.dumps(value):
                return Violation("args", "no '!' while the proxy sends bodies as text (pack_as_bytes)")
        return None

    def type_of(self, path: Sequence[str | int]) -> DeclaredType | None:
        """What is declared of the value at `path` in arguments that fit, None if nothing is.

        A step is a member's name or a position in a list; `ITEM` stands for any position.
        """
        names = declared_at(self._schema, tuple(path), self._definitions)
        return None if names is None else DeclaredType(names)

    def requires(self, path: Sequence[str]) -> bool:
        """Whether arguments that fit always have something at `path`, which names members."""
        return required_at(self._schema, tuple(path), self._definitions)


def compile_arguments(
    schema: Any, definitions: Definitions
) -> tuple[ArgumentsSchema | None, list[SchemaProblem], list[SchemaProblem]]:
    """The compiled schema (None if there is a problem), every problem, and warnings of what is probably not meant.

    `definitions` are the policy's `$defs`; problems in those that the schema reaches are told with their own path.
    """
    form = Form(definitions)
    form.inspect(schema)
    if form.problems:
        return None, form.problems, []
    bounds = Bounds(definitions)
    bounds.inspect_arguments(schema)
    for name in form.used:
        bounds.inspect_definition(name)
    if bounds.problems:
        return None, bounds.problems, bounds.warnings
    # A copy of our own: the explainer knows parts of the schema by their identity.
    used = {name: copy.deepcopy(definitions[name]) for name in form.used}
    whole: Schema = {**copy.deepcopy(schema), "type": "object"}
    try:
        validator = _validator(whole, used)
    except jsonschema_rs.ValidationError as error:
        return None, [SchemaProblem(_place(error.instance_path, whole), _refusal(error))], bounds.warnings
    explainer = Explainer(used, lambda part: _validator(part, used))
    compiled = ArgumentsSchema(whole, used, validator, shape_of(whole, used), explainer)
    return compiled, [], bounds.warnings


def inspect_definitions(definitions: Definitions) -> list[SchemaProblem]:
    """Every problem in the policy's `$defs`, also in those that nothing refers to; paths begin with `$defs`."""
    found: dict[SchemaProblem, None] = {}
    for name in definitions:
        form, bounds = Form(definitions), Bounds(definitions)
        form.inspect(definitions[name], ("$defs", name))
        if not form.problems:
            bounds.inspect_definition(name)
        found |= dict.fromkeys([*form.problems, *bounds.problems])
    return list(found)


def _validator(schema: Schema, definitions: Definitions) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        {**schema, "$defs": definitions} if definitions else schema,
        offline=True,
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=_PATTERNS,
    )


def _place(path: Sequence[str | int], schema: Schema) -> Path:
    """The path of the validator's complaint; it starts at the schema, whose `$defs` are the policy's."""
    return tuple(path) if path and path[0] in (*schema, "$defs") else ()


def _refusal(error: jsonschema_rs.ValidationError) -> str:
    first = error.message.splitlines()[0]
    if error.kind.name in ("format", "pattern"):
        return f"the validator's linear-time engine refuses the pattern {first.partition(' is not a ')[0]}"
    return f"the validator refuses it: {first}"
