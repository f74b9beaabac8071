"""A large set of policies, all different, written to a directory: what policy size is measured and tested with.

`python tests/support/many_policies.py DIRECTORY [SERVERS [TOOLS]]` writes it where a person wants it.
"""

from __future__ import annotations

import sys
from pathlib import Path

SERVERS = 1000
TOOLS = 50
_WORDS = ("account", "branch", "cluster", "dataset", "email", "folder", "grant", "host", "invoice", "job")
_VERBS = ("get", "list", "create", "update", "delete")


def server_name(number: int) -> str:
    """The server that the policy `number` (from 0) governs."""
    return f"server-{number:04d}"


def tool_name(number: int) -> str:
    """The tool `number` (from 0) of every server."""
    return f"{_VERBS[number % 5]}_{_WORDS[number // 5 % 10]}_{number}"


def policy_text(server: int, tools: int = TOOLS, version: int = 0) -> str:
    """The policy of one server, about 16 kB for 50 tools. No two servers, tools or versions have an equal schema.

    Every tool has a schema of two or three arguments. Of ten, five have a limit, two a condition (CEL), one an approval
    and one two rules.
    """
    name = server_name(server)
    head = [
        "# yaml-language-server: $schema=../authz/policy/schema.json",
        "version: 1",
        f"server: {name}",
        f"description: the servers of team {server % 40}, revision {version}",
        "default: deny",
        "tools:",
    ]
    return "\n".join([*head, *(_tool(server, number, version) for number in range(tools)), ""])


def write_policies(directory: Path, servers: int = SERVERS, tools: int = TOOLS) -> None:
    """Write `servers` policies with `tools` tools each to `directory`, which is made if need be."""
    directory.mkdir(parents=True, exist_ok=True)
    for server in range(servers):
        (directory / f"{server_name(server)}.yaml").write_text(policy_text(server, tools))


def _tool(server: int, number: int, version: int) -> str:
    word = _WORDS[number // 5 % 10]
    action = "require_approval" if number % 10 == 4 else "allow"
    arguments = [
        "arguments:",
        "  properties:",
        f'    {word}_id: {{type: string, pattern: "^{word[:2]}-[0-9a-f]{{8,{16 + server % 16}}}$", maxLength: 64}}',
        f"    limit: {{type: integer, minimum: 1, maximum: {1000 + server * 100 + number + version}}}",
        f"  required: [{word}_id, limit]",
    ]
    if number % 5 == 2:
        arguments.insert(4, "    colours: {type: array, items: {enum: [red, green, blue]}, maxItems: 10}")
        arguments[5] = arguments[5].replace("limit]", "limit, colours]")
    lines = [f"  {tool_name(number)}:"]
    if number % 10 == 9:
        lines += [f"    {line}" for line in arguments]
        lines += [
            "    rules:",
            f"      - principals: [group:team-{server % 40}]",
            f'        when: "args.limit < {server + number + 2}"',
            "        action: allow",
            f"      - {{action: deny, reason: {word}s of this kind are for team {server % 40}}}",
        ]
        return "\n".join(lines)
    lines += [f"    action: {action}", *(f"    {line}" for line in arguments)]
    if number % 2 == 0:
        lines.append(f"    rate_limit: {{max: {10 + server % 90}, window: 60, per: principal}}")
    if number % 10 == 7:
        lines += [
            "    require:",
            f"      - expr: \"args.{word}_id.startsWith('{word[:2]}-') && args.limit != {server + number}\"",
            f"        reason: only {word}s of this server",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    write_policies(Path(sys.argv[1]), *map(int, sys.argv[2:4]))
