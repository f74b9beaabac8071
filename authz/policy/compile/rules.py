"""Blocks and rules of a document -> compiled blocks (policies/README.md 2 to 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authz.model import Disclose
from authz.policy.arguments.check import ArgumentsSchema, compile_arguments
from authz.policy.compile.approvals import ApprovalCompiler
from authz.policy.compile.coverage import present
from authz.policy.compile.findings import Findings
from authz.policy.compile.limits import LimitCompiler
from authz.policy.conditions.condition import Condition, compile_condition
from authz.policy.principals import Principals, compile_principals
from authz.policy.rules import Block, Requirement, Rule
from authz.policy.text.document import Path

_WITH_ARGUMENTS = ("tools", "prompts")
_DEFS = ("$defs",)


class RuleCompiler:
    """Compiles the blocks of one file. `claims` are the types of the claims that its identity source declares."""

    def __init__(
        self,
        findings: Findings,
        limits: LimitCompiler,
        approvals: ApprovalCompiler,
        *,
        defs: dict[str, Any],
        sources: Sequence[str],
        claims: Mapping[str, str],
        headers: frozenset[str],
    ) -> None:
        self._findings = findings
        self._limits = limits
        self._approvals = approvals
        self._defs = defs
        self._sources = sources
        self._claims = claims
        self._headers = headers

    def compile_block(self, section: str, key: str, raw: dict[str, Any]) -> Block:
        """What `section` (such as `tools`) says of the name or glob `key`."""
        path: Path = (section, key)
        name = f"{section}.{key}"
        continues = raw.get("continuations") == "allow"
        if "rules" not in raw:
            return Block(name, key, (self._rule(path, path, name, raw, raw, None),), continuations=continues)
        arguments = self._arguments(path, raw)
        rules = tuple(
            self._rule(path, (*path, "rules", at), f"{name}.rules[{at}]", one, raw, arguments)
            for at, one in enumerate(raw["rules"])
        )
        for at, rule in enumerate(rules[:-1]):
            if rule.principals is None and rule.when is None:
                text = f"never applies: the rule before it ({rule.name}) holds for every call"
                self._findings.warn((*path, "rules", at + 1), text)
                break
        require = self._require(path, name, raw, present(arguments))
        return Block(name, key, rules, arguments, require, continues)

    def _rule(
        self,
        block: Path,
        path: Path,
        name: str,
        raw: dict[str, Any],
        around: dict[str, Any],
        outer: ArgumentsSchema | None,
    ) -> Rule:
        """The rule `raw` of the block `around`, whose arguments are `outer`; a block of one rule is both."""
        arguments = self._arguments(path, raw)
        # `when` may only read what is checked before it: the block's arguments, which a block of one rule has itself.
        whole_block = path == block
        readable = present(arguments if whole_block else outer)
        when = self._condition((*path, "when"), raw["when"], readable) if "when" in raw else None
        schemas = present(arguments, outer)
        asks = raw["action"] == "require_approval"
        if "approval" in raw and not asks:
            self._findings.problem((*path, "approval"), "expected only beside action: require_approval")
        if raw["action"] == "deny":
            for key in ("rate_limit", "arguments", "require"):
                if key in raw:
                    self._findings.warn(
                        (*path, key), "has no effect on a rule that denies; to deny some calls, use when"
                    )
        limits = raw.get("rate_limit", [])
        place: Path = (*path, "rate_limit")
        return Rule(
            name=name,
            allows=raw["action"] != "deny",
            principals=self._principals((*path, "principals"), raw.get("principals")),
            when=when,
            arguments=arguments,
            arguments_first=whole_block and when is not None,
            require=self._require(path, name, raw, schemas),
            limits=self._limits.compile(place, f"{block[0]}.{block[1]}", name, limits, schemas),
            approval=self._approvals.compile(path, name, raw, around) if asks else None,
            reason=raw.get("reason", ""),
            disclose=Disclose(raw["disclose"]) if "disclose" in raw else None,
        )

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
        return compiled

    def _condition(self, path: Path, text: str, types: Sequence[ArgumentsSchema]) -> Condition | None:
        condition, problems = compile_condition(text, types, claims=self._claims, headers=self._headers)
        for message in problems:
            self._findings.problem(path, message)
        return condition

    def _require(
        self, path: Path, name: str, raw: dict[str, Any], types: Sequence[ArgumentsSchema]
    ) -> tuple[Requirement, ...]:
        given = raw.get("require", [])
        several = isinstance(given, list)
        compiled = []
        for at, entry in enumerate(given if several else [given]):
            place: Path = (*path, "require", at) if several else (*path, "require")
            bare = isinstance(entry, str)
            condition = self._condition(place if bare else (*place, "expr"), entry if bare else entry["expr"], types)
            if condition is not None:
                reason = "" if bare else entry.get("reason", "")
                compiled.append(Requirement(f"{name}.require[{at}]", condition, reason))
        return tuple(compiled)
