"""An imported policy -> the cases of its policy test, which pin what it does: a case for each rule and each hazard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from authz.app.importing.convert import EVERY, Block, Conversion, Limit
from authz.app.importing.samples import Arguments, Sample, Samples, value_at

_MOST_CALLS = 1000  # of one case; a limit above is only looked for among what is owed
_UNLISTED = "a_tool_that_the_file_does_not_name"

Case = dict[str, Any]

# Who makes the calls that a limit lets through, and who makes the one too many: somebody whom it counts with them.
_CALLERS: Mapping[str, tuple[Case, Case]] = {
    "session": ({}, {}),
    "principal": ({"principal": {"id": "agent"}, "session": "one"}, {"session": "two"}),
    "client": ({"principal": {"id": "one", "client": "app"}}, {"principal": {"id": "two", "client": "app"}}),
    "server": ({}, {"address": "192.0.2.2"}),
}


def test_document(file: str, conversion: Conversion) -> dict[str, Any]:
    """The policy test as plain values; `file` is what was imported."""
    cases = [case for block in conversion.blocks for case in _of_block(block)]
    if not any(block.name == EVERY for block in conversion.blocks):
        unlisted: Case = {"name": "a tool that is not listed", "tool": _UNLISTED, "expect": conversion.default}
        if conversion.default == "deny":
            unlisted["reason"] = "default_denied"
        cases.append(unlisted)
    for key, name in (("prompt", "any"), ("resource", "file:///any")):
        allowed = f"{key}s" in conversion.value or conversion.default == "allow"
        other: Case = {"name": f"a {key}", key: name, "expect": "allow" if allowed else "deny"}
        if not allowed:
            other["reason"] = "default_denied"
        cases.append(other)
    return {"version": 1, "description": f"what {file} does, as it was imported", "cases": cases}


def _of_block(block: Block) -> Iterator[Case]:
    tool = _UNLISTED if block.name == EVERY else block.name
    if block.action == "deny":
        case: Case = {"name": f"{block.name} is denied", "tool": tool, "expect": "deny", "reason": "rule_denied"}
        yield case | {"rule": f"tools.{block.name}"} | ({"text": block.reason} if block.reason else {})
        return
    arguments: Arguments | None = {}
    samples = None
    if block.schema is not None:
        samples = Samples(block.schema, block.rules)
        arguments = samples.fitting()
    call: Case = {"tool": tool, "arguments": arguments} if arguments else {"tool": tool}
    if arguments is not None:
        yield from _passing(block, call, arguments, samples)
    if samples is None:
        return
    base = arguments or {}
    variants = [_variant(one, base) for one in samples.refused(base)]
    if variants:
        said = {"text": block.reason} if block.reason else {}
        head = {"name": f"{block.name} denies other arguments"} | call | {"expect": "deny"}
        yield head | {"reason": "arguments_invalid"} | said | {"variants": variants}
    if arguments is not None and block.action == "allow":
        for one in samples.around_a_match(arguments):
            yield {
                "name": f"{block.name}: {one.name} passes",
                "tool": tool,
                "arguments": one.arguments,
                "expect": "allow",
            }


def _variant(sample: Sample, base: Arguments) -> Case:
    """The sample as what is laid over the case, member by member."""
    changed = {name: value for name, value in sample.arguments.items() if name not in base or base[name] != value}
    left_out = [name for name in base if name not in sample.arguments]
    variant: Case = {"name": sample.name}
    if changed:
        variant["arguments"] = changed
    if left_out:
        variant["without"] = left_out
    return variant


def _passing(block: Block, call: Case, arguments: Arguments, samples: Samples | None) -> Iterator[Case]:
    """A call that fits, as often as the limits let it."""
    owed = {"owes": [limit.name for limit in block.limits]} if block.limits else {}
    if block.action == "require_approval":
        yield {"name": f"{block.name} waits for a person"} | call | {"expect": "deny", "reason": "approval_required"}
        return
    room = {limit.name: _calls(limit, arguments) for limit in block.limits}
    if min(room.values(), default=1):
        yield {"name": f"{block.name} passes"} | call | {"expect": "allow"} | owed
    if not room or min(room.values()) > _MOST_CALLS:
        return
    tightest = min(block.limits, key=lambda limit: (room[limit.name], limit.quota.window))
    most = room[tightest.name]
    steps: list[Case] = [{"repeat": most, "expect": "allow"}] if most else []
    caller, other = _CALLERS[tightest.per]
    steps.append(other | _one_more(tightest, arguments, most, samples) | {"expect": "deny", "reason": "rate_limited"})
    others = [limit for limit in block.limits if limit is not tightest]
    if most and all(room[other.name] > most or other.quota.window <= tightest.quota.window for other in others):
        steps.append({"advance": tightest.quota.window, "expect": "allow"})
    yield {"name": f"{block.name} passes {most} times"} | call | caller | {"steps": steps}


def _one_more(limit: Limit, arguments: Arguments, made: int, samples: Samples | None) -> Case:
    """What is one too many after so many calls: the least amount that is no more left."""
    cost = limit.quota.cost
    if not isinstance(cost, tuple) or samples is None:
        return {}
    amount = limit.quota.max - made * value_at(arguments, cost) + 1
    found = samples.fits_with(arguments, cost, amount)
    return {} if found is None else {"arguments": found}


def _calls(limit: Limit, arguments: Arguments) -> int:
    """How many such calls the limit lets through at once."""
    cost = limit.quota.cost
    amount = value_at(arguments, cost) if isinstance(cost, tuple) else cost
    return math.floor(limit.quota.max / amount)
