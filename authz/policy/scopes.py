"""Policy + a denied call -> the OAuth scopes that would help. Asked after a denial only; it decides nothing.

Scopes are those that entries `scope:NAME` of rules name (policies/README.md 9).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from msgspec.structs import replace

from authz.model import UNKNOWN_TOOL, Call, Disclose, Effect, TargetKind
from authz.policy.evaluate import evaluate
from authz.policy.rules import Block, Policy, Rule

_TRIED: Final = 8  # rules, each of which costs an evaluation
# RFC 6749, 3.3: nothing else can stand in `scope`.
_NAMEABLE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


def helping(policy: Policy, baselines: Sequence[Policy], call: Call) -> tuple[str, ...]:
    """The scopes of the first rule that would allow `call` if its caller had them, else of all rules if together they
    would; none where no scope helps."""
    groups = list(dict.fromkeys(_of_rules(_rules(policy, baselines, call), call.principal.source)))
    everything = tuple(dict.fromkeys(chain.from_iterable(groups)))
    for scopes in dict.fromkeys([*groups[:_TRIED], everything]):
        if scopes and not call.principal.scopes.issuperset(scopes) and _allowed(policy, baselines, call, scopes):
            return scopes
    return ()


def named(policy: Policy, baselines: Sequence[Policy], call: Call, source: str) -> tuple[str, ...]:
    """Every scope of `source` that a rule for the targets of `call` names, whoever asks."""
    return _united(_rules(policy, baselines, call), source)


def known(policy: Policy, baselines: Sequence[Policy], source: str) -> tuple[str, ...]:
    """Every scope of `source` that any rule of the policy or of a baseline names."""
    rules: list[Rule] = []
    for one in (policy, *baselines):
        for section in one.sections.values():
            for block in (*section.exact.values(), *section.globs.values()):
                rules += block.rules
        for block in one.categories.values():
            rules += block.rules
    return _united(rules, source)


def _allowed(policy: Policy, baselines: Sequence[Policy], call: Call, scopes: tuple[str, ...]) -> bool:
    held = call.principal
    given = replace(held, scopes=held.scopes.union(scopes), absent=held.absent - {"scopes"})
    return evaluate(policy, baselines, replace(call, principal=given)).effect is Effect.ALLOW


def _united(rules: Iterable[Rule], source: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(_of_rules(rules, source))))


def _of_rules(rules: Iterable[Rule], source: str) -> Iterator[tuple[str, ...]]:
    """The scopes of each rule that allows something and does not keep to itself why."""
    for rule in rules:
        if rule.allows and rule.principals is not None and rule.disclose is not Disclose.CODE:
            scopes = tuple(filter(_NAMEABLE.fullmatch, rule.principals.scopes(source)))
            if scopes:
                yield scopes


def _rules(policy: Policy, baselines: Sequence[Policy], call: Call) -> Iterator[Rule]:
    """The rules of every block that governs `call`."""
    for one in (policy, *baselines):
        for kind, name in (*((target.kind, target.name) for target in call.message.targets), _method(call)):
            section = one.sections[kind]
            blocks = section.find_all(name) if one.baseline else section.find(name)
            for block in (*blocks, *_by_category(one, policy, kind, name, blocks)):
                yield from block.rules


def _method(call: Call) -> tuple[TargetKind, str]:
    return TargetKind.METHOD, call.message.method


def _by_category(one: Policy, policy: Policy, kind: TargetKind, name: str, blocks: Sequence[Block]) -> Iterator[Block]:
    if kind is TargetKind.TOOL and (one.baseline or not blocks):
        for category in policy.catalog.tools.get(name, UNKNOWN_TOOL).categories:
            block = one.categories.get(category)
            if block is not None:
                yield block
