"""A tool that a limit of the file counts -> which argument schemas have surely accepted a call before it is charged.

A limit over several tools reads arguments whose types must be declared, whichever block and rule lets the call through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from authz.policy.arguments.declares import Declares
from authz.policy.index import Index
from authz.policy.rules import Block

Types: TypeAlias = Sequence[Declares]
Lacks: TypeAlias = Callable[[Types], Sequence[str]]  # what is missing where these have accepted the arguments


def uncovered(tools: Index[Block], name: str, lacks: Lacks, *, baseline: bool) -> Iterator[tuple[str, str]]:
    """Every block under which a call of `name` (a name or glob) may pass with something lacking, and what.

    All blocks that match the whole of `name` have their say, so that one without fault is enough. In a policy, blocks
    nested in them take their place for some of the names and must be without fault too.
    """
    governing = tools.find_all(name) if baseline else tools.find(name)
    if not governing:
        yield from ((name, text) for text in lacks(()))
    found = [[(block.key, text) for text in _complaints(block, lacks, baseline)] for block in governing]
    if all(found):
        yield from (one for several in found[:1] for one in several)
    if not baseline:
        for block in tools.within(name):
            yield from ((block.key, text) for text in _complaints(block, lacks, baseline))


def accepted(block: Block, *, baseline: bool) -> Iterator[Types]:
    """For each way in which a call can get past `block`, the schemas that have accepted its arguments."""
    for rule in block.rules:
        if rule.allows:
            yield present(rule.arguments, block.arguments)
    if baseline and not any(rule.principals is None and rule.when is None for rule in block.rules):
        # It may abstain, and then only what is checked before its rules is known (policies/README.md 7).
        first = block.rules[0]
        checked = first.arguments_first and first.principals is None
        yield present(first.arguments if checked else None, block.arguments)


def present(*schemas: Declares | None) -> list[Declares]:
    """Those that there are."""
    return [one for one in schemas if one is not None]


def _complaints(block: Block, lacks: Lacks, baseline: bool) -> list[str]:
    return list(dict.fromkeys(text for types in accepted(block, baseline=baseline) for text in lacks(types)))
