"""JSON Schema 2020-12 -> `ArgumentsSchema`: whether a tool's arguments fit, and if not, what would be accepted.

Compiled once at load, offline, with linear-time patterns; `check` never raises, whatever a caller sent. Knows no
policy file, no rule and no call (policies/README.md 3).
"""

from __future__ import annotations

import hashlib
import marshal
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from authz.policy.arguments.bounds import Bounds
from authz.policy.arguments.doubt import doubt
from authz.policy.arguments.form import Form
from authz.policy.arguments.patterns import OPTIONS
from authz.policy.arguments.schema import (
    ITEM,
    DeclaredType,
    Definitions,
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

# A schema that is written the same way again, in a neighbouring file or the next load, is the same object.
_known: weakref.WeakValueDictionary[bytes, ArgumentsSchema] = weakref.WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class _Judge:
    """What looks at arguments: first the shape, then the validator, and where it refuses, the explainer."""

    shape: Shape | None
    validator: jsonschema_rs.Draft202012Validator
    explainer: Explainer


@dataclass(slots=True, eq=False, weakref_slot=True)
class ArgumentsSchema:
    """A schema of arguments that has no mistake.

    What judges calls is made at the first of them: of 50,000 tools most are never called, and each judge takes
    35 us and 15 kB (measured). It cannot fail then: `compile_arguments` has proved all that could make it fail.
    """

    _schema: Schema
    _definitions: Definitions
    _warnings: Sequence[SchemaProblem]
    _judge: _Judge | None = None

    def check(self, arguments: Mapping[str, Any]) -> Violation | None:
        """None if `arguments` fit, else why not, in the policy's own words. Takes JSON as Python values.

        Work is bounded by the size of the arguments times the size of the schema. Never raises: what is no JSON
        (a lone surrogate, a number of more than 4,300 digits) does not fit.
        """
        if type(arguments) is not dict:
            arguments = dict(arguments)
        judge = self._judge
        if judge is None:
            judge = self._judge = _judge_of(self._schema, self._definitions)
        if judge.shape is not None:
            fault = judge.shape.fault(arguments)
            if fault is not None:
                return violation(*fault)
        try:
            if judge.validator.is_valid(arguments):
                return None
            return judge.explainer.explain(self._schema, arguments)
        except ValueError:
            return Violation("args", "only JSON that can be read without doubt")

    def doubt(self, arguments: Mapping[str, Any]) -> Violation | None:
        """The refusal of a declared argument with `!` in it, for callers who cannot be sure of that character."""
        return doubt(self._schema, arguments, types_constrain=True)

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
    key = _key(schema)
    known = _known.get(key) if key else None
    if known is not None:
        return known, [], [*known._warnings]
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
    used = {name: definitions[name] for name in form.used}
    whole: Schema = {**schema, "type": "object"}
    # With the references, formats and patterns that the form has proved, the validator takes what its meta-schema does.
    try:
        jsonschema_rs.meta.validate({**whole, "$defs": used})
    except jsonschema_rs.ValidationError as error:
        place = tuple(error.instance_path)
        return None, [SchemaProblem(place, f"the validator refuses it: {error.message.splitlines()[0]}")], []
    compiled = ArgumentsSchema(whole, used, tuple(bounds.warnings))
    if key and not used:
        _known[key] = compiled
    return compiled, [], bounds.warnings


def _key(schema: Any) -> bytes:
    """The same for schemas that are written the same way, in the same order; b"" where there is none.

    Whoever is known by it has no reference: what its definitions say could differ. `marshal` tells 1 from 1.0 and from
    true, and version 2 writes nothing of how values are shared.
    """
    try:
        return hashlib.blake2b(marshal.dumps(schema, 2), digest_size=16).digest()
    except ValueError:  # something that no file holds; the form says what
        return b""


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


def _judge_of(schema: Schema, definitions: Definitions) -> _Judge:
    explainer = Explainer(definitions, lambda part: _validator(part, definitions))
    return _Judge(shape_of(schema, definitions), _validator(schema, definitions), explainer)


def _validator(schema: Schema, definitions: Definitions) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        {**schema, "$defs": definitions} if definitions else schema,
        offline=True,
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=OPTIONS,
    )
