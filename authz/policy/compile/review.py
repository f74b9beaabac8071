"""A compiled policy beside the catalogue of its server -> warnings of what does not go together.

Names that the catalogue lacks are slips or tools that are gone; rules that let a dangerous tool do anything are wider
than its risk suggests. Warnings only: the catalogue may be older than the server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from authz.policy.catalog.entry import Catalog, CatalogTool, Risk
from authz.policy.catalog.strict import named_arguments
from authz.policy.compile.catalogued import CATEGORIES, TOOLS, Catalogued
from authz.policy.compile.findings import Findings
from authz.policy.compile.judgement import nodes
from authz.policy.conditions.syntax import Const, ListOf, Name, Node, Operation
from authz.policy.index import Index, glob_matches
from authz.policy.rules import Block, Rule, SharedLimit
from authz.policy.text.document import Path
from authz.policy.text.suggestion import did_you_mean

_SHOWN = 3  # names of tools in one warning


class Review:
    """Looks at one file; says nothing where the server has no catalogue that lists tools."""

    def __init__(self, findings: Findings, catalogued: Catalogued) -> None:
        self._findings = findings
        self._catalogued = catalogued
        self._catalog = catalogued.catalog or Catalog("")

    def names(self, section: str, keys: Iterable[str]) -> None:
        """The names and globs of `tools` or `prompts`."""
        known: Collection[str] = self._catalog.tools if section == TOOLS else self._catalog.prompts
        for key in keys if known else ():
            text = _lacking(key, known, section.removesuffix("s"))
            if text:
                self._findings.warn((section, key), text)

    def limits(self, limits: Sequence[Mapping[str, Any]]) -> None:
        """The names that shared limits count."""
        for at, raw in enumerate(limits):
            for ordinal, name in enumerate(raw.get("tools", ()) if self._catalog.tools else ()):
                text = _lacking(name, self._catalog.tools, "tool")
                if text:
                    self._findings.warn(("limits", at, "tools", ordinal), text)

    def arguments(self, path: Path, raw: Mapping[str, Any]) -> None:
        """The members that the `arguments` at `path` name: of a tool, a glob or a category."""
        tools = self._catalogued.governed(str(path[0]), str(path[1])) if path[0] in (TOOLS, CATEGORIES) else []
        named = [None if tool.input_schema is None else named_arguments(tool.input_schema) for tool in tools]
        if not tools or any(names is None for names in named):
            return  # a tool that takes any, or of which nobody knows what it takes
        known = {name for names in named for name in names or ()}
        for name in raw.get("properties", {}):
            if name not in known:
                has = f"{tools[0].name!r} has no" if len(tools) == 1 else "none of the tools has an"
                text = f"in the catalogue {has} argument {name!r}{did_you_mean(name, known)}"
                self._findings.warn((*path, "properties", name), text)

    def condition(self, path: Path, tree: Node) -> None:
        """The literals that an expression compares with the name of the tool."""
        if path[0] not in (TOOLS, CATEGORIES) or not self._catalog.tools:
            return
        for word in _compared_names(tree):
            if word not in self._catalog.tools:
                hint = did_you_mean(word, self._catalog.tools)
                self._findings.warn(path, f"target.name is compared with {word!r}, which the catalogue lacks{hint}")

    def risks(
        self,
        tools: Index[Block],
        categories: Mapping[str, Block],
        default: Rule | None,
        limits: Sequence[SharedLimit],
    ) -> None:
        """Dangerous tools that may be called by anybody with anything."""
        found: dict[tuple[Path, str], list[CatalogTool]] = {}
        for tool in self._catalog.tools.values():
            if tool.risk < Risk.HIGH:
                continue
            governing = list(_governing(tool, tools, categories, default))
            counted = any(limit.tools is None or limit.tools.find(tool.name) for limit in limits)
            wide = [rule for _, several in governing if (rule := _widest(several, tool, counted)) is not None]
            if governing and len(wide) == len(governing):
                found.setdefault((governing[0][0], wide[0].name), []).append(tool)
        for (path, _), several in found.items():
            self._findings.warn(path, _too_wide(several))

    def reach(
        self,
        limits: Sequence[Mapping[str, Any]],
        tools: Index[Block],
        categories: Mapping[str, Block],
        default: Rule | None,
    ) -> None:
        """Shared limits of a policy that count tools of which every call is denied; `default` is None in a baseline."""
        others = default is None or default.allows or any(_allows(block) for block in categories.values())
        for at, raw in enumerate(limits):
            names = raw.get("tools", ())
            for ordinal, name in enumerate(names):
                governing = tools.find(name)
                inner = tools.within(name)
                passes = any(_allows(block) for block in (*governing, *inner)) or (others and not governing)
                if not passes:
                    text = f"nobody can reach it: every call of {name!r} is denied"
                    self._findings.warn(("limits", at, "tools", ordinal), text)


def _lacking(key: str, known: Collection[str], noun: str) -> str:
    """What is to be said of a name or glob that stands for nothing known, else ""."""
    if "*" in key:
        matches = any(glob_matches(key, name) for name in known)
        return "" if matches else f"matches no {noun} of the catalogue"
    return "" if key in known else f"the catalogue has no {noun} {key!r}{did_you_mean(key, known)}"


def _compared_names(tree: Node) -> Iterator[str]:
    for node in nodes(tree):
        if not isinstance(node, Operation) or node.function not in ("_==_", "_!=_", "@in"):
            continue
        if any(isinstance(part, Name) and part.name.removeprefix(".") == "target.name" for part in node.parts):
            for part in node.parts:
                for one in part.items if isinstance(part, ListOf) else (part,):
                    if isinstance(one, Const) and isinstance(one.value, str):
                        yield one.value


def _governing(
    tool: CatalogTool, tools: Index[Block], categories: Mapping[str, Block], default: Rule | None
) -> Iterator[tuple[Path, tuple[Rule, ...]]]:
    """Where each block stands that decides about the tool, and its rules; all of them have to let it through."""
    blocks = tools.find(tool.name)
    if blocks:
        yield from (((TOOLS, block.key), block.rules if _is_open(block) else ()) for block in blocks)
        return
    unlisted = not categories
    for category in tool.categories if categories else ():
        block = categories.get(category)
        if block is None:
            unlisted = True
        else:
            yield (CATEGORIES, category.value), block.rules if _is_open(block) else ()
    if unlisted and default is not None:
        yield ("default",), (default,)


def _allows(block: Block) -> bool:
    return any(rule.allows for rule in block.rules)


def _is_open(block: Block) -> bool:
    return block.arguments is None and not block.require and not block.strict


def _widest(rules: Sequence[Rule], tool: CatalogTool, counted: bool) -> Rule | None:
    """The rule that lets everybody call the tool with anything; a limit is enough for what is no worse than High."""
    for rule in rules:
        narrow = rule.principals or rule.when or rule.arguments or rule.require or rule.approval or rule.strict
        limited = (rule.limits or counted) and tool.risk < Risk.CRITICAL
        if rule.allows and not narrow and not limited:
            return rule
    return None


def _too_wide(tools: Sequence[CatalogTool]) -> str:
    worst = max(tool.risk for tool in tools)
    ways = "principals, when, arguments, require or approval"
    ways += "" if worst is Risk.CRITICAL else ", or limit it"
    actions = {_action(tool) for tool in tools} - {"", "allow"}
    advice = f"; the catalogue recommends {' or '.join(sorted(actions))}" if actions else ""
    return f"lets every caller do anything with {_listed(tools)}: narrow it by {ways}{advice}"


def _action(tool: CatalogTool) -> str:
    given = tool.recommended
    return given if isinstance(given, str) else str(given.get("action", "")) if given else ""


def _listed(tools: Sequence[CatalogTool]) -> str:
    """`'purge' (risk Critical)` of each, of many the first."""
    words = [f"{tool.name!r} (risk {tool.risk})" for tool in tools[:_SHOWN]]
    rest = len(tools) - len(words)
    return ", ".join(words) + (f" and {rest} more" if rest else "")
