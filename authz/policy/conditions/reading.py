"""The tree of a condition -> what it reads, what that would cost, and every problem with how it reads it.

An agent chooses the types of its arguments: an `args` path without a declared type would let `args.env == "prod"` be
dodged by `["prod"]`, so such a condition does not load (policies/README.md 4). Knows no call.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from authz.policy.arguments.declares import Declares
from authz.policy.arguments.patterns import program_size
from authz.policy.arguments.schema import ITEM, Path, PatternError
from authz.policy.catalog.entry import HINTS
from authz.policy.conditions.seen import (
    Seen,
    declaration,
    hint_of,
    incomparable,
    literal_label,
    mismatch,
    misspelt,
    path_label,
    step_label,
)
from authz.policy.conditions.syntax import Const, ListOf, Loop, MapOf, Name, Node, Operation, Select
from authz.policy.conditions.types import (
    AMONG,
    ARITHMETIC,
    COMPARISONS,
    CONVERSIONS,
    DATES,
    LOGIC,
    ON_TEXT,
    ROOTS,
    UNORDERED,
    VARIABLES,
    ClaimType,
    Kinds,
    join_kinds,
    kinds_of,
)
from authz.policy.conditions.work import (
    ELEMENT,
    MEMBER,
    STEP,
    Element,
    Fixed,
    Looping,
    Matching,
    Read,
    Scan,
    Search,
    Through,
    Work,
)
from authz.policy.text.suggestion import did_you_mean

_ARRAY, _STRING, _BOOLEAN, _NUMBER = (frozenset([kind]) for kind in ("array", "string", "boolean", "number"))
_BY_MEMBER = ("args", "principal.claims", "request.headers", "catalog.annotations")
_CONTAINERS = frozenset(["array", "object"])
# What an expression is, and its result in words.
_RESULTS = {"boolean": ("a condition", "true or false"), "number": ("a cost", "a number")}

Scope: TypeAlias = Mapping[str, Seen]


class Reading:
    """Walks a tree once. `slots` are what it reads, in the order of the numbers in its work.

    A slot is a variable's name, `("args", …)`, `("principal.claims", name)` or `("request.headers", name)`.
    """

    def __init__(self, types: Sequence[Declares], claims: Mapping[str, ClaimType], headers: frozenset[str]) -> None:
        self.problems: list[str] = []
        self.slots: list[tuple[str, ...]] = []
        self._types = types
        self.claims = claims
        self._headers = headers
        self._depth = 0
        self._undeclared: dict[Path, str] = {}  # with the type that it seems to have

    def read(self, tree: Node, result: str = "boolean") -> Seen:
        """Look at a whole expression, whose result has to be of the type `result`: `boolean` or `number`."""
        seen = self._visit(tree, {}, result)
        for path, hint in self._undeclared.items():
            # What is read deeper inside shows all that is to be added.
            if not any(other[: len(path)] == path and other != path for other in self._undeclared):
                text = f"has no declared type; add arguments: {declaration(path, hint)}"
                self._problem(f"{path_label(path)} {text}")
        who, wanted = _RESULTS[result]
        self._demand(seen, frozenset([result]), who)
        if seen.kinds is not None and not (seen.label and seen.declared) and result not in seen.kinds:
            self._problem(f"expected {wanted} as the result, got {' or '.join(sorted(seen.kinds))}")
        return seen

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    def _slot(self, *name: str) -> Read:
        if name not in self.slots:
            self.slots.append(name)
        return Read(self.slots.index(name))

    # ------------------------------------------------------------------------------------------------- nodes

    def _visit(self, node: Node, scope: Scope, hint: str) -> Seen:
        """`hint` is the type that an undeclared argument at this place seems to have."""
        if isinstance(node, Const):
            size = len(node.value) * 4 if isinstance(node.value, str | bytes) else 8
            word = node.value if isinstance(node.value, str) else None
            return Seen(Fixed(size), frozenset([node.type]), literal_label(node), word=word)
        if isinstance(node, Name):
            return self._name(node, scope, hint)
        if isinstance(node, ListOf):
            items = tuple(self._visit(item, scope, hint) for item in node.items)
            work = Through(tuple(item.work for item in items), ELEMENT)
            whole = Seen(work, join_kinds(item.kinds for item in items)) if items else None
            return Seen(work, _ARRAY, "a list", item=items[0] if len(items) == 1 else whole, items=items)
        if isinstance(node, MapOf):
            parts = [self._visit(part, scope, "string").work for entry in node.entries for part in entry]
            return Seen(Through(tuple(parts), MEMBER), frozenset(["object"]), "a map")
        if isinstance(node, Loop):
            return self._loop(node, scope)
        if isinstance(node, Select) or node.function == "_[_]":
            if isinstance(node, Select) and node.test:
                return Seen(Scan((self._member(node, scope, "string").work,)), _BOOLEAN)
            return self._member(node, scope, hint)
        return self._operation(node, scope)

    def _name(self, node: Name, scope: Scope, hint: str) -> Seen:
        kinds = frozenset([node.type]) if node.type else None
        if node.name in scope:
            seen = scope[node.name]
            if seen.path is not None:
                return self._argument(seen.path, hint, seen.work)
            return seen if seen.kinds is not None else replace(seen, kinds=kinds)
        name = node.name.removeprefix(".")
        if name in _BY_MEMBER:
            self._problem(f"{name} is read as a whole; name the member, as in {name}.NAME")
        elif name in VARIABLES:
            among = AMONG.get(name, ())
            item = Seen(Fixed(), _STRING, f"an item of {name}", among=among) if name in UNORDERED else None
            return Seen(self._slot(name), kinds, name if among else "", item=item, among=() if item else among)
        elif node.type != "type":
            self._problem(f"unknown variable {name!r}")
        return Seen(Fixed(), kinds)

    def _loop(self, node: Loop, scope: Scope) -> Seen:
        over = self._visit(node.over, scope, "array")
        self._demand(over, _CONTAINERS, "a loop")
        if over.kinds is not None and over.kinds >= _CONTAINERS:
            self._problem(f"{over.label} is declared {over.declared}, but a loop needs to know which of the two")
        if node.variable in ROOTS:
            self._problem(f"the loop variable {node.variable} hides the variable of the same name")
        element = Element(self._depth)
        if over.kinds is not None and "array" not in over.kinds:
            item = Seen(element, _STRING)  # a loop over a map goes through its names
        elif over.path is not None:
            item = Seen(element, None, path=(*over.path, ITEM))
        else:
            label = over.item.label if over.item and over.item.among else f"an item of {over.label}"
            item = replace(over.item, work=element, label=label) if over.item else Seen(element)
        growing = Seen(Fixed(0), _ARRAY if node.collects else None)
        self._depth += 1
        step = self._visit(node.step, {**scope, node.variable: item, node.accumulator: growing}, "boolean")
        self._depth -= 1
        work = Looping(over.work, step.work, node.collects)
        return Seen(work, _ARRAY if node.collects else _BOOLEAN, item=step.item)

    # ----------------------------------------------------------------------------------------------- members

    def _member(self, node: Node, scope: Scope, hint: str) -> Seen:
        """`of.name`, `of['name']`, `of[0]`, `of[i]`, as long as the chain is."""
        steps: list[str | int] = []
        indexes: list[Work] = []
        problems = len(self.problems)
        while True:
            if isinstance(node, Select):
                steps.append(node.field)
                node = node.of
            elif isinstance(node, Operation) and node.function == "_[_]":
                of, index = node.parts
                steps.append(self._index(index, scope, indexes))
                node = of
            else:
                break
        steps.reverse()
        if len(self.problems) > problems:
            return Seen(Fixed())
        if isinstance(node, Name) and node.name not in scope:
            root = node.name.removeprefix(".")
            if root == "args":
                return self._argument(tuple(steps), hint, indexes=indexes)
            if root in _BY_MEMBER:
                return self._named(root, steps)
            if root in UNORDERED:
                self._problem(f"{root} has no order; use in or exists")
        # The variable itself need not be declared where only its members are read.
        seen = scope[node.name] if isinstance(node, Name) and node.name in scope else self._visit(node, scope, hint)
        work = Through((seen.work, *indexes))
        for at, step in enumerate(steps):
            if seen.path is not None:
                return self._argument((*seen.path, *steps[at:]), hint, work)
            seen = seen.item if isinstance(step, int) and seen.item else Seen(work)
        return self._argument(seen.path, hint, work) if seen.path is not None else replace(seen, work=work)

    def _index(self, index: Node, scope: Scope, indexes: list[Work]) -> str | int:
        if isinstance(index, Const) and isinstance(index.value, str):
            return index.value
        if isinstance(index, Const) and type(index.value) is int and index.value >= 0:
            return index.value
        seen = self._visit(index, scope, "integer")
        if seen.kinds is None or seen.kinds != _NUMBER:
            self._problem("a member's name must be a constant: only then its type is known")
        indexes.append(seen.work)
        return ITEM

    def _argument(self, path: Path, hint: str, work: Work | None = None, indexes: Sequence[Work] = ()) -> Seen:
        """What stands at an `args` path, read by name or, with `work`, through a loop."""
        declared = next((found for types in self._types if (found := types.type_of(path)) is not None), None)
        if declared is None:
            self._undeclared.setdefault(path, hint)
        if work is None:
            names = itertools.takewhile(lambda step: isinstance(step, str), path)
            work = self._slot("args", *(str(name) for name in names))
        reached = Through((work, *indexes)) if indexes else work
        kinds = None if declared is None else kinds_of(declared)
        return Seen(reached, kinds, path_label(path), path, str(declared) if declared else "")

    def _named(self, root: str, steps: Sequence[str | int]) -> Seen:
        """A claim, a header or a hint of the catalogue."""
        name = steps[0]
        if not isinstance(name, str):
            return Seen(Fixed())
        label = root + step_label(name)
        if root == "catalog.annotations":
            if name not in HINTS:
                self._problem(f"{label} is none of MCP's hints: {', '.join(HINTS)}{did_you_mean(name, HINTS)}")
            return Seen(self._slot(root), _BOOLEAN, label, declared="boolean")
        if root == "request.headers":
            if name not in self._headers:
                known = f"the settings list {', '.join(sorted(self._headers))}" if self._headers else "none is"
                self._problem(f"{label} is not one of the headers that conditions may read; {known}")
            return Seen(self._slot(root, name), _STRING, label, declared="string")
        claim = self.claims.get(name)
        if claim is None:
            self._problem(f"{label} has no type; add claims: {{{name}: string}} to the identity source")
            return Seen(self._slot(root, name))
        work = self._slot(root, name)
        inner: ClaimType | None = claim
        for step in steps[1:]:
            inner = inner.item if inner and isinstance(step, int) else None
        if inner is None:
            return Seen(work)
        item = Seen(work, inner.item.kinds, declared=inner.item.kind) if inner.item else None
        return Seen(work, inner.kinds, label, declared=inner.kind, item=item)

    # -------------------------------------------------------------------------------------------- operations

    def _operation(self, node: Operation, scope: Scope) -> Seen:
        function = node.function
        hints = self._hints(node)
        parts = [self._visit(part, scope, hint) for part, hint in zip(node.parts, hints, strict=True)]
        works = tuple(part.work for part in parts)
        kinds = frozenset([node.type]) if node.type else None
        if function in COMPARISONS:
            self._compare(parts[0], parts[1])
            if function not in ("_==_", "_!=_"):
                self._order(parts)
        elif function == "@in":
            self._contained(parts[0], parts[1])
        elif function in LOGIC:
            for part in parts:
                self._demand(part, _BOOLEAN, function.strip("_"))
        elif function in ARITHMETIC:
            for part in parts:
                self._demand(part, frozenset(["number", "timestamp", "duration"]), function.strip("_"))
        elif function in ON_TEXT:
            for part in parts:
                self._demand(part, _STRING, function)
            return Seen(self._text_work(node, works), _BOOLEAN)
        elif function == "size":
            self._demand(parts[0], frozenset(["string", "array", "object", "bytes"]), function)
        elif function == "_?_:_":
            self._demand(parts[0], _BOOLEAN, "?:")
            item = parts[1].item or parts[2].item
            return Seen(Through(works), join_kinds(part.kinds for part in parts[1:]), item=item)
        elif function == "dyn":
            return replace(parts[0], work=Through(works))
        elif function in ("_+_", "string", "bytes"):
            item = next((part.item for part in reversed(parts) if part.item), None)
            return Seen(Through((*works, Fixed(STEP))), kinds, item=item)
        elif function in DATES:
            if len(node.parts) > 1 and not isinstance(node.parts[1], Const):
                self._problem(f"the time zone of {function} must be a constant")
        elif function not in CONVERSIONS:
            self._problem(f"the function {function} is not supported")
        return Seen(Scan(works), kinds)

    def _text_work(self, node: Operation, works: Sequence[Work]) -> Work:
        if node.function == "contains":
            return Search(works[0], works[1])
        if node.function != "matches":
            return Scan(tuple(works))
        pattern = node.parts[1]
        if not isinstance(pattern, Const) or not isinstance(pattern.value, str):
            self._problem("the pattern of matches must be a constant string")
            return Scan(tuple(works))
        try:
            size = program_size(pattern.value)
        except PatternError as error:
            self._problem(f"RE2 refuses the pattern {pattern.value!r}: {error}")
            return Scan(tuple(works))
        return Matching(works[0], size)

    def _hints(self, node: Operation) -> list[str]:
        """What type an undeclared argument among the parts would have, for the line that shows what to add."""
        count = len(node.parts)
        if node.function in LOGIC:
            return ["boolean"] * count
        if node.function in ARITHMETIC:
            return ["number"] * count
        if node.function == "_?_:_":
            return ["boolean", *[hint_of(node.parts[2]), hint_of(node.parts[1])]]
        if node.function == "@in":
            element = node.parts[1].items[0] if isinstance(node.parts[1], ListOf) and node.parts[1].items else None
            return [hint_of(element) if element is not None else "string", "array"]
        if node.function in COMPARISONS and count > 1:
            return [hint_of(node.parts[1]), hint_of(node.parts[0])]
        return ["string"] * count

    # ------------------------------------------------------------------------------------------------ checks

    def _demand(self, seen: Seen, kinds: Kinds, where: str) -> None:
        found = mismatch(seen, kinds, where)
        if found:
            self._problem(found)

    def _compare(self, left: Seen, right: Seen) -> None:
        found = incomparable(left, right) or misspelt(left, right)
        if found:
            self._problem(found)

    def _order(self, parts: Sequence[Seen]) -> None:
        for part in parts:
            if part.among:
                some = ", ".join(repr(word) for word in part.among[-2:])
                self._problem(f"{part.label} has no order, it would be that of the alphabet; use in [{some}]")

    def _contained(self, left: Seen, right: Seen) -> None:
        self._demand(right, _CONTAINERS, "in")
        if right.path is not None and right.kinds is not None and "array" in right.kinds:
            self._compare(left, self._argument((*right.path, ITEM), "string", right.work))
        elif right.items:
            for item in right.items:
                self._compare(left, item)
        elif right.item is not None and right.item.among:
            self._compare(left, right.item)
        elif right.item is not None and right.label:
            self._compare(left, replace(right.item, label=f"an item of {right.label}"))
