"""What PolicyLayer prints -> `SourcePolicy`: the YAML of its tool pages, and the JSON of its hosted grants.

By policylayer.com/docs/writing-policies and the pages themselves. No source is public: what they do not explain is a
problem, never a guess.
"""

from __future__ import annotations

import re
from typing import Any

from authz.app.importing.conditions import read_condition
from authz.app.importing.intercept import read_hidden
from authz.app.importing.notes import WINDOWS, Notes
from authz.app.importing.source import Action, Condition, Dialect, Operator, Quota, Rule, SourcePolicy, Tool
from authz.policy.text.document import Document, Path
from authz.policy.text.scalar import shown

_HEAD = ("version", "description", "default", "hide", "tools")
_RULE = ("name", "action", "reason", "on_deny", "rate_limit")
_GRANT = ("version", "description", "default", "hide", "all_tools", "tools")
_LIMIT = ("counter", "window", "max", "scope")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(minute|hour|day)")
_ACTIONS = {"allow": Action.PASS, "deny": Action.DENY, "require_approval": Action.APPROVE}
_EVERY = "*"


def read_pages(document: Document) -> SourcePolicy:
    """What a fragment of a tool page says; raises PolicyError with every problem in it."""
    notes = Notes(document)
    head = notes.mapping(document.value, (), _HEAD, "a fragment of PolicyLayer")
    notes.version(head)
    tools: list[Tool] = []
    everywhere: tuple[Rule, ...] = ()
    for name, raw in notes.names(head.get("tools", {}), ("tools",), "tools").items():
        place: Path = ("tools", name)
        members = notes.mapping(raw, place, ("rules",), "a tool")
        listed = notes.entries(members.get("rules", []), (*place, "rules"), "rules")
        rules = tuple(_page_rule(notes, entry, where) for where, entry in listed)
        if name == _EVERY:
            everywhere = rules
        else:
            notes.tool_name(name, place)
            tools.append(Tool(place, name, rules))
    default = notes.word(head, "default", (), ("allow", "deny"), "") if "default" in head else ""
    policy = SourcePolicy(
        document.file,
        Dialect.PAGES,
        notes.text(head, "description", ()),
        default,
        read_hidden(notes, head),
        tuple(tools),
        everywhere,
    )
    notes.finish()
    return policy


def _page_rule(notes: Notes, raw: Any, path: Path) -> Rule:
    members = notes.mapping(raw, path, _RULE, "a rule")
    name = notes.text(members, "name", path)
    reason = notes.text(members, "reason", path) or notes.text(members, "on_deny", path)
    if "reason" in members and "on_deny" in members:
        notes.problem((*path, "on_deny"), "expected one of reason and on_deny, got both")
    action = _ACTIONS[notes.word(members, "action", path, list(_ACTIONS), "allow")]
    if not members.keys() & {"action", "rate_limit"}:
        notes.problem(path, "expected action or rate_limit, got neither")
    quotas: tuple[Quota, ...] = ()
    if "rate_limit" in members:
        place: Path = (*path, "rate_limit")
        quotas = _page_limit(notes, members["rate_limit"], name, place)
        if action is Action.DENY:
            notes.problem(place, "cannot stand beside action: deny")
    return Rule(path, name, action, quotas=quotas, reason=reason)


def _page_limit(notes: Notes, raw: Any, name: str, path: Path) -> tuple[Quota, ...]:
    if isinstance(raw, str):
        found = _RATE.fullmatch(raw)
        if found is None:
            notes.problem(path, f"expected N/minute, N/hour or N/day, got {shown(raw)}", at_value=True)
            return ()
        return (Quota(path, name, notes.count(int(found[1]), path, "rate_limit"), WINDOWS[found[2]]),)
    members = notes.mapping(raw, path, ("max", "window"), "rate_limit")
    most = notes.count(members.get("max"), (*path, "max"), "max")
    window = notes.count(members.get("window"), (*path, "window"), "window, in seconds")
    return (Quota(path, name, most, window),)


def read_grant(document: Document) -> SourcePolicy:
    """What the policy of a hosted grant says; raises PolicyError with every problem in it."""
    notes = Notes(document)
    head = notes.mapping(document.value, (), _GRANT, "a policy of a grant")
    notes.version(head)
    if "default" not in head:
        notes.problem((), "expected default: allow or deny")
    tools = []
    for name, raw in notes.names(head.get("tools", {}), ("tools",), "tools").items():
        place: Path = ("tools", name)
        notes.tool_name(name, place)
        tools.append(Tool(place, name, _grant_rules(notes, raw, place)))
    shared: Path = ("all_tools",)
    everywhere = notes.mapping(head.get("all_tools", {}), shared, ("limits",), "all_tools")
    policy = SourcePolicy(
        document.file,
        Dialect.HOSTED,
        notes.text(head, "description", ()),
        notes.word(head, "default", (), ("allow", "deny"), "deny"),
        read_hidden(notes, head),
        tuple(tools),
        _limits(notes, everywhere, shared),
    )
    notes.finish()
    return policy


def _grant_rules(notes: Notes, raw: Any, path: Path) -> tuple[Rule, ...]:
    members = notes.mapping(raw, path, ("require", "deny_if", "limits"), "a tool")
    rules = [_required(notes, entry, where) for where, entry in _listed(notes, members, "require", path)]
    rules += [_forbidden(notes, entry, where) for where, entry in _listed(notes, members, "deny_if", path)]
    return (*rules, *_limits(notes, members, path))


def _required(notes: Notes, raw: Any, path: Path) -> Rule:
    """An argument that must be there: `args.reason`, or with a text for who leaves it out."""
    members = {"path": raw} if isinstance(raw, str) else notes.mapping(raw, path, ("path", "on_deny"), "require")
    argument = notes.argument(members.get("path"), path)
    conditions = (Condition(path, argument, Operator.EXISTS, value=True),) if argument else ()
    return Rule(path, "", conditions=conditions, reason=notes.text(members, "on_deny", path))


def _forbidden(notes: Notes, raw: Any, path: Path) -> Rule:
    members = notes.mapping(raw, path, ("name", "conditions", "on_deny"), "deny_if")
    listed = _listed(notes, members, "conditions", path)
    if not listed:
        notes.problem(path, "deny_if needs conditions")
    conditions = tuple(one for where, entry in listed if (one := read_condition(notes, entry, where)) is not None)
    return Rule(
        path,
        notes.text(members, "name", path),
        conditions=conditions,
        reason=notes.text(members, "on_deny", path),
        forbids=True,
    )


def _limits(notes: Notes, members: dict[str, Any], path: Path) -> tuple[Rule, ...]:
    rules = []
    for place, raw in _listed(notes, members, "limits", path):
        limit = notes.mapping(raw, place, _LIMIT, "a limit")
        name = notes.text(limit, "counter", place, needed=True)
        notes.word(limit, "scope", place, ("grant",), "grant")
        most = notes.count(limit.get("max"), (*place, "max"), "max")
        window = limit.get("window")
        seconds = WINDOWS.get(window) if isinstance(window, str) else None
        if seconds is None:
            seconds = notes.count(window, (*place, "window"), "window (minute, hour, day or seconds)")
        rules.append(Rule(place, name, quotas=(Quota(place, name, most, seconds),)))
    return tuple(rules)


def _listed(notes: Notes, members: dict[str, Any], key: str, path: Path) -> list[tuple[Path, Any]]:
    return notes.entries(members.get(key, []), (*path, key), key)
