"""A policy document -> what tests can reach in it: rules, constraints and limits, each with its place.

The places are those that the trace of an evaluation names (`tools.pay.rules[0].require[1]`). Judges nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from authz.policy.text.document import Document, Path

WHOLE = ""  # the place that stands for the whole file
SECTIONS = ("tools", "categories", "prompts", "resources", "methods")


class Kind(enum.StrEnum):
    """What an element is."""

    RULE = "rule"
    ARGUMENTS = "arguments"
    STRICT = "strict_arguments"
    REQUIRE = "require"
    LIMIT = "limit"
    DEFAULT = "default"
    ORIGINS = "origins"


class Way(enum.StrEnum):
    """How a call can get at an element."""

    DECIDED = "held"  # a rule held and decided
    PASSED = "passed"  # a constraint was met
    FAILED = "no"  # a constraint refused the call
    CHARGED = "charged"  # a limit counted the call
    EXHAUSTED = "exhausted"  # a limit refused it


# Every way in which tests should get at an element, the more important one first.
WAYS: Mapping[Kind, tuple[Way, ...]] = {
    Kind.RULE: (Way.DECIDED,),
    Kind.ARGUMENTS: (Way.FAILED, Way.PASSED),
    Kind.STRICT: (Way.FAILED, Way.PASSED),
    Kind.REQUIRE: (Way.FAILED, Way.PASSED),
    Kind.LIMIT: (Way.EXHAUSTED, Way.CHARGED),
    Kind.DEFAULT: (Way.DECIDED,),
    Kind.ORIGINS: (Way.FAILED,),
}


@dataclass(frozen=True, slots=True)
class Element:
    """One thing that a policy says. `place` is its name in traces, `path` its place in the document."""

    kind: Kind
    place: str
    path: Path


def elements(document: Document, *, baseline: bool) -> Iterator[Element]:
    """All elements of a policy that loads, in the order of the file; a `default` left out is one too."""
    raw: Mapping[str, Any] = document.value
    if not baseline:
        yield Element(Kind.DEFAULT, "default", ("default",) if "default" in raw else ())
    if "origins" in raw:
        yield Element(Kind.ORIGINS, "origins", ("origins",))
    for section in SECTIONS:
        for key, said in raw.get(section, {}).items():
            yield from _block((section, key), f"{section}.{key}", {"action": said} if isinstance(said, str) else said)
    for at, _ in enumerate(raw.get("limits", ())):
        yield Element(Kind.LIMIT, f"limits[{at}]", ("limits", at))


def _block(path: Path, place: str, raw: Mapping[str, Any]) -> Iterator[Element]:
    if "rules" not in raw:
        yield from _rule(path, place, raw)
        return
    yield from _constraints(path, place, raw)
    for at, rule in enumerate(raw["rules"]):
        yield from _rule((*path, "rules", at), f"{place}.rules[{at}]", rule)


def _rule(path: Path, place: str, raw: Mapping[str, Any]) -> Iterator[Element]:
    yield Element(Kind.RULE, place, path)
    if raw["action"] == "deny":
        return  # what else stands there has no effect, which `validate` warns of
    yield from _constraints(path, place, raw)
    yield from _listed(Kind.LIMIT, path, place, raw, "rate_limit")


def _constraints(path: Path, place: str, raw: Mapping[str, Any]) -> Iterator[Element]:
    if "arguments" in raw:
        yield Element(Kind.ARGUMENTS, f"{place}.arguments", (*path, "arguments"))
    if raw.get("strict_arguments") is True:
        yield Element(Kind.STRICT, f"{place}.strict_arguments", (*path, "strict_arguments"))
    yield from _listed(Kind.REQUIRE, path, place, raw, "require")


def _listed(kind: Kind, path: Path, place: str, raw: Mapping[str, Any], key: str) -> Iterator[Element]:
    """What `key` has, one thing or a list of them; in traces it is always a list."""
    if isinstance(raw.get(key), list):
        for at, _ in enumerate(raw[key]):
            yield Element(kind, f"{place}.{key}[{at}]", (*path, key, at))
    elif key in raw:
        yield Element(kind, f"{place}.{key}[0]", (*path, key))
