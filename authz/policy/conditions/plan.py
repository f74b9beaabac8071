"""A call -> the variables that one condition names, pruned to the members that it names, and nothing if too much.

Planned at load; knows which variable comes from where in a Call. What the agent sent is measured before the library
sees it, because it converts all that it is given (300,000 unused members: 103 ms).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from authz.model import UNKNOWN_TOOL, Call, KnownTool, Target
from authz.policy.conditions.types import ClaimType
from authz.policy.conditions.work import (
    BUDGET,
    CONVERTED,
    CONVERTED_ELEMENT,
    CONVERTED_MEMBER,
    ELEMENT,
    MAX_TEXT,
    MEMBER,
    SCALAR,
    Work,
    cost,
)

_EASY_TEXT = 1024  # characters, bytes and elements that every read may have without asking for the cost again
_EASY_BYTES, _EASY_ELEMENTS = 4 * _EASY_TEXT + 64, 32
_EXACT = 2**53  # from here on doubles skip integers, and CEL would call two different numbers equal

_WORKLOAD = re.compile(r"spiffe://[^/]+/ns/(?P<ns>[^/]+)/sa/(?P<sa>[^/]+)")

Getter = Callable[[Call, Target], Any]

# None: not known for this call, so not passed, and an error where it is read.
_GETTERS: dict[str, Getter] = {
    "target.kind": lambda _, target: target.kind.value,
    "target.name": lambda _, target: target.name,
    "method": lambda call, _: call.message.method,
    "server": lambda call, _: call.server,
    "principal.id": lambda call, _: _verified(call, call.principal.id),
    "principal.issuer": lambda call, _: _verified(call, call.principal.issuer),
    "principal.client_id": lambda call, _: _carried(call, "client_id", call.principal.client_id),
    "principal.groups": lambda call, _: _carried(call, "groups", sorted(call.principal.groups)),
    "principal.scopes": lambda call, _: _carried(call, "scopes", sorted(call.principal.scopes)),
    "principal.namespace": lambda call, _: _workload(call, "ns"),
    "principal.service_account": lambda call, _: _workload(call, "sa"),
    "peer.id": lambda call, _: call.principal.peer or None,
    "session": lambda call, _: call.session,
    "source.address": lambda call, _: call.address or None,
    "request.host": lambda call, _: call.host,
    "request.path": lambda call, _: call.path,
    "catalog.categories": lambda call, target: [*_known(call, target).categories],
    "catalog.risk": lambda call, target: _known(call, target).risk,
    "catalog.annotations": lambda call, target: _known(call, target).annotations,
    "now": lambda call, _: datetime.fromtimestamp(call.now, UTC),
    "continuation": lambda call, _: call.message.continuation,
}


class UnfitError(ValueError):
    """A call whose values cannot be given to a condition: too much, or not what they have to be."""


def _verified(call: Call, value: Any) -> Any:
    return value if call.principal.verified and value else None


def _workload(call: Call, part: str) -> str | None:
    """Of the connection's peer, as Kubernetes meshes name workloads: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`."""
    found = _WORKLOAD.fullmatch(call.principal.peer)
    return found[part] if found else None


def _known(call: Call, target: Target) -> KnownTool:
    return call.catalog.tools.get(target.name, UNKNOWN_TOOL)


