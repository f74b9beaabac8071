"""Stands for the Valkey server of AWS Labs: its tools, of which none does anything. Listens where its manifest says."""

from __future__ import annotations

import os

import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

# The SDK's answer to DNS rebinding: these, and no other Host, are served.
HOSTS = ["127.0.0.1:*", "valkey-mcp.valkey-mcp.svc"]
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
    config = uvicorn.Config(
        server.streamable_http_app(transport_security=TransportSecuritySettings(allowed_hosts=HOSTS)),
        host=os.environ["FASTMCP_HOST"],
        port=int(os.environ["FASTMCP_PORT"]),
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run()
