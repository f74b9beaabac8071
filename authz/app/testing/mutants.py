"""A policy document -> the same document with one mistake, for each mistake that tests should notice.

Mistakes are those that let more through, or that turn a word round. Nothing here compiles or judges; a mutant may not
load, which is no mistake that could go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from authz.app.testing.bounds import loosened
from authz.app.testing.elements import SECTIONS, WHOLE
from authz.policy.compile.duration import parse_rate
from authz.policy.text.document import Path

_FLIPPED = {"allow": "deny", "deny": "allow", "require_approval": "allow"}
_MOST_CALLS = 1_000  # of a limit: nobody's tests make more to see that it ends there
_APPROVAL = ("by", "approvers", "reason_required")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake: `what` was done at `path`, and the document with it.

    `spot` is the place, as traces name it, that every call comes by which could tell the difference; WHOLE: any call.
    """

    path: Path
    what: str
    value: Mapping[str, Any]
    spot: str = WHOLE


def mutants(raw: Mapping[str, Any], *, baseline: bool) -> Iterator[Mutant]:
    """Every mutant of a document that loads."""
    if not baseline and not all("*" in raw.get(section, {}) for section in ("tools", "prompts", "resources")):
        default = raw.get("default", "deny")
        other = _FLIPPED[default]
        path: Path = ("default",) if "default" in raw else ()
        what = f"{default} made {other}" if path else f"the default, which is {default}, made {other}"
        yield Mutant(path, what, {**raw, "default": other}, "default")
    if "origins" in raw:
        yield Mutant(("origins",), "dropped", without(raw, ("origins",)))
    for section in SECTIONS:
        for key, said in raw.get(section, {}).items():
            yield from _block(raw, (section, key), said)
    for at, limit in enumerate(raw.get("limits", ())):
        yield from _limit(raw, ("limits", at), limit, f"limits[{at}]")
    for name, schema in raw.get("$defs", {}).items():
        yield from _schema(raw, ("$defs", name), schema, WHOLE)


def _block(raw: Mapping[str, Any], path: Path, said: Any) -> Iterator[Mutant]:
    section, key = str(path[0]), str(path[1])
    spot = f"{section}.{key}"
    if isinstance(said, str):
        said = {"action": said}
        raw = put(raw, path, said)
    wider = _wider(section, key)
    if wider != key and wider not in raw[section]:
        renamed = {wider if name == key else name: block for name, block in raw[section].items()}
        yield Mutant(path, f"widened to {wider!r}", put(raw, (section,), renamed))
    if "rules" not in said:
        if said["action"] == "deny":
            yield Mutant(path, "dropped, which denied", without(raw, path))
        yield from _rule(raw, path, said, spot)
        return
    yield from _constraints(raw, path, said, spot)
    for at, rule in enumerate(said["rules"]):
        place: Path = (*path, "rules", at)
        if rule["action"] == "deny" and len(said["rules"]) > 1:
            yield Mutant(place, "dropped, which denied", without(raw, place), spot)
        yield from _rule(raw, place, rule, spot)


def _rule(raw: Mapping[str, Any], path: Path, rule: Mapping[str, Any], spot: str) -> Iterator[Mutant]:
    action = rule["action"]
    flipped = {**{key: value for key, value in rule.items() if key != "approval"}, "action": _FLIPPED[action]}
    yield Mutant((*path, "action"), f"{action} made {_FLIPPED[action]}", put(raw, path, flipped), spot)
    for key in ("principals", "when"):
        if key in rule:
            yield Mutant((*path, key), "dropped", without(raw, (*path, key)), spot)
    if action == "deny":
        return  # what else stands there has no effect
    yield from _constraints(raw, path, rule, spot)
    for key in _APPROVAL:
        if rule.get("approval", {}).get(key):
            named: Path = (*path, "approval", key)
            yield Mutant(named, "dropped", without(raw, named), spot)
    for place, limit in _places((*path, "rate_limit"), rule.get("rate_limit", [])).items():
        yield from _limit(raw, place, limit, spot)


def _constraints(raw: Mapping[str, Any], path: Path, said: Mapping[str, Any], spot: str) -> Iterator[Mutant]:
    if said.get("strict_arguments") is True:
        place: Path = (*path, "strict_arguments")
        yield Mutant(place, "dropped", without(raw, place), spot)
    if "arguments" in said:
        yield Mutant((*path, "arguments"), "dropped", without(raw, (*path, "arguments")), spot)
        yield from _schema(raw, (*path, "arguments"), said["arguments"], spot)
    for place in _places((*path, "require"), said.get("require", [])):
        yield Mutant(place, "dropped", without(raw, place), spot)


def _schema(raw: Mapping[str, Any], path: Path, schema: Any, spot: str) -> Iterator[Mutant]:
    for inner, what, fresh in loosened(schema):
        yield Mutant((*path, *inner), what, put(raw, path, fresh), spot)


def _limit(raw: Mapping[str, Any], path: Path, limit: Any, spot: str) -> Iterator[Mutant]:
    yield Mutant(path, "limit dropped", without(raw, path), spot)
    if isinstance(limit, str):
        most, _ = parse_rate(limit)
        more: Any = f"{most + 1}/{limit.partition('/')[2]}"
        place = path
    else:
        most, place = int(limit["max"]), (*path, "max")
        more = {**limit, "max": most + 1}
        for key in ("cost", "per"):
            if limit.get(key, "session") != "session":
                yield Mutant((*path, key), "dropped", without(raw, (*path, key)), spot)
        if "burst" in limit:
            most, place = int(limit["burst"]), (*path, "burst")
            more = {**limit, "burst": most + 1}
    if most <= _MOST_CALLS or (isinstance(limit, dict) and "cost" in limit):
        yield Mutant(place, f"{most} made {most + 1}", put(raw, path, more), spot)


def _wider(section: str, key: str) -> str:
    """A glob that matches more than `key`, `key` itself where there is none or it is no glob."""
    if "*" not in key:
        return key
    scheme, separator, rest = key.partition("://")
    if section == "resources" and separator:
        # `*` must not stand in an authority; within it is how a prefix comes to be too short.
        authority = rest.partition("/")[0]
        wider = f"{scheme}://{authority}/*"
        if wider != key:
            return wider
    return "*"


def _places(path: Path, given: Any) -> Mapping[Path, Any]:
    """What stands at `path`, which is one thing or a list of them, by its place."""
    return {(*path, at): entry for at, entry in enumerate(given)} if isinstance(given, list) else {path: given}


def put(value: Any, path: Path, fresh: Any) -> Any:
    """A copy of `value` in which `fresh` stands at `path`; what is not on the way is shared."""
    return _changed(value, path, lambda _: fresh)


def without(value: Any, path: Path) -> Any:
    """A copy of `value` without what is at `path`, nor a list or mapping that would be empty then."""
    if len(path) == 1:
        if isinstance(value, list):
            return [entry for at, entry in enumerate(value) if at != path[0]]
        return {name: member for name, member in value.items() if name != path[0]}
    inner = without(value[path[0]], path[1:])
    return put(value, path[:1], inner) if inner else without(value, path[:1])


def _changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    step = path[0]
    if isinstance(value, list):
        return [_changed(entry, path[1:], change) if at == step else entry for at, entry in enumerate(value)]
    return {name: _changed(member, path[1:], change) if name == step else member for name, member in value.items()}
