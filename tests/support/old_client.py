"""Run by the interpreter that has `mcp` 1.x: makes the calls on stdin in one session and says what it saw on stdout."""

import asyncio
import importlib.metadata
import json
import sys
from datetime import timedelta

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client


async def alive(session: ClientSession) -> str:
    result = await session.call_tool("get_value", {"key": "app:greeting"})
    return result.content[0].text


async def refused(session: ClientSession, asked) -> dict:
    try:
        await asked
    except McpError as error:
        return {"code": error.error.code, "alive": await alive(session)}
    return {"code": 0}


async def main() -> None:
    asked = json.load(sys.stdin)
    seen: dict = {"version": importlib.metadata.version("mcp"), "calls": []}
    async with (
        streamable_http_client(asked["url"]) as (read, write, _),
        ClientSession(read, write, read_timeout_seconds=timedelta(seconds=10)) as session,
    ):
        await session.initialize()
        for tool, arguments in asked["calls"]:
            result = await session.call_tool(tool, arguments)
            seen["calls"].append({"error": result.isError, "meta": result.meta or {}, "alive": await alive(session)})
        seen["prompt"] = await refused(session, session.get_prompt("review", {"code": "x"}))
        seen["resource"] = await refused(session, session.read_resource("file:///etc/passwd"))
        seen["method"] = await refused(session, session.set_logging_level("debug"))
    json.dump(seen, sys.stdout)


asyncio.run(main())
