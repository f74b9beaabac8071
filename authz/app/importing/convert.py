"""`SourcePolicy` -> a policy of this language as plain values with comments, and every change of meaning.

Never lets through what the other program denied, but for prompts and resources, which Intercept does not look at.
"""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from authz.app.importing import changes
from authz.app.importing.changes import Change, Options
from authz.app.importing.constraints import Constraints, Schema
from authz.app.importing.source import Action, Dialect, Quota, Rule, SourcePolicy, Tool
from authz.app.importing.yaml_text import WIDTH
from authz.errors import PolicyError, Problem
from authz.policy.arguments.check import compile_arguments
from authz.policy.text.document import Document, Path

EVERY = "*"
_UNITS = {86400: "d", 3600: "h"}


@dataclass(frozen=True, slots=True)
class Limit:
    """One counter as it is written: what it is known by, whose calls it counts together, and what it came from."""

    name: str
    per: str
    quota: Quota


@dataclass(frozen=True, slots=True)
class Block:
    """What was made of one tool; `limits` are all that a call of it is charged to."""

    name: str
    action: str
    rules: tuple[Rule, ...]
    schema: Schema | None
    limits: tuple[Limit, ...]
    reason: str


@dataclass(slots=True)
class Conversion:
    """The policy as `value` with `comments` above its keys, the blocks that tests are made of, and the changes."""

    value: dict[str, Any]
    comments: dict[Path, list[str]]
    blocks: list[Block]
    changes: list[Change]
    default: str


@dataclass(slots=True)
class _Work:
    """What is known while one file is converted."""

    policy: SourcePolicy
    document: Document
    lines: Sequence[str]
    options: Options
    comments: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))
    names: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def convert(policy: SourcePolicy, document: Document, text: bytes, options: Options) -> Conversion:
    """The policy in this language; `text` is the document's. Raises PolicyError where rules exclude each other."""
    work = _Work(policy, document, text.decode("utf-8-sig").split("\n"), options)
    everywhere = [(_limit(work, rule, quota, EVERY), rule) for rule in policy.everywhere for quota in rule.quotas]
    shared = tuple(limit for limit, _ in everywhere)
    blocks = _blocks(work, shared)
    default = "allow" if policy.allows_unlisted else "deny"
    value: dict[str, Any] = {"version": 1}
    if policy.description:
        value["description"] = policy.description
    value["default"] = default
    value["tools"] = {block.name: _written(work, block, shared) for block in blocks}
    if policy.dialect is Dialect.INTERCEPT and default == "deny":
        value |= {"prompts": {EVERY: "allow"}, "resources": {EVERY: "allow"}}
        work.comments["prompts",].append("Intercept looks at tools only; name here what agents need, or remove it")
    if shared:
        value["limits"] = [
            _shared(work, limit, [block for block in blocks if block.action != "deny"]) for limit in shared
        ]
    if not value["tools"]:
        del value["tools"]
    work.comments[()] = [f"imported from {PurePath(policy.file).name} ({policy.dialect}) by mcp-authz import"]
    if work.problems:
        raise PolicyError(sorted(work.problems))
    rows = changes.of_policy(policy, document, options)
    return Conversion(value, dict(work.comments), blocks, rows, default)


def _blocks(work: _Work, shared: tuple[Limit, ...]) -> list[Block]:
    policy = work.policy
    hidden = {tool.name: tool for tool in policy.hidden}
    if EVERY in hidden:
        return [Block(EVERY, "deny", (), None, (), changes.HIDDEN)]
    blocks = [_block(work, tool, shared) for tool in policy.tools if tool.name not in hidden]
    blocks += [Block(name, "deny", (), None, (), changes.HIDDEN) for name in hidden]
    judged = any(rule.action is not Action.PASS or rule.conditions for rule in policy.everywhere)
    if policy.allows_unlisted and judged:
        blocks.append(_block(work, Tool(("tools", EVERY), EVERY, ()), shared))
    return blocks


