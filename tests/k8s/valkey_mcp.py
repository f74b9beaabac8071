"""Stands for the Valkey server of AWS Labs: its tools, of which none does anything. Listens where its manifest says."""

from __future__ import annotations

import os

import uvicorn
from mcp.server import MCPServer

server = MCPServer("awslabs-valkey", log_level="WARNING")


@server.tool()
def valkey_write(command: str, args: list[str]) -> str:
    """A command that writes."""
    return f"{command} {' '.join(args)}: OK"


@server.tool()
def valkey_read(command: str, args: list[str]) -> str:
    """A command that reads."""
    return f"{command} {' '.join(args)}: hello"


@server.tool()
def valkey_admin(command: str) -> str:
    """A command that administrates."""
    return f"{command}: OK"


if __name__ == "__main__":
    # The SDK's own answer to DNS rebinding: no Host but the loopback's is served.
    config = uvicorn.Config(
        server.streamable_http_app(),
        host=os.environ["FASTMCP_HOST"],
        port=int(os.environ["FASTMCP_PORT"]),
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run()
