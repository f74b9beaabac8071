"""Policy + call -> evaluation: what the policy alone says, and what is owed. Pure: it asks no store and no clock.

It chooses the blocks that govern a call, in the policy and in every baseline, and combines their words; what a block
says is `decide`'s business. Once a block is chosen nothing falls through to another (policies/README.md 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from urllib.parse import unquote

from msgspec.structs import replace

from authz.model import (
    CLIENT_RESPONSE,
    HTTP_END,
    HTTP_METADATA,
    HTTP_PREFLIGHT,
    HTTP_STREAM,
    UNKNOWN_TOOL,
    Approval,
    Call,
    Charge,
    Effect,
    Evaluation,
    Reason,
    Step,
    Target,
    TargetKind,
)
from authz.names import is_doubtful
from authz.policy.arguments.check import ArgumentsSchema
from authz.policy.catalog.known import is_twin
from authz.policy.decide import ALLOWED, CONTINUATION, Trace, charge, decide, denied
from authz.policy.index import Index
from authz.policy.rules import Block, Policy, Rule
from authz.policy.uri import is_ambiguous, without_tail

# Methods of MCP 2024-11-05 … 2026-07-28 that a client may send (schema.ts of each version), and what has none.
KNOWN_METHODS = frozenset(
    (
        *("initialize", "ping", "server/discover", "logging/setLevel", "completion/complete"),
        *("tools/list", "tools/call", "prompts/list", "prompts/get"),
        *("resources/list", "resources/templates/list", "resources/read"),
        *("resources/subscribe", "resources/unsubscribe", "subscriptions/listen"),
        *("tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update"),
        *("notifications/initialized", "notifications/cancelled", "notifications/progress"),
        *("notifications/roots/list_changed", "notifications/tasks/status"),
        *(HTTP_STREAM, HTTP_END, HTTP_PREFLIGHT, HTTP_METADATA, CLIENT_RESPONSE),
    )
)

_SET_LEVEL = "logging/setLevel"
_RESUME = "tasks/update"


def evaluate(policy: Policy, baselines: Sequence[Policy], call: Call, steps: list[Step] | None = None) -> Evaluation:
    """What `policy` and every baseline say of `call`; `steps` collects each block and rule that was tried.

    Any denial denies; otherwise what is owed to the policy and to each baseline adds up.
    """
    trace = Trace(steps)
    if call.catalog is not policy.catalog and not policy.baseline:
        call = replace(call, catalog=policy.catalog)
    parts: list[Evaluation] = []
    policies = (policy, *baselines)
    for one in policies:
        _evaluate_one(one, call, trace, parts)
    evaluation = combine(parts)
    if evaluation.effect is Effect.DENY or call.message.method != "tools/call":
        return evaluation
    shared: list[Charge] = []
    for one in policies:
        if not one.limits:
            continue
        for target in call.message.targets:
            for limit in one.limits:
                counted = None if limit.tools is None else limit.tools.find(target.name)
                if counted is None or counted:
                    unfit = _untyped(counted, limit.rule.name, call, trace) if counted else None
                    if unfit is not None:
                        return replace(unfit, target=evaluation.target, disclose=evaluation.disclose)
                    charges = charge([limit.rule], limit.rule.name, call, target, trace)
                    if isinstance(charges, Evaluation):
                        return replace(charges, target=evaluation.target, disclose=evaluation.disclose)
                    shared += charges
    return replace(evaluation, obligations=(*evaluation.obligations, *shared)) if shared else evaluation


def _untyped(types: Sequence[Sequence[ArgumentsSchema]], limit: str, call: Call, trace: Trace) -> Evaluation | None:
    """The denial where what a limit reads is not of the types that the catalogue declares, None where it is."""
    for one in chain.from_iterable(types):
        violation = one.check(call.message.arguments)
        if violation is not None:
            detail = f"{violation.path}: {violation.accepted}"
            trace(limit, "no", detail)
            return denied(Reason.ARGUMENTS_INVALID, limit, "", detail)
    return None


def combine(parts: Sequence[Evaluation]) -> Evaluation:
    """The strictest of several evaluations of one call: the first denial, else everything that is owed.

    A denied origin comes before any other denial: browsers must get its 403 (2025-11-25, transports).
    """
    if len(parts) == 1:
        return parts[0]
    denials = [part for part in parts if part.effect is Effect.DENY]
    if denials:
        return next((part for part in denials if part.reason is Reason.ORIGIN_DENIED), denials[0])
    if not parts:
        return ALLOWED
    owed = tuple(obligation for part in parts for obligation in part.obligations)
    leading = next((part for part in parts if any(isinstance(one, Approval) for one in part.obligations)), parts[0])
    return replace(leading, obligations=owed)


# Each of these adds to `parts` what a policy says (measured: a generator costs twice what a list does).


def _evaluate_one(policy: Policy, call: Call, trace: Trace, parts: list[Evaluation]) -> None:
    message = call.message
    if policy.origins is not None and call.origin is not None and call.origin not in policy.origins:
        trace("origins", "no", "the Origin header is not in the list")
        parts.append(denied(Reason.ORIGIN_DENIED, "origins", "this browser origin is not allowed"))
        return
    for target in message.targets:
        if target.kind is not TargetKind.METHOD:
            _evaluate_target(policy, call, target, trace, parts)
    _evaluate_method(policy, call, message.method, trace, parts)
    if message.log_level and message.method != _SET_LEVEL:
        for block in _blocks(policy, policy.sections[TargetKind.METHOD], _SET_LEVEL):
            if block.key != "*":  # which has been asked about the method itself
                _evaluate_block(policy, block, call, Target(TargetKind.METHOD, _SET_LEVEL), trace, parts)
    if message.method == _RESUME and policy.forbids_unnamed_continuations:
        trace(_RESUME, "denied", "names no tool, and a block requires an approval")
        text = "tasks/update names no tool, and some tools need a person's approval"
        parts.append(denied(Reason.CONTINUATION_DENIED, "methods", text))


# -------------------------------------------------------------------------------------------------- what is chosen


def _evaluate_method(policy: Policy, call: Call, method: str, trace: Trace, parts: list[Evaluation]) -> None:
    blocks = _blocks(policy, policy.sections[TargetKind.METHOD], method)
    for block in blocks:
        _evaluate_block(policy, block, call, Target(TargetKind.METHOD, method), trace, parts)
    if blocks or policy.baseline:
        return
    if method not in KNOWN_METHODS:
        trace("methods", "no", "not a method of the protocol, and no rule names it")
        text = "this method is not one that the protocol or the policy knows"
        parts.append(denied(Reason.UNKNOWN_METHOD, "methods", text))
    elif call.message.targets[0].kind is TargetKind.METHOD:
        trace("methods", "allowed", "a method of the protocol")
        parts.append(ALLOWED)


def _evaluate_target(policy: Policy, call: Call, target: Target, trace: Trace, parts: list[Evaluation]) -> None:
    section = policy.sections[target.kind]
    doubt = None if target.name in section.exact else _doubt(policy, section, call, target, trace)
    if doubt is not None:
        parts.append(doubt)
        return
    blocks = _blocks(policy, section, target.name)
    for block in blocks:
        _evaluate_block(policy, block, call, target, trace, parts)
    if policy.categories and target.kind is TargetKind.TOOL and (policy.baseline or not blocks):
        _evaluate_categories(policy, call, target, trace, parts)
    elif not blocks and policy.default is not None:
        names = len(section.exact) + len(section.globs)
        trace(f"{target.kind}s", "no block", f"{names} names and globs, none matches")
        parts.append(_evaluate_default(policy.default, call, trace))


def _evaluate_categories(policy: Policy, call: Call, target: Target, trace: Trace, parts: list[Evaluation]) -> None:
    """All categories of the tool have their say, `default` for those that the policy does not list."""
    unlisted = ""
    for category in call.catalog.tools.get(target.name, UNKNOWN_TOOL).categories:
        block = policy.categories.get(category)
        if block is not None:
            _evaluate_block(policy, block, call, target, trace, parts)
        else:
            unlisted = category
    if unlisted and policy.default is not None:
        trace("categories", "no block", f"{unlisted} is not listed")
        parts.append(_evaluate_default(policy.default, call, trace))


def _doubt(policy: Policy, section: Index[Block], call: Call, target: Target, trace: Trace) -> Evaluation | None:
    """The denial of a name that the policy does not spell and that could pass for another one, None if it cannot."""
    place = f"{target.kind}s"
    if target.kind is TargetKind.RESOURCE:
        if _is_ambiguous_resource(policy, section, target.name):
            trace(place, "denied", "the URI can be read in two ways")
            text = "this URI can be read in two ways; use its plain, normalised form"
            return denied(Reason.AMBIGUOUS_URI, place, text)
    elif is_doubtful(target.name):
        trace(place, "denied", "the name is too long or has characters that hide what it is")
        text = "this name is too long or has characters that hide what it is"
        return denied(Reason.AMBIGUOUS_NAME, place, text)
    if section.is_twin(target.name):
        trace(place, "denied", "the name only looks like a name of the policy")
        return denied(Reason.AMBIGUOUS_NAME, place, "this name only looks like a name that the policy knows")
    # What a policy spells may be a twin of a catalogued tool; a baseline that decides by the catalogue cannot know it.
    asked = target.kind is TargetKind.TOOL and (policy.categories or not policy.baseline)
    if asked and is_twin(call.catalog, target.name):
        trace(place, "denied", "the name only looks like a name of the catalogue")
        return denied(Reason.AMBIGUOUS_NAME, place, "this name only looks like that of a tool of the server")
    return None


def _blocks(policy: Policy, section: Index[Block], name: str) -> tuple[Block, ...]:
    return section.find_all(name) if policy.baseline else section.find(name)


def _is_ambiguous_resource(policy: Policy, section: Index[Block], uri: str) -> bool:
    """Whether `uri` could get round a rule by its spelling (policies/README.md 8)."""
    if _is_open(section):
        return False
    if is_ambiguous(uri):
        return True
    blocks = _blocks(policy, section, uri)
    # Servers differ in whether a query belongs to the name; it must not bring the URI under another rule.
    plain = without_tail(uri)
    if plain != uri and _blocks(policy, section, plain) != blocks:
        return True
    # Nor must a parameter, a slash at the end or an escape take it from under a rule that the plain spelling is under.
    spellings = {uri.partition(";")[0], uri.removesuffix("/")}
    if "%" in uri and not any("%" in block.key for block in blocks):
        spellings |= {unquote(uri), without_tail(unquote(uri))}
    found = (_blocks(policy, section, spelling) for spelling in spellings - {uri})
    return any(others and others != blocks for others in found)


def _is_open(section: Index[Block]) -> bool:
    """Whether `*` is the only rule on resources: no spelling of a URI gets round it (policies/README.md 8)."""
    return not section.exact and set(section.globs) <= {"*"}


def _evaluate_default(rule: Rule, call: Call, trace: Trace) -> Evaluation:
    trace(rule.name, "held", "the policy's default")
    if not rule.allows:
        return denied(Reason.DEFAULT_DENIED, rule.name, "no rule of the policy names it")
    if call.message.continuation and rule.approval is not None:
        return denied(Reason.CONTINUATION_DENIED, rule.name, CONTINUATION)
    owed = () if rule.approval is None else (rule.approval,)
    return Evaluation(Effect.ALLOW, Reason.ALLOWED, rule.name, obligations=owed)


def _evaluate_block(
    policy: Policy, block: Block, call: Call, target: Target, trace: Trace, parts: list[Evaluation]
) -> None:
    trace(block.name, "chosen")
    evaluation = decide(block, call, target, trace)
    if evaluation is None:
        if policy.baseline:
            trace(block.name, "abstains", "no rule holds")
            return
        trace(block.name, "denied", "no rule holds")
        evaluation = denied(Reason.NO_RULE_HOLDS, block.name, "none of its rules is for this caller and call")
    # A method is no tool: what the policy spells there is not the target of the call.
    spelled = "" if target.kind is TargetKind.METHOD else block.key
    parts.append(evaluation if evaluation.target == spelled else replace(evaluation, target=spelled))
