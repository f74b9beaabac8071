"""`rate_limit` and `limits` of a document -> limit rules (policies/README.md 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authz.model import Limit
from authz.policy.arguments.check import ArgumentsSchema
from authz.policy.compile.duration import parse_rate, parse_window
from authz.policy.compile.findings import Findings
from authz.policy.index import Index
from authz.policy.limits import ARGUMENT, PARTS, LimitRule
from authz.policy.rules import Block, SharedLimit
from authz.policy.text.document import Path


class LimitCompiler:
    """Compiles the limits of one file; `owner` is what sets its counters apart from those of every other file."""

    def __init__(self, findings: Findings, server: str, owner: Sequence[str]) -> None:
        self._findings = findings
        self._server = server
        self._owner = tuple(owner)
        self._equals: dict[tuple[str, ...], int] = {}
        self._names: set[str] = set()

    def compile(self, path: Path, block: str, given: Any, types: Sequence[ArgumentsSchema]) -> tuple[LimitRule, ...]:
        """The `rate_limit` of a rule at `path`; `types` are the argument schemas checked before it is charged."""
        several = isinstance(given, list)
        rules = []
        for at, entry in enumerate(given if several else [given]):
            place: Path = (*path, at) if several else path
            rule = self._compile_one(place, block, entry)
            for part in rule.per:
                if part not in PARTS and not _declared(types, part):
                    self._findings.problem(
                        (*place, "per"), f"{part} has no declared type; add it to the arguments of the block"
                    )
            rules.append(rule)
        return tuple(rules)

    def compile_shared(self, given: Sequence[dict[str, Any]], tools: Index[Block] | None) -> tuple[SharedLimit, ...]:
        """The file's `limits`: one counter over several tools and all their rules.

        `tools` is None where not all of them could be compiled; then nobody can say what they declare.
        """
        shared = []
        for at, raw in enumerate(given):
            path: Path = ("limits", at)
            if self._findings.is_misshapen(path):
                continue
            rule = self._compile_one(path, "limits", raw)
            names: list[str] | None = raw.get("tools")
            for part in rule.per:
                if part.startswith(ARGUMENT):
                    self._check_shared_argument(path, part, names, tools)
            shared.append(SharedLimit(rule, None if names is None else Index(dict.fromkeys(names, True))))
        return tuple(shared)

    def _compile_one(self, path: Path, block: str, raw: dict[str, Any] | str) -> LimitRule:
        if isinstance(raw, str):
            maximum, seconds = parse_rate(raw)  # whose form the schema has checked
            raw = {"max": maximum, "window": int(seconds)}
        window = window_of(self._findings, (*path, "window"), raw["window"])
        given = raw.get("per", "session")
        per = (given,) if isinstance(given, str) else tuple(given)
        algorithm = raw.get("algorithm", "sliding_window")
        known = (*self._owner, self._server, block, "+".join(per), str(window), algorithm)
        ordinal = self._equals[known] = self._equals.get(known, 0) + 1
        name = raw.get("name", "")
        if name and name in self._names:
            self._findings.problem(
                (*path, "name"), f"the name {name!r} is used twice; it is what a counter is known by"
            )
        self._names.add(name)
        if not name and ordinal > 1:
            self._findings.warn(path, "differs from another limit of this block in max alone; a name keeps them apart")
        limit = Limit(
            name=name or f"{self._server}/{block}/{ordinal}",
            key=(*self._owner, self._server, "name", name) if name else (*known, str(ordinal)),
            max=int(raw["max"]),
            window=window,
            server=self._server,
        )
        return LimitRule(limit, per)

    def _check_shared_argument(
        self, path: Path, part: str, names: Sequence[str] | None, tools: Index[Block] | None
    ) -> None:
        """Every rule that may let one of the tools through must have checked the type of what `per` reads."""
        if names is None:
            self._findings.problem((*path, "per"), f"{part} needs tools: only their arguments have declared types")
            return
        if tools is None:
            return
        for name in names:
            blocks = tools.find(name)
            if not blocks or not all(_declares(block, part) for block in blocks):
                text = f"{part} has no declared type in tools.{name}; add it to the arguments there"
                self._findings.problem((*path, "per"), text)


def window_of(findings: Findings, path: Path, value: int | str) -> float:
    """Seconds of a window or timeout; 1 where it is a problem, which stops the file anyway."""
    try:
        return parse_window(value)
    except ValueError as error:
        findings.problem(path, str(error))
        return 1.0


def _declares(block: Block, part: str) -> bool:
    return all(
        _declared([one for one in (rule.arguments, block.arguments) if one is not None], part)
        for rule in block.rules
        if rule.allows
    )


def _declared(types: Sequence[ArgumentsSchema], part: str) -> bool:
    path = part.split(".")[1:]
    return part.startswith(ARGUMENT) and any(one.type_of(path) is not None for one in types)
