"""Blocks and rules of a document -> compiled blocks (policies/README.md 2 to 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authz.model import Disclose
from authz.policy.arguments.check import ArgumentsSchema, compile_arguments
from authz.policy.compile.approvals import ApprovalCompiler
from authz.policy.compile.catalog_use import STRICT, CatalogUse
from authz.policy.compile.catalogued import CATEGORIES, Catalogued
from authz.policy.compile.coverage import Types, present
from authz.policy.compile.findings import Findings
from authz.policy.compile.judgement import judged_code, judged_in, loose_matches
from authz.policy.compile.limits import LimitCompiler
from authz.policy.compile.offered import OfferedTypes, with_taken
from authz.policy.compile.review import Review
from authz.policy.compile.unreachable import unreachable_rules
from authz.policy.conditions.condition import Condition, compile_condition
from authz.policy.principals import Principals, compile_principals
from authz.policy.rules import Block, Requirement, Rule
from authz.policy.text.document import Path

_WITH_ARGUMENTS = ("tools", "prompts", CATEGORIES)
_DEFS = ("$defs",)


class RuleCompiler:
    """Compiles the blocks of one file. `claims` are the types of the claims that its identity source declares."""

    def __init__(
        self,
        findings: Findings,
        limits: LimitCompiler,
        approvals: ApprovalCompiler,
        *,
        catalogued: Catalogued,
        use: CatalogUse,
        review: Review,
        defs: dict[str, Any],
        sources: Sequence[str],
        claims: Mapping[str, str],
        headers: frozenset[str],
    ) -> None:
        self._findings = findings
        self._limits = limits
        self._approvals = approvals
        self._catalogued = catalogued
        self._use = use
        self._review = review
        self._defs = defs
        self._sources = sources
        self._claims = claims
        self._headers = headers

    def compile_block(self, section: str, key: str, raw: dict[str, Any]) -> Block:
        """What `section` (such as `tools`) says of the name, glob or category `key`."""
        path: Path = (section, key)
        name = f"{section}.{key}"
        spelled = "" if section == CATEGORIES else key
        continues = raw.get("continuations") == "allow"
        offered = self._catalogued.offered(section, key)
        if "rules" not in raw:
            rule = self._rule(path, path, name, raw, raw, None, offered)
            return Block(name, spelled, (rule,), continuations=continues)
        arguments = self._arguments(path, raw)
        rules = tuple(
            self._rule(path, (*path, "rules", at), f"{name}.rules[{at}]", one, raw, arguments, offered)
            for at, one in enumerate(raw["rules"])
        )
        for ordinal, text in unreachable_rules(name, raw["rules"]):
            self._findings.warn((*path, "rules", ordinal), text)
        require = self._require(path, name, raw, present(arguments, offered))
        arguments = self._with_taken(raw, arguments, offered)
        return Block(name, spelled, rules, arguments, require, continues, self._use.strict(path, path, raw))

    def _rule(
        self,
        block: Path,
        path: Path,
        name: str,
        raw: dict[str, Any],
        around: dict[str, Any],
        outer: ArgumentsSchema | None,
        offered: OfferedTypes | None,
    ) -> Rule:
        """The rule `raw` of the block `around`, whose arguments are `outer`; a block of one rule is both.

        `offered` are the types that the catalogue gives to the whole block, for what is read before a rule is chosen.
        """
        arguments = self._arguments(path, raw)
        # `when` may only read what is checked before it: the block's arguments, which a block of one rule has itself.
        whole_block = path == block
        readable = present(arguments if whole_block else outer, offered)
        when = self._condition((*path, "when"), raw["when"], readable) if "when" in raw else None
        inner = offered if whole_block else self._catalogued.offered(*map(str, block[:2]))
        schemas = present(arguments, outer, inner)
        if when is not None and raw["action"] != "deny":
            self._loose((*path, "when"), when)
        asks = raw["action"] == "require_approval"
        if "approval" in raw and not asks:
            self._findings.problem((*path, "approval"), "expected only beside action: require_approval")
        if raw["action"] == "deny":
            for key in ("rate_limit", "arguments", "require", STRICT):
                if key in raw:
                    self._findings.warn(
                        (*path, key), "has no effect on a rule that denies; to deny some calls, use when"
                    )
        limits = raw.get("rate_limit", [])
        place: Path = (*path, "rate_limit")
        require = self._require(path, name, raw, schemas)
        charged = self._limits.compile(place, f"{block[0]}.{block[1]}", name, limits, schemas)
        return Rule(
            name=name,
            allows=raw["action"] != "deny",
            principals=self._principals((*path, "principals"), raw.get("principals")),
            when=when,
            arguments=self._with_taken(raw, arguments, inner),
            arguments_first=whole_block and when is not None,
            require=require,
            limits=charged,
            approval=self._approvals.compile(path, name, raw, around) if asks else None,
            reason=raw.get("reason", ""),
            disclose=Disclose(raw["disclose"]) if "disclose" in raw else None,
            strict=self._use.strict(path, block, raw),
        )

    def _with_taken(
        self, raw: dict[str, Any], own: ArgumentsSchema | None, offered: OfferedTypes | None
    ) -> ArgumentsSchema | None:
        """`own`, the compiled arguments of `raw`, with the types that were taken from the catalogue beside them."""
        taken = None if offered is None else offered.taken()
        if taken is None:
            return own
        return compile_arguments(with_taken(None if own is None else raw["arguments"], taken), self._defs)[0]

    def _principals(self, path: Path, raw: Sequence[str] | None) -> Principals | None:
        if raw is None:
            return None
        compiled, problems = compile_principals(raw, self._sources)
        for at, message in problems:
            self._findings.problem((*path, at), message)
        return compiled

    def _arguments(self, path: Path, raw: dict[str, Any]) -> ArgumentsSchema | None:
        if "arguments" not in raw:
            return None
        place: Path = (*path, "arguments")
        if path[0] not in _WITH_ARGUMENTS:
            self._findings.problem(place, f"only tools and prompts have arguments, {path[0]} have none")
            return None
        compiled, problems, warnings = compile_arguments(raw["arguments"], self._defs)
        # A place in a definition is told from the file's beginning, one in the arguments from where these stand.
        for found in problems:
            self._findings.problem(found.path if found.path[:1] == _DEFS else (*place, *found.path), found.message)
        for found in warnings:
            self._findings.warn(found.path if found.path[:1] == _DEFS else (*place, *found.path), found.message)
        if compiled is not None:
            self._review.arguments(place, raw["arguments"])
            for where, text in judged_code(raw["arguments"]):
                self._findings.warn((*place, *where), text)
        return compiled

    def _loose(self, path: Path, condition: Condition) -> None:
        for text in loose_matches(condition.program.tree):
            self._findings.warn(path, text)

    def _condition(self, path: Path, text: str, types: Types) -> Condition | None:
        condition, problems = compile_condition(text, types, claims=self._claims, headers=self._headers)
        for message in problems:
            self._findings.problem(path, message)
        if condition is None:
            return None
        if condition.program.plan.reads_catalog:
            self._use.reads(path)
        if condition.program.is_constant:
            self._findings.warn(path, "reads nothing of a call, so it is the same for all of them")
        for found in judged_in(condition.program.tree):
            self._findings.warn(path, found)
        self._review.condition(path, condition.program.tree)
        return condition

    def _require(self, path: Path, name: str, raw: dict[str, Any], types: Types) -> tuple[Requirement, ...]:
        given = raw.get("require", [])
        several = isinstance(given, list)
        compiled = []
        for at, entry in enumerate(given if several else [given]):
            place: Path = (*path, "require", at) if several else (*path, "require")
            bare = isinstance(entry, str)
            condition = self._condition(place if bare else (*place, "expr"), entry if bare else entry["expr"], types)
            if condition is not None:
                self._loose(place if bare else (*place, "expr"), condition)
                reason = "" if bare else entry.get("reason", "")
                compiled.append(Requirement(f"{name}.require[{at}]", condition, reason))
        return tuple(compiled)
