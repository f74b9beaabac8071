"""Policies of any size, as text: so many tools, so many files, or so many rules in one block.

The tool that is called is the last one, so that whoever looks at one after the other pays for all.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

SERVER = "bench"
ALLOWED_TOOL = "read_report"
PLENTY = 1_000_000_000  # calls a minute: the limit is counted and never reached

_ARGUMENTS = """\
    arguments:
      properties:
        path: {type: string, pattern: "^/srv/[a-z0-9/._-]*$", maxLength: 200}
        limit: {type: integer, minimum: 1, maximum: 1000}
        filter:
          type: object
          properties: {column: {type: string}, equals: {type: string}}
          required: [column, equals]
          additionalProperties: false
        columns: {type: array, items: {type: string, maxLength: 64}, maxItems: 32}
      required: [path, limit, filter, columns]
      additionalProperties: false
"""
_LIMIT = f"    rate_limit: {{max: {PLENTY}, window: 60}}\n"
_CONDITION = """\
    require:
      - {expr: "args.path.startsWith('/srv/reports/') && args.limit <= 100", reason: only reports}
"""


class Shape(enum.StrEnum):
    """What there are many of."""

    TOOLS = "tools of one server"
    FILES = "policies, one tool each"
    BLOCK = "rules of one tool"


def policies(shape: Shape = Shape.TOOLS, number: int = 100) -> Mapping[str, str]:
    """Files by name; the last of `number` tools, policies or rules is the one that allows the call."""
    if shape is Shape.TOOLS:
        blocks = [_tool(f"write_report_{n:04}") for n in range(number - 1)]
        return {"bench.yaml": _file(SERVER, *blocks, _tool(ALLOWED_TOOL))}
    if shape is Shape.FILES:
        others = {f"other-{n:04}.yaml": _file(f"other-{n:04}", _tool(ALLOWED_TOOL)) for n in range(number - 1)}
        return {**others, "bench.yaml": _file(SERVER, _tool(ALLOWED_TOOL))}
    others_rules = "".join(
        f'      - {{principals: ["team-{n:04}"], action: deny, reason: not for team {n}}}\n' for n in range(number - 1)
    )
    last = f"      - {{action: allow, rate_limit: {{max: {PLENTY}, window: 60}}}}\n"
    return {"bench.yaml": _file(SERVER, f"  {ALLOWED_TOOL}:\n{_ARGUMENTS}    rules:\n{others_rules}{last}")}


def with_condition(number: int = 100) -> Mapping[str, str]:
    """As `policies`, each tool with a CEL condition."""
    blocks = [_tool(f"write_report_{n:04}", _CONDITION) for n in range(number - 1)]
    return {"bench.yaml": _file(SERVER, *blocks, _tool(ALLOWED_TOOL, _CONDITION))}


def with_approval(number: int = 100) -> Mapping[str, str]:
    """As `policies`; calls of the last tool need a person's approval."""
    blocks = [_tool(f"write_report_{n:04}") for n in range(number - 1)]
    asked = f'  {ALLOWED_TOOL}:\n    action: require_approval\n    approval: {{by: ["group:leads"], timeout: 1h}}\n'
    return {"bench.yaml": _file(SERVER, *blocks, asked + _ARGUMENTS + _LIMIT)}


def _file(server: str, *blocks: str) -> str:
    return f"version: 1\nserver: {server}\ntools:\n" + "".join(blocks)


def _tool(name: str, more: str = "") -> str:
    return f"  {name}:\n    action: allow\n{_ARGUMENTS}{_LIMIT}{more}"
