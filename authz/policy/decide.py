"""One block + call -> its word: the first rule that holds, and whether its constraints do.

A condition that cannot be evaluated denies; it never means "this rule does not match" (the mistake the field shares).
Constraints of the chosen rule deny instead of selecting another one (policies/README.md 2 and 3).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from msgspec.structs import replace

from authz.model import Call, Charge, Effect, Evaluation, Reason, Step, Target
from authz.policy.conditions.condition import Match, Subject
from authz.policy.limits import LimitRule
from authz.policy.rules import Block, Requirement, Rule

ALLOWED = Evaluation(Effect.ALLOW, Reason.ALLOWED)
CONTINUATION = "a continued call cannot be approved again; make the call anew"


class Trace:
    """Collects what was tried, for `explain`; costs nothing where nobody listens."""

    def __init__(self, steps: list[Step] | None) -> None:
        self._steps = steps
        self.listens = steps is not None

    def __call__(self, place: str, result: str, detail: str = "") -> None:
        if self._steps is not None:
            self._steps.append(Step(place, result, detail))


def decide(block: Block, call: Call, target: Target, trace: Trace) -> Evaluation | None:
    """The block's word, None where no rule holds."""
    subject = Subject(call, target)
    if call.message.continuation and block.asks and not block.continuations:
        return denied(Reason.CONTINUATION_DENIED, block.name, CONTINUATION)
    if call.message.reference_only:
        return _would_allow(block, subject, call, trace)
    failed = _arguments(block.name, block, call, trace) or _requirements(block, subject, trace)
    if failed is not None:
        return failed
    for rule in block.rules if trace.listens else block.rules_for(call.principal):
        held = _holds(rule, subject, call, trace)
        if held is None:
            continue
        if held.effect is Effect.DENY:
            return replace(held, disclose=rule.disclose)
        if not rule.allows:
            return Evaluation(Effect.DENY, Reason.RULE_DENIED, rule.name, rule.reason, disclose=rule.disclose)
        checked = rule.arguments_first  # before `when`
        failed = None if checked else _arguments(rule.name, rule, call, trace)
        failed = failed or _requirements(rule, subject, trace)
        if failed is not None:
            return replace(failed, reason_text=failed.reason_text or rule.reason, disclose=rule.disclose)
        charges = charge(rule.limits, rule.name, call, target, trace)
        if isinstance(charges, Evaluation):
            return replace(charges, disclose=rule.disclose)
        return Evaluation(
            Effect.ALLOW,
            Reason.ALLOWED,
            rule.name,
            rule.reason,
            target=block.key,
            obligations=charges if rule.approval is None else (rule.approval, *charges),
            disclose=rule.disclose,
        )
    return None


def charge(
    limits: Iterable[LimitRule], rule: str, call: Call, target: Target, trace: Trace
) -> tuple[Charge, ...] | Evaluation:
    """What is owed to `limits`, or the denial by `rule` where the cost of one of them cannot be told.

    A cost that is no finite number above 0 is no reason to let a call through for less (policies/README.md 6).
    """
    charges = []
    for limit in limits:
        owed = limit.charge(call, target)
        if owed is None:
            trace(limit.name, "failed", "cost gives no finite number above 0")
            return denied(Reason.CONDITION_FAILED, rule, "the cost of the call could not be evaluated", limit.accepts)
        if not isinstance(limit.cost, float):
            trace(limit.name, "costs", f"{owed.cost!r}".removesuffix(".0"))
        charges.append(owed)
    return tuple(charges)


def _would_allow(block: Block, subject: Subject, call: Call, trace: Trace) -> Evaluation | None:
    """The word on completion, which carries neither arguments nor a call: may this caller ever use the target?

    Its arguments and limits do not count, and what a rule says of arguments decides nothing yet (policies/README.md 8).
    An approval is for one call, so it does not cover completion.
    """
    for rule in block.rules:
        undecided = rule.when is not None and rule.when.reads_arguments
        asked = dataclasses.replace(rule, arguments_first=False, when=None if undecided else rule.when)
        held = _holds(asked, subject, call, trace)
        if held is None or (undecided and not rule.allows):
            continue
        if held.effect is Effect.DENY:
            return held
        if rule.allows and rule.approval is None:
            return Evaluation(Effect.ALLOW, Reason.ALLOWED, rule.name, rule.reason)
        if not undecided:
            return Evaluation(Effect.DENY, Reason.RULE_DENIED, rule.name, rule.reason, disclose=rule.disclose)
    return None


