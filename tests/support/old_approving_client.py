"""Run by the interpreter that has `mcp` 1.x: a call that needs a person's yes, with a way to open URLs.

Reads {url, tool, arguments, approve} on stdin, where `approve` is a command that says yes; tells on stdout what it saw.
"""

import asyncio
import json
import subprocess
import sys
from datetime import timedelta

from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamable_http_client


async def never(context, params) -> types.ElicitResult:
    raise AssertionError("nobody asks through the session")


async def required(session: ClientSession, asked: dict) -> types.ErrorData:
    try:
        await session.call_tool(asked["tool"], asked["arguments"])
    except McpError as error:
        return error.error
    raise AssertionError("it ran")


async def main() -> None:
    asked = json.load(sys.stdin)
    seen: dict = {}
    async with (
        streamable_http_client(asked["url"]) as (read, write, _),
        ClientSession(read, write, read_timeout_seconds=timedelta(seconds=10), elicitation_callback=never) as session,
    ):
        await session.initialize()
        first = await required(session, asked)
        seen |= {"code": first.code, "elicitations": first.data["elicitations"]}
        waiting = await session.call_tool(asked["tool"], asked["arguments"])
        seen["waiting"] = waiting.isError
        subprocess.run(asked["approve"], check=True, stdout=subprocess.DEVNULL)  # noqa: ASYNC221, S603 - the test's own
        result = await session.call_tool(asked["tool"], asked["arguments"])
        seen["result"] = {"error": result.isError, "text": result.content[0].text}
        seen["again"] = (await required(session, asked)).code
    json.dump(seen, sys.stdout)


asyncio.run(main())