def _carried(call: Call, name: str, value: Any) -> Any:
    return value if call.principal.verified and name not in call.principal.absent else None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read for one condition. `arguments` is a tree of names; None: the whole value is read."""

    arguments: Mapping[str, Any]
    variables: tuple[tuple[str, Getter], ...]
    claims: tuple[tuple[str, ClaimType], ...]
    headers: tuple[str, ...]
    flat: tuple[str, ...]  # the names of `arguments` where it has one level, else empty
    slots: tuple[tuple[str, ...], ...]
    work: Work
    easy: bool

    @staticmethod
    def of(slots: Sequence[tuple[str, ...]], claims: Mapping[str, ClaimType], work: Work) -> Plan:
        """The plan for what a condition reads (see `Reading.slots`)."""
        tree: dict[str, Any] = {}
        for slot in sorted(slot[1:] for slot in slots if slot[0] == "args"):
            _grow(tree, slot)
        return Plan(
            arguments=tree,
            variables=tuple((slot[0], _GETTERS[slot[0]]) for slot in slots if len(slot) == 1),
            claims=tuple((slot[1], claims[slot[1]]) for slot in slots if slot[0] == "principal.claims"),
            headers=tuple(slot[1] for slot in slots if slot[0] == "request.headers"),
            flat=tuple(tree) if all(below is None for below in tree.values()) else (),
            slots=tuple(slots),
            work=work,
            easy=cost(work, [(_EASY_BYTES, _EASY_ELEMENTS)] * len(slots)) <= BUDGET,
        )

    @property
    def reads_catalog(self) -> bool:
        """Whether what the catalogue says of a tool decides."""
        return any(name.startswith("catalog.") for name, _ in self.variables)

    def gather(self, call: Call, target: Target) -> dict[str, Any]:
        """The variables for one evaluation; raises UnfitError where it may not run."""
        data: dict[str, Any] = {}
        easy = self.easy
        if self.arguments:
            arguments = call.message.arguments
            if self.flat:
                passed = {name: arguments[name] for name in self.flat if name in arguments}
            else:
                passed = _prune(arguments, self.arguments)
                easy = False
            data["args"] = passed
            for value in passed.values():
                kind = type(value)
                easy = easy and (len(value) <= _EASY_TEXT if kind is str else kind is bool or kind is int)
        for name, getter in self.variables:
            value = getter(call, target)
            if value is not None:
                data[name] = value
                easy = easy and (type(value) is not list and (type(value) is not str or len(value) <= _EASY_TEXT))
        if self.claims and call.principal.verified:
            found = call.principal.claims
            data["principal.claims"] = {
                name: _claim(found[name], type_) for name, type_ in self.claims if name in found
            }
            easy = False
        if self.headers:
            data["request.headers"] = {name: call.headers[name] for name in self.headers if name in call.headers}
            easy = False
        if not easy:
            self._measure(data)
        return data

    def _measure(self, data: Mapping[str, Any]) -> None:
        """Raise UnfitError if the evaluation could take more than the budget."""
        sizes = [measure(_at(data.get(slot[0]), slot[1:])) for slot in self.slots]
        if sum(size.text for size in sizes) > MAX_TEXT:
            raise UnfitError("too much text")
        if self.easy and all(size.bytes <= _EASY_BYTES and size.elements <= _EASY_ELEMENTS for size in sizes):
            return
        spent = sum(size.conversion for size in sizes)
        if spent + cost(self.work, [(size.bytes, size.elements) for size in sizes]) > BUDGET:
            raise UnfitError("too much work")


def _claim(value: Any, type_: ClaimType) -> Any:
    try:
        return type_.read(value)
    except ValueError as error:
        raise UnfitError("a claim is not what the identity source declares") from error


def _grow(tree: dict[str, Any], names: Sequence[str]) -> None:
    """Add a path; sorted, so that a path comes before those below it, which it already covers."""
    for name in names[:-1]:
        below = tree.setdefault(name, {})
        if below is None:
            return
        tree = below
    tree[names[-1]] = None


def _prune(value: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    """The members of `value` that the tree names. Where members of no object are named, null gives the same error."""
    pruned = {}
    for name, below in tree.items():
        if name in value:
            member = value[name]
            if below is not None:
                member = _prune(member, below) if type(member) is dict else None
            pruned[name] = member
    return pruned


def _at(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        value = value.get(name) if type(value) is dict else None
    return value


class Size(NamedTuple):
    """How large a value is, in the units of `condition_work`: `text` are bytes of text, the rest adds what holds it."""

    bytes: int
    elements: int
    text: int
    conversion: int


def measure(value: Any) -> Size:
    """The size of a JSON value; raises UnfitError for more than the budget, and for numbers that are not exact."""
    size = elements = text = conversion = 0
    pending = [value]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is str:
            text += len(value) if value.isascii() else 4 * len(value)
        elif kind is list:
            elements += len(value)
            size += ELEMENT * len(value)
            conversion += CONVERTED + CONVERTED_ELEMENT * len(value)
            if conversion <= BUDGET:
                pending.extend(value)
        elif kind is dict:
            elements += len(value)
            size += MEMBER * len(value)
            conversion += CONVERTED + CONVERTED_MEMBER * len(value)
            if conversion <= BUDGET:
                text += sum(len(name) if name.isascii() else 4 * len(name) for name in value)
                pending.extend(value.values())
        elif kind is float and not abs(value) < _EXACT:
            raise UnfitError("a number that CEL would not compare exactly")
        size += SCALAR
        if conversion + text > BUDGET:
            raise UnfitError("too much")
    return Size(size + text, elements, text, conversion + text)