def _holds(rule: Rule, subject: Subject, call: Call, trace: Trace) -> Evaluation | None:
    """`ALLOWED` where the rule is for this call, None where it is not, a denial where nobody can say."""
    if rule.principals is not None:
        match = rule.principals.match(call.principal)
        if match is Match.FAILED:
            trace(rule.name, "undecidable", "principals need a verified identity, or a claim that the token lacks")
            return denied(Reason.UNAUTHENTICATED, rule.name, "", "the rule is for verified callers")
        if match is Match.NO:
            trace(rule.name, "no", "principals do not hold")
            return None
    if rule.arguments_first:
        failed = _arguments(rule.name, rule, call, trace)
        if failed is not None:
            return failed
    if rule.when is not None:
        match = rule.when.evaluate(subject)
        if match is Match.FAILED:
            trace(rule.name, "failed", "when could not be evaluated")
            return denied(Reason.CONDITION_FAILED, rule.name, "a condition of the rule could not be evaluated")
        if match is Match.NO:
            trace(rule.name, "no", "when does not hold")
            return None
    trace(rule.name, "held")
    return ALLOWED


def _arguments(name: str, of: Block | Rule, call: Call, trace: Trace) -> Evaluation | None:
    """The denial by `arguments`, None where they fit or nothing is said of them."""
    if of.strict:
        failed = _strictly(name, call, trace)
        if failed is not None:
            return failed
    if of.arguments is None:
        return None
    violation = of.arguments.check(call.message.arguments)
    if violation is None and call.message.doubtful_text:
        violation = of.arguments.doubt(call.message.arguments)
    if violation is None:
        trace(f"{name}.arguments", "held")
        return None
    detail = f"{violation.path}: {violation.accepted}"
    trace(f"{name}.arguments", "no", detail)
    return Evaluation(Effect.DENY, Reason.ARGUMENTS_INVALID, name, detail=detail)


def _strictly(name: str, call: Call, trace: Trace) -> Evaluation | None:
    """The denial by the catalogue's input schema of the tool, None where the arguments fit it."""
    tool = call.catalog.tools.get(call.message.targets[0].name)
    if tool is None or tool.schema is None:
        detail = "args: nothing: the catalogue has no input schema of this tool"
    else:
        violation = tool.schema.check(call.message.arguments)
        if violation is None and call.message.doubtful_text:
            violation = tool.schema.doubt(call.message.arguments)
        if violation is None:
            trace(f"{name}.strict_arguments", "held")
            return None
        detail = f"{violation.path}: {violation.accepted}"
    trace(f"{name}.strict_arguments", "no", detail)
    return Evaluation(Effect.DENY, Reason.ARGUMENTS_INVALID, name, detail=detail)


def _requirements(of: Block | Rule, subject: Subject, trace: Trace) -> Evaluation | None:
    """The denial by the first entry of `require` that does not hold, None where all do."""
    for requirement in of.require:
        failed = _requirement(requirement, subject, trace)
        if failed is not None:
            return failed
    return None


def _requirement(requirement: Requirement, subject: Subject, trace: Trace) -> Evaluation | None:
    match = requirement.condition.evaluate(subject)
    if match is Match.YES:
        trace(requirement.name, "held")
        return None
    if match is Match.FAILED:
        trace(requirement.name, "failed", "could not be evaluated")
        return denied(Reason.CONDITION_FAILED, requirement.name, "a requirement could not be evaluated")
    trace(requirement.name, "no", requirement.reason)
    return Evaluation(Effect.DENY, Reason.REQUIREMENT_FAILED, requirement.name, requirement.reason)


def denied(reason: Reason, rule: str, text: str, detail: str = "") -> Evaluation:
    return Evaluation(Effect.DENY, reason, rule, text, detail)
