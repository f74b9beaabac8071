"""What a schema names -> a quick look at arguments for twins of those names and for text that is too long to match.

JSON Schema compares member names exactly, some servers do not (CVE-2026-27896): a member that folds to a name of
the schema without being it is refused wherever the schema names members. And a pattern is matched in linear time
only in the text: the program's size is the other factor, so their product is bounded here, before any matching.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from authz.names import fold
from authz.policy.arguments.patterns import program_size
from authz.policy.arguments.schema import Definitions, target

# RE2 and the validator's engine need about 4 ns for an instruction and a byte where a pattern defeats their caches
# (`a[ab]{60}c`; measured), so a check spends at most some 30 ms on patterns, and common ones far less.
MATCH_WORK = 8 << 20
MAX_MEMBER_NAME = 1024  # characters of a member that the schema does not name, beside members that it names
MAX_FOLDED_NAME = 256  # of one that is not plain ASCII: NFKC is quadratic in runs of combining marks
MAX_UNKNOWN = 10_000  # different names of such members in one call
MAX_FOLDED = 1 << 10  # characters of such names in one call, in NFKC, where one can become 18: 0.3 ms to look at
# A member that is no member to most readers, and whose own members shine through in some (jsonc-parser, measured).
_PROTOTYPE = "__proto__"

Fault: TypeAlias = tuple[tuple[str, ...], str]  # path below the place it was found at, and what would be accepted


@dataclass(slots=True)
class Shape:
    """What schemas say of one place: `names` of members with their shapes, and the size of patterns for text there."""

    names: dict[str, Shape] = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    others: Shape | None = None
    items: Shape | None = None
    closed: bool = False
    everywhere: bool = False  # `others` also holds for named members (patternProperties)
    pattern_size: int = 0
    name_pattern_size: int = 0
    inner: tuple[tuple[str, Shape], ...] = ()

    @property
    def is_trivial(self) -> bool:
        """Whether nothing is to be looked at here or below."""
        return not (self.names or self.others or self.items or self.pattern_size or self.name_pattern_size)

    def fault(self, value: Any) -> Fault | None:
        """The first twin or overlong text in `value`, None if there is none."""
        return _Look().at(value, self)


def shape_of(schema: Any, definitions: Definitions) -> Shape | None:
    """The shape of all that `schema` says in whichever branch, None where there is nothing to look at."""
    shape = Shape()
    _collect(schema, shape, definitions, certain=True)
    return _settle(shape)


def _collect(schema: Any, shape: Shape, definitions: Definitions, *, certain: bool) -> None:
    if not isinstance(schema, dict):
        return
    shape.pattern_size += _size(schema.get("pattern"))
    for name, child in schema.get("properties", {}).items():
        _collect(child, shape.names.setdefault(name, Shape()), definitions, certain=certain)
    for name in _other_names(schema):
        shape.names.setdefault(name, Shape())
    patterned = schema.get("patternProperties", {})
    for child in (*patterned.values(), schema.get("additionalProperties")):
        if isinstance(child, dict):
            shape.others = shape.others or Shape()
            _collect(child, shape.others, definitions, certain=certain and not patterned)
    shape.everywhere |= bool(patterned)
    shape.name_pattern_size += sum(_size(pattern) for pattern in patterned)
    if "propertyNames" in schema:
        of_names = Shape()
        _collect(schema["propertyNames"], of_names, definitions, certain=certain)
        shape.name_pattern_size += of_names.pattern_size
    shape.closed |= certain and schema.get("additionalProperties") is False and not patterned
    # Where one shape stands for members or items that different schemas judge, none of them speaks for all.
    mixed = "prefixItems" in schema or "contains" in schema
    for child in (*schema.get("prefixItems", ()), schema.get("items"), schema.get("contains")):
        if isinstance(child, dict):
            shape.items = shape.items or Shape()
            _collect(child, shape.items, definitions, certain=certain and not mixed)
    if "$ref" in schema:
        _collect(target(schema, definitions), shape, definitions, certain=certain)
    for child in schema.get("allOf", ()):
        _collect(child, shape, definitions, certain=certain)
    perhaps = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("dependentSchemas", {}).values()]
    for child in (*perhaps, *(schema.get(keyword) for keyword in ("not", "if", "then", "else"))):
        _collect(child, shape, definitions, certain=False)


def _other_names(schema: Mapping[str, Any]) -> Iterable[str]:
    yield from schema.get("required", ())
    yield from schema.get("dependentSchemas", ())
    for name, names in schema.get("dependentRequired", {}).items():
        yield name
        yield from names


def _size(pattern: str | None) -> int:
    return 0 if pattern is None else program_size(pattern)


def _settle(shape: Shape) -> Shape | None:
    """Drop what need not be looked at and index the rest."""
    shape.others = _settle(shape.others) if shape.others else None
    shape.items = _settle(shape.items) if shape.items else None
    shape.folded = {fold(name): name for name in shape.names}
    settled = [(name, _settle(child)) for name, child in shape.names.items()]
    shape.inner = tuple((name, child) for name, child in settled if child is not None)
    return None if shape.is_trivial else shape


class _Look:
    """One look at one call's arguments: what it has spent so far."""

    __slots__ = ("_folded", "_known", "_work")

    def __init__(self) -> None:
        self._work = 0
        self._folded = 0
        self._known: dict[str, str] = {}

    def at(self, value: Any, shape: Shape) -> Fault | None:
        kind = type(value)
        if kind is dict:
            return self._object(value, shape)
        if kind is str:
            return self._match(value, shape.pattern_size)
        if kind is list and shape.items is not None:
            for item in value:
                fault = self.at(item, shape.items)
                if fault is not None:
                    return ("[]", *fault[0]), fault[1]
        return None

    def _object(self, value: dict[str, Any], shape: Shape) -> Fault | None:
        names = shape.names
        fault = None
        if not (shape.closed or not names or value.keys() <= names.keys()):
            fault = self._twin(value.keys() - names.keys(), shape.folded)
        if fault is None and shape.name_pattern_size:
            fault = self._match_names(value, shape.name_pattern_size)
        if fault is not None:
            return fault
        for name, child in shape.inner:
            if name in value:
                fault = self.at(value[name], child)
                if fault is not None:
                    return (name, *fault[0]), fault[1]
        if shape.others is not None:
            for name, member in value.items():
                fault = self.at(member, shape.others) if shape.everywhere or name not in names else None
                if fault is not None:
                    return (name if name in names else "*", *fault[0]), fault[1]
        return None

    def _twin(self, unknown: set[str], folded: Mapping[str, str]) -> Fault | None:
        known = self._known
        for name in unknown:
            plain = known.get(name)
            if plain is None:
                plain_text = name.isascii() and name.isprintable()
                most = MAX_MEMBER_NAME if plain_text else MAX_FOLDED_NAME
                if len(name) > most:
                    return ("*",), f"member names have at most {most} characters"
                if not plain_text:
                    self._folded += len(unicodedata.normalize("NFKC", name))
                if len(known) >= MAX_UNKNOWN or self._folded > MAX_FOLDED:
                    return ("*",), "fewer members that the policy does not name"
                plain = known[name] = fold(name)
            if plain == _PROTOTYPE:
                return ("*",), f"no member {_PROTOTYPE}"
            if plain in folded:
                return (folded[plain],), "only this exact spelling of the name"
        return None

    def _match_names(self, value: dict[str, Any], size: int) -> Fault | None:
        for name in value:
            if self._match(name, size) is not None:
                return ("*",), "shorter member names"
        return None

    def _match(self, text: str, size: int) -> Fault | None:
        if not size:
            return None
        self._work += size * (len(text) if text.isascii() else 4 * len(text))
        if self._work > MATCH_WORK:
            return (), f"text that is matched with a pattern has at most {MATCH_WORK // size} bytes in all"
        return None
