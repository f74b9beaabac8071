"""`rate_limit` and `limits` of a document -> limit rules (policies/README.md 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authz.model import Algorithm, Limit, OnStoreError
from authz.policy.arguments.check import ArgumentsSchema, compile_arguments
from authz.policy.compile.catalog_use import CatalogUse
from authz.policy.compile.catalogued import Catalogued
from authz.policy.compile.costs import CostCompiler
from authz.policy.compile.coverage import Types, present, uncovered
from authz.policy.compile.duration import MAX_DAYS, parse_rate, parse_window
from authz.policy.compile.findings import Findings
from authz.policy.compile.offered import OfferedTypes
from authz.policy.compile.unreachable import unreachable_limits
from authz.policy.conditions.amount import Amount
from authz.policy.index import Index
from authz.policy.limits import ARGUMENT, LimitRule
from authz.policy.rules import Block, SharedLimit
from authz.policy.text.document import Path


class LimitCompiler:
    """Compiles the limits of one file; `owner` is what sets its counters apart from those of every other file.

    `claims` and `headers` are what a `cost` may read, as for conditions.
    """

    def __init__(
        self,
        findings: Findings,
        server: str,
        owner: Sequence[str],
        *,
        catalogued: Catalogued,
        use: CatalogUse,
        claims: Mapping[str, str],
        headers: frozenset[str],
    ) -> None:
        self._findings = findings
        self._server = server
        self._owner = tuple(owner)
        self._catalogued = catalogued
        self._costs = CostCompiler(findings, use, claims, headers)
        self._equals: dict[tuple[str, ...], int] = {}
        self._names: set[str] = set()

    def compile(self, path: Path, block: str, rule: str, given: Any, types: Types) -> tuple[LimitRule, ...]:
        """The `rate_limit` at `path` of `rule` in `block`; `types` have accepted the arguments before it is charged."""
        several = isinstance(given, list)
        for at, other in unreachable_limits(given) if several else ():
            self._findings.warn((*path, at), f"nobody can reach it: rate_limit[{other}] is exhausted first")
        rules = []
        for at, entry in enumerate(given if several else [given]):
            place: Path = (*path, at) if several else path
            raw = _written_out(entry)
            per = _per(raw)
            for part in per:
                if part.startswith(ARGUMENT) and not _declared(types, part):
                    self._findings.problem(
                        (*place, "per"), f"{part} has no declared type; add it to the arguments of the block"
                    )
            cost = self._costs.compile((*place, "cost"), raw.get("cost", 1), types)
            limit = self._limit(place, block, raw)
            self._warn_of_excess(place, limit, cost)
            rules.append(LimitRule(limit, per, cost, f"{rule}.rate_limit[{at}]"))
        return tuple(rules)

    def compile_shared(
        self, given: Sequence[dict[str, Any]], tools: Index[Block] | None, *, baseline: bool
    ) -> tuple[SharedLimit, ...]:
        """The file's `limits`: one counter over several tools and all their rules.

        `tools` is None where not all of them could be compiled; then nobody can say what they declare.
        """
        shared = []
        for at, raw in enumerate(given):
            path: Path = ("limits", at)
            if self._findings.is_misshapen(path):
                continue
            names: list[str] | None = raw.get("tools")
            per = _per(raw)
            offered = {name: self._catalogued.offered_to(name) for name in names or ()}
            for part in per:
                if part.startswith(ARGUMENT):
                    self._check_shared_argument((*path, "per"), part, offered if names else None, tools, baseline)
            given_cost = raw.get("cost", 1)
            asked = offered if names else None
            cost = self._costs.compile_shared((*path, "cost"), given_cost, asked, tools, baseline=baseline)
            limit = self._limit(path, "limits", raw)
            self._warn_of_excess(path, limit, cost)
            rule = LimitRule(limit, per, cost, f"limits[{at}]")
            types = {name: () if types is None else _checked(types) for name, types in offered.items()}
            shared.append(SharedLimit(rule, None if names is None else Index(types)))
        return tuple(shared)

    def _limit(self, path: Path, block: str, raw: Mapping[str, Any]) -> Limit:
        window = window_of(self._findings, (*path, "window"), raw["window"])
        algorithm = Algorithm(raw.get("algorithm", Algorithm.SLIDING_WINDOW))
        bucket = algorithm is Algorithm.TOKEN_BUCKET
        if "burst" in raw and not bucket:
            self._findings.problem((*path, "burst"), "expected only beside algorithm: token_bucket")
        # What one algorithm has counted, or another window, says nothing to another.
        counted = (str(window), str(algorithm))
        known = (*self._owner, self._server, block, "+".join(_per(raw)), *counted)
        ordinal = self._equals[known] = self._equals.get(known, 0) + 1
        name = raw.get("name", "")
        if name and name in self._names:
            self._findings.problem(
                (*path, "name"), f"the name {name!r} is used twice; it is what a counter is known by"
            )
        self._names.add(name)
        if not name and ordinal > 1:
            self._findings.warn(
                path, "is told from another limit of this block by its place alone; a name keeps them apart"
            )
        # Whoever limits what calls cost would rather wait than spend without a count (policies/README.md 6).
        unknown = OnStoreError.DENY if "cost" in raw else OnStoreError.LOCAL
        return Limit(
            name=name or f"{self._server}/{block}/{ordinal}",
            key=(*self._owner, self._server, "name", name, *counted) if name else (*known, str(ordinal)),
            max=int(raw["max"]),
            window=window,
            server=self._server,
            algorithm=algorithm,
            burst=int(raw.get("burst", raw["max"])) if bucket else 0,
            on_store_error=OnStoreError(raw.get("on_store_error", unknown)),
        )

    def _warn_of_excess(self, path: Path, limit: Limit, cost: float | Amount) -> None:
        """A cost that is the same for all calls and never fits."""
        most = limit.burst or limit.max
        if isinstance(cost, float) and cost > most:
            what = "burst" if limit.burst else "max"
            self._findings.warn((*path, "cost"), f"is more than {what} ({most}): no call ever passes")

    def _check_shared_argument(
        self,
        path: Path,
        part: str,
        names: Mapping[str, OfferedTypes | None] | None,
        tools: Index[Block] | None,
        baseline: bool,
    ) -> None:
        """Every rule that may let one of the tools through must have checked the type of what `per` reads."""
        if names is None:
            self._findings.problem(path, f"{part} needs tools: only their arguments have declared types")
            return
        if tools is None:
            return

        for name, offered in names.items():

            def lacks(types: Types, offered: OfferedTypes | None = offered) -> list[str]:
                return [] if _declared([*types, *present(offered)], part) else [part]

            for key, _ in uncovered(tools, name, lacks, baseline=baseline):
                text = f"{part} has no declared type in tools.{key}; add it to the arguments there"
                self._findings.problem(path, text)


def _written_out(raw: dict[str, Any] | str) -> dict[str, Any]:
    """A limit as a mapping; `10/minute` is short for one."""
    if not isinstance(raw, str):
        return raw
    maximum, seconds = parse_rate(raw)  # whose form the schema has checked
    return {"max": maximum, "window": int(seconds)}


def _checked(offered: OfferedTypes) -> tuple[ArgumentsSchema, ...]:
    """What checks the types that were taken from the catalogue; nothing where none were."""
    taken = offered.taken()
    compiled = None if taken is None else compile_arguments(taken, {})[0]
    return () if compiled is None else (compiled,)


def _per(raw: Mapping[str, Any]) -> tuple[str, ...]:
    given = raw.get("per", "session")
    return (given,) if isinstance(given, str) else tuple(given)


def window_of(findings: Findings, path: Path, value: int | str, most_days: int = MAX_DAYS) -> float:
    """Seconds of a window or timeout; 1 where it is a problem, which stops the file anyway."""
    try:
        return parse_window(value, most_days)
    except ValueError as error:
        findings.problem(path, str(error))
        return 1.0


def _declared(types: Types, part: str) -> bool:
    path = part.split(".")[1:]
    return any(one.type_of(path) is not None for one in types)
