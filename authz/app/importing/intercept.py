"""The YAML of Intercept, 1.0 to 1.1 and the approvals of 1.2 -> `SourcePolicy`.

By its config/config.go, config/validate.go, engine/engine.go and proxy/handler.go; what that program would not load,
or load and not do, is a problem here.
"""

from __future__ import annotations

import re
from typing import Any

from authz.app.importing.conditions import read_condition
from authz.app.importing.notes import WINDOWS, Notes
from authz.app.importing.source import Action, Condition, Dialect, Operator, Quota, Rule, SourcePolicy, Tool
from authz.policy.text.document import Document, Path
from authz.policy.text.scalar import shown

_HEAD = ("version", "description", "default", "hide", "tools", "approvals")
_RULE = ("name", "action", "rate_limit", "conditions", "on_deny", "state", "approval_timeout")
_STATE = ("counter", "window", "increment", "increment_from")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(minute|hour|day)")
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_BELOW = (Operator.LT, Operator.LTE)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EVERY = "*"


def read_intercept(document: Document) -> SourcePolicy:
    """What the file says; raises PolicyError with every problem in it."""
    return _Reader(Notes(document)).policy()


class _Reader:
    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def policy(self) -> SourcePolicy:
        notes = self._notes
        head = notes.mapping(notes.document.value, (), _HEAD, "a policy of Intercept")
        if "version" not in head:
            notes.problem((), 'expected version: "1", without which Intercept does not load the file')
        notes.version(head)
        if "approvals" in head:
            text = "where approvals are announced is a setting of the service here (--webhook-url): remove it"
            notes.problem(("approvals",), text)
        hidden = read_hidden(notes, head)
        tools: list[Tool] = []
        everywhere: tuple[Rule, ...] = ()
        for name, raw in notes.names(head.get("tools", {}), ("tools",), "tools").items():
            place: Path = ("tools", name)
            rules = self._rules(name, raw, place)
            if name == _EVERY:
                everywhere = rules
            else:
                notes.tool_name(name, place)
                tools.append(Tool(place, name, rules))
        policy = SourcePolicy(
            notes.document.file,
            Dialect.INTERCEPT,
            notes.text(head, "description", ()),
            notes.word(head, "default", (), ("allow", "deny"), "allow"),
            hidden,
            tuple(tools),
            everywhere,
        )
        notes.finish()
        return policy

    def _rules(self, tool: str, raw: Any, path: Path) -> tuple[Rule, ...]:
        members = self._notes.mapping(raw, path, ("rules",), "a tool")
        listed = self._notes.entries(members.get("rules", []), (*path, "rules"), "rules")
        counters: dict[str, Path] = {}
        return tuple(self._rule(tool, entry, place, counters) for place, entry in listed)

    def _rule(self, tool: str, raw: Any, path: Path, counters: dict[str, Path]) -> Rule:
        notes = self._notes
        members = notes.mapping(raw, path, _RULE, "a rule")
        name = notes.text(members, "name", path, needed=True)
        reason = notes.text(members, "on_deny", path)
        written = notes.word(members, "action", path, ("evaluate", "deny", "require_approval"), "evaluate")
        action = {"deny": Action.DENY, "require_approval": Action.APPROVE}.get(written, Action.PASS)
        timeout = self._timeout(members, path) if "approval_timeout" in members else 0
        if timeout and action is not Action.APPROVE:
            notes.problem((*path, "approval_timeout"), "expected only beside action: require_approval")
        if action is not Action.PASS:
            for key in ("rate_limit", "conditions", "state"):
                if key in members:
                    text = f"beside action: {written} nobody knows what it means: make it a rule of its own"
                    notes.problem((*path, key), text)
            return Rule(path, name, action, reason=reason, timeout=timeout)
        if "rate_limit" in members:
            quotas = self._shorthand(members, name, path, counters)
            return Rule(path, name, quotas=quotas, reason=reason)
        conditions, bounds = self._conditions(members, path)
        if not members.get("conditions"):
            notes.problem(path, "a rule that evaluates needs conditions; Intercept does not load it without")
        quotas = self._stateful(tool, members, bounds, name, path, counters)
        return Rule(path, name, conditions=conditions, quotas=quotas, reason=reason)

    def _timeout(self, members: dict[str, Any], path: Path) -> int:
        value = members["approval_timeout"]
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found:
            return int(found[1]) * _UNITS[found[2]]
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        self._notes.problem((*path, "approval_timeout"), f"expected 30s, 15m or 1h, got {shown(str(value))}")
        return 0

    def _shorthand(
        self, members: dict[str, Any], name: str, path: Path, counters: dict[str, Path]
    ) -> tuple[Quota, ...]:
        place: Path = (*path, "rate_limit")
        for key in ("conditions", "state"):
            if key in members:
                self._notes.problem((*path, key), "cannot stand beside rate_limit; Intercept does not load it")
        value = members["rate_limit"]
        found = _RATE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            self._notes.problem(place, f"expected N/minute, N/hour or N/day, got {shown(str(value))}", at_value=True)
            return ()
        self._once(f"_rate_{found[2]}", place, counters)
        return (Quota(place, name, self._notes.count(int(found[1]), place, "rate_limit"), WINDOWS[found[2]]),)

    def _conditions(self, members: dict[str, Any], path: Path) -> tuple[tuple[Condition, ...], list[tuple[Path, Any]]]:
        """Those on arguments, and those on counters as they are written."""
        on_arguments, on_counters = [], []
        for place, raw in self._notes.entries(members.get("conditions", []), (*path, "conditions"), "conditions"):
            if isinstance(raw, dict) and str(raw.get("path", "")).startswith("state."):
                on_counters.append((place, raw))
            elif (condition := read_condition(self._notes, raw, place)) is not None:
                on_arguments.append(condition)
        return tuple(on_arguments), on_counters

    def _stateful(
        self,
        tool: str,
        members: dict[str, Any],
        bounds: list[tuple[Path, Any]],
        name: str,
        path: Path,
        counters: dict[str, Path],
    ) -> tuple[Quota, ...]:
        """The limit of a rule with `state`: one condition `lt` or `lte` on its own counter is the most that may be."""
        notes = self._notes
        if "state" not in members:
            for where, raw in bounds:
                text = f"{raw['path']} is another rule's counter: a limit that only looks cannot be carried over"
                notes.problem(where, text)
            return ()
        place: Path = (*path, "state")
        state = notes.mapping(members["state"], place, _STATE, "state")
        counter = notes.text(state, "counter", place, needed=True)
        self._once(counter, (*place, "counter"), counters)
        window = WINDOWS[notes.word(state, "window", place, list(WINDOWS), "day")]
        if "window" not in state:
            notes.problem(place, "a counter needs a window: minute, hour or day")
        cost: int | tuple[str, ...] = 1
        if "increment_from" in state:
            cost = notes.argument(state["increment_from"], (*place, "increment_from")) or 1
        elif state.get("increment", 0) != 0:  # 0 is 1 there
            text = "increment (what gives back cannot be carried over)"
            cost = notes.count(state["increment"], (*place, "increment"), text)
        own = f"state.{'_global' if tool == _EVERY else tool}.{counter}"
        limits = [self._bound(raw, where, own) for where, raw in bounds]
        if not bounds:
            notes.problem(place, f"counts nothing in Intercept: it needs a condition on {own} with lt or lte")
        elif len(limits) > 1:
            notes.problem(bounds[1][0], "a second condition on a counter cannot be carried over: one limit a rule")
        return tuple(Quota(where, name, most, window, cost) for (where, _), most in zip(bounds, limits, strict=True))

    def _bound(self, raw: dict[str, Any], path: Path, own: str) -> int:
        members = self._notes.mapping(raw, path, ("path", "op", "value"), "a condition")
        if members["path"] != own:
            text = f"expected {own}, the rule's own counter: what reads another cannot be carried over, got "
            self._notes.problem((*path, "path"), text + shown(members["path"]), at_value=True)
        operator, value = members.get("op"), members.get("value")
        if operator not in _BELOW:
            text = f"expected lt or lte on a counter, got {shown(str(operator))}: no limit can be made of it"
            self._notes.problem((*path, "op"), text, at_value=True)
            return 1
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            self._notes.problem((*path, "value"), f"expected a number, got {shown(str(value))}", at_value=True)
            return 1
        most = int(value) - (operator == Operator.LT)
        if most < 1:
            text = f"no call can pass: write action: deny, got {operator} {value}"
            self._notes.problem((*path, "value"), text, at_value=True)
            return 1
        return self._notes.count(most, (*path, "value"), "value")

    def _once(self, counter: str, path: Path, counters: dict[str, Path]) -> None:
        if counter in counters:
            line, column = self._notes.document.place(counters[counter])
            text = f"the tool has this counter already, at {line}:{column}; Intercept does not load it"
            self._notes.problem(path, text)
        counters.setdefault(counter, path)


def read_hidden(notes: Notes, head: dict[str, Any]) -> tuple[Tool, ...]:
    """The names under `hide`; `*` stands for every tool."""
    hidden: dict[str, Tool] = {}
    for place, name in notes.entries(head.get("hide", []), ("hide",), "hide"):
        if not isinstance(name, str) or not name.strip():
            notes.problem(place, "expected the name of a tool")
        elif name in hidden:
            notes.problem(place, f"{shown(name)} is there twice")
        else:
            if name != _EVERY:
                notes.tool_name(name, place)
            hidden[name] = Tool(place, name, ())
    return tuple(hidden.values())
