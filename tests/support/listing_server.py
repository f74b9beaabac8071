"""An MCP server on standard input and output that lists what a JSON file says, well or badly: `FILE [MODE]`.

Standard library only, so that it starts in a moment. The file has `tools`, `prompts`, `resources` and
`resourceTemplates`, each a list. MODE is `endless` (a page follows each page), `round` (pages that come round),
`line` (one line without end), `silent`, `dies`, or `broken` (its resources cannot be listed).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}


def answer(message: dict, listed: dict, mode: str) -> dict | None:
    """The result of one request, None where there is no such method."""
    method = message["method"]
    if method == "initialize":
        capabilities = {name: {} for name in ("tools", "prompts", "resources")}
        info = {"name": "Listing Server", "version": "1.2.3"}
        return {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}
    if method not in LISTS:
        return None
    member = LISTS[method]
    cursor = int((message.get("params") or {}).get("cursor") or 0)
    if mode == "endless" and member == "tools":
        return {"tools": [tool(f"get_{cursor}")], "nextCursor": str(cursor + 1)}
    if mode == "round" and member == "tools":
        return {"tools": [tool(f"get_{cursor}_{time.monotonic_ns()}")], "nextCursor": "1"}
    if mode == "broken" and member == "resources":
        return None
    return {member: listed.get(member, [])}


def tool(name: str) -> dict:
    """A tool that reads."""
    return {"name": name, "inputSchema": {"type": "object"}}


def main(file: str, mode: str = "") -> None:
    """Serve until standard input ends."""
    listed = json.loads(Path(file).read_text(encoding="utf-8"))
    if mode == "dies":
        sys.exit("no credentials\x1b[31m")
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        if mode == "silent":
            continue
        if mode == "line":
            while True:
                sys.stdout.write("x" * 65536)
        result = answer(message, listed, mode)
        if result is not None:
            reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        else:
            code = -32603 if mode == "broken" and message["method"] == "resources/list" else -32601
            reply = {"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": "no\x1b[2J"}}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