def _block(work: _Work, tool: Tool, shared: tuple[Limit, ...]) -> Block:
    """One tool under its own rules and those for every tool."""
    rules = (*tool.rules, *work.policy.everywhere)
    own = tuple(_limit(work, rule, quota, tool.name) for rule in tool.rules for quota in rule.quotas)
    denying = next((rule for rule in rules if rule.action is Action.DENY), None)
    if denying is not None:
        return Block(tool.name, "deny", (denying,), None, (), denying.reason)
    constraints = Constraints()
    for rule in rules:
        if rule.forbids:
            constraints.forbid(rule.conditions)
        else:
            for condition in rule.conditions:
                constraints.hold(condition)
        for quota in rule.quotas:
            if isinstance(quota.cost, tuple):
                constraints.declare(quota.cost, {"type": "number", "exclusiveMinimum": 0}, needed=True)
    schema = constraints.schema()
    if schema is not None:
        _, problems, _ = compile_arguments(schema, {})
        for found in problems[:1]:
            text = f"its conditions cannot be written together: {found.message}"
            work.problems.append(work.document.problem(tool.place, text))
    reasons = dict.fromkeys(rule.reason for rule in rules if rule.reason)
    approval = any(rule.action is Action.APPROVE for rule in rules)
    action = "require_approval" if approval else "allow"
    return Block(tool.name, action, rules, schema, (*own, *shared), "; ".join(reasons))


def _written(work: _Work, block: Block, shared: tuple[Limit, ...]) -> Any:
    """The block as it stands in the file."""
    above = work.comments["tools", block.name]
    above += _comments_above(work, ("tools", block.name))
    for rule in block.rules:
        above += textwrap.wrap(f'"{rule.name}": {changes.summary(rule)}', WIDTH) if rule.name else ()
    written: dict[str, Any] = {"action": block.action}
    if block.reason:
        written["reason"] = block.reason
    timeouts = [rule.timeout for rule in block.rules if rule.timeout]
    if timeouts:
        written["approval"] = {"timeout": _seconds(min(timeouts))}
    if block.schema is not None:
        written["arguments"] = block.schema
    limits = [_limit_value(work, limit) for limit in block.limits if limit not in shared]
    if limits:
        written["rate_limit"] = limits[0] if len(limits) == 1 else limits
    return block.action if len(written) == 1 else written


def _shared(work: _Work, limit: Limit, blocks: Sequence[Block]) -> dict[str, Any]:
    value = _limit_value(work, limit)
    if isinstance(limit.quota.cost, tuple):  # what reads an argument has to say of which tools
        name = value.pop("name")
        value = {"name": name, "tools": [block.name for block in blocks], **value}
    return value


def _limit(work: _Work, rule: Rule, quota: Quota, tool: str) -> Limit:
    scope = "all" if tool == EVERY else _slug(tool)
    base = f"{scope}/{_slug(quota.name or rule.name) or _seconds(quota.window)}"[:120]
    name, number = base, 1
    while name in work.names:
        number += 1
        name = f"{base}-{number}"
    work.names.add(name)
    return Limit(name, work.options.per_for(work.policy.dialect), quota)


def _limit_value(work: _Work, limit: Limit) -> dict[str, Any]:
    quota = limit.quota
    value: dict[str, Any] = {"name": limit.name, "max": quota.max, "window": _seconds(quota.window)}
    if limit.per != "session":
        value["per"] = limit.per
    if work.options.fixed_windows:
        value["algorithm"] = "fixed_window"
    if isinstance(quota.cost, tuple):
        value["cost"] = _expression(quota.cost)
    elif quota.cost != 1:
        value["cost"] = quota.cost
    return value


def _expression(argument: Sequence[str]) -> str:
    parts = (f".{part}" if re.fullmatch(r"[A-Za-z_]\w*", part, re.ASCII) else f"[{part!r}]" for part in argument)
    return "args" + "".join(parts)


def _seconds(seconds: int) -> int | str:
    for unit, letter in _UNITS.items():
        if seconds % unit == 0:
            return f"{seconds // unit}{letter}"
    return seconds


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._")


def _comments_above(work: _Work, path: Path) -> list[str]:
    """The comment lines right above a key, as they stand in the file that is imported."""
    line, _ = work.document.place(path)
    lines = work.lines
    found: list[str] = []
    while line >= 2 and lines[line - 2].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line - 1].strip().lstrip("#").strip())
    return [text for text in found if text]
