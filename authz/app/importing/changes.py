"""What an imported rule meant there and means here -> one row of the table that `import` prints, with its place."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from authz.app.importing.constraints import fails, holds
from authz.app.importing.source import Action, Condition, Dialect, Operator, Quota, Rule, SourcePolicy
from authz.app.importing.yaml_text import flow_text
from authz.policy.text.document import Document, Path

HIDDEN = "this tool is hidden by policy"
_PER = {Dialect.INTERCEPT: "server", Dialect.PAGES: "session", Dialect.HOSTED: "principal"}
_WHOSE = {"server": "everybody's", "session": "one session's", "principal": "one caller's", "client": "one client's"}
_BY_CLOCK = "around the end of a window twice as much could pass"
_COUNTED = {
    Dialect.INTERCEPT: "of the clock, everybody's calls through one proxy",
    Dialect.PAGES: "tracked per agent session",
    Dialect.HOSTED: "of the grant",
}


class Effect(enum.StrEnum):
    """How what is written differs from what was meant there."""

    SAME = "same"
    STRICTER = "stricter"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Change:
    """One row: where, what it meant there, what is written here, and what follows from the difference."""

    file: str
    line: int
    column: int
    there: str
    here: str
    effect: Effect
    note: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """How limits are to be written: by windows of the clock, and whose calls count together ("": as it was there)."""

    fixed_windows: bool = False
    per: str = ""

    def per_for(self, dialect: Dialect) -> str:
        """Whose calls count together in a policy that was written in `dialect`."""
        return self.per or _PER[dialect]


def of_policy(policy: SourcePolicy, document: Document, options: Options) -> list[Change]:
    """Every row of the table, in the order of the file after those for the file as a whole."""

    def row(path: Path, there: str, here: str, effect: Effect, note: str = "") -> Change:
        return Change(document.file, *document.place(path), there, here, effect, note)

    rows = [row((), *texts) for texts in _of_file(policy)]
    for tool in policy.hidden:
        what = "every tool" if tool.name == "*" else tool.name
        note = "stays in tools/list: the answers of a server are not changed"
        rows.append(row(tool.place, f"{what} is hidden", "action: deny", Effect.DIFFERENT, note))
    for rule in (*(rule for tool in policy.tools for rule in tool.rules), *policy.everywhere):
        rows += [row(*texts) for texts in _of_rule(rule, policy, options)]
    return rows


def summary(rule: Rule) -> str:
    """The rule in a line, as it was there."""
    if rule.action is not Action.PASS:
        return str(rule.action)
    said = [str(condition) for condition in rule.conditions]
    text = f"deny if {' and '.join(said)}" if rule.forbids else " and ".join(said)
    quotas = [_quota(quota) for quota in rule.quotas]
    return ", ".join(part for part in (text, *quotas) if part) or "allow"


def _of_file(policy: SourcePolicy) -> Iterator[tuple[str, str, Effect, str]]:
    open_proxy = policy.dialect is Dialect.INTERCEPT
    if policy.default:
        yield f"default: {policy.default}", f"default: {policy.default}", Effect.SAME, ""
    else:
        note = "the fragment does not say what happens to tools that it does not list"
        yield "no default", "default: deny", Effect.STRICTER, note
    if open_proxy:
        yield "prompts and resources pass", "they pass", Effect.SAME, "that program looks at tools/call only"
        yield "every other method passes", "methods that MCP does not know are denied", Effect.STRICTER, ""
        yield "[INTERCEPT POLICY DENIED] TEXT", "Denied by policy: … Reason: TEXT", Effect.DIFFERENT, ""
    elif not policy.allows_unlisted:
        note = 'not said there; for agents that need them: prompts: {"*": allow}'
        yield "prompts and resources", "denied", Effect.STRICTER, note
    yield "any JSON that can be read", "only what every reader reads alike", Effect.STRICTER, ""
    if open_proxy and any(rule.quotas for rule in _rules(policy)):
        note = "the decision falls before the call"
        yield "a call that ends in a JSON-RPC error is given back", "it counts", Effect.STRICTER, note


def _rules(policy: SourcePolicy) -> Iterator[Rule]:
    yield from policy.everywhere
    for tool in policy.tools:
        yield from tool.rules


def _of_rule(rule: Rule, policy: SourcePolicy, options: Options) -> Iterator[tuple[Path, str, str, Effect, str]]:
    if rule.action is not Action.PASS:
        yield rule.place, f"action: {rule.action}", f"action: {rule.action}", Effect.SAME, ""
    many = rule.forbids and len(rule.conditions) > 1
    for condition in rule.conditions:
        schema, needed = fails(condition) if rule.forbids else holds(condition)
        there = f"deny if {condition}" if rule.forbids else str(condition)
        here = f"{'one of: ' if many else ''}{flow_text(schema)}{', required' if needed else ''}"
        effect, note = _of_condition(condition, forbids=rule.forbids)
        yield condition.place, there, here, effect, note
    for quota in rule.quotas:
        per = options.per_for(policy.dialect)
        there = f"{_quota(quota)}, {_COUNTED[policy.dialect]}"
        window = f"{quota.window} s of the clock (UTC)" if options.fixed_windows else f"any {quota.window} s"
        here = f"{quota.max} in {window}, {_WHOSE[per]} together"
        same = options.fixed_windows and policy.dialect is Dialect.INTERCEPT
        effect, note = (Effect.SAME, "") if same else (Effect.STRICTER, _BY_CLOCK)
        if policy.dialect is not Dialect.INTERCEPT:
            effect, note = Effect.DIFFERENT, "nobody says how a window is counted there"
        if per != _PER[policy.dialect]:
            effect, note = Effect.DIFFERENT, "counts other calls together than there"
        yield quota.place, there, here, effect, note
        if isinstance(quota.cost, tuple):
            argument = f"args.{'.'.join(quota.cost)}"
            note = "there a negative amount gave back, and 0.99 counted nothing"
            yield quota.place, f"counts {argument} cut to a whole number", "as it is, above 0", Effect.STRICTER, note


def _of_condition(condition: Condition, *, forbids: bool) -> tuple[Effect, str]:
    operator, value = condition.operator, condition.value
    if operator is Operator.REGEX and not forbids:
        anchored = value.startswith(("^", r"\A")) and value.endswith(("$", r"\z"))
        return Effect.SAME, "" if anchored else "matches any part of the text: ^…$ if all of it was meant"
    if forbids:
        return Effect.STRICTER, "what is of another type, or not where it is looked for, passed there"
    if operator in (Operator.EQ, Operator.IN):
        values = value if isinstance(value, list) else [value]
        loose = [one for one in values if not isinstance(one, str) or _looks_like_other(one)]
        if loose:
            return Effect.STRICTER, f"only of this type: there {flow_text(loose[0])} and its text are equal"
        return Effect.SAME, ""
    if operator in (Operator.NEQ, Operator.NOT_IN):
        return Effect.STRICTER, "what is of another type passed there, a list of it too"
    if operator is Operator.CONTAINS:
        return (Effect.SAME if isinstance(value, str) else Effect.STRICTER), "a part of a text, or an entry of a list"
    return Effect.SAME, ""


def _looks_like_other(text: str) -> bool:
    """Whether a number, a boolean or a list is printed so."""
    return text in ("true", "false", "<nil>") or text[:1] in "-+0123456789[" or text.startswith("map[")


def _quota(quota: Quota) -> str:
    cost = quota.cost
    what = "" if cost == 1 else f" of args.{'.'.join(cost)}" if isinstance(cost, tuple) else f" at {cost} a call"
    return f"{quota.max}{what} in {quota.window} s"
