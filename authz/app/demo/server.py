"""An MCP server with the tools of policies/demo.yaml, built with the official SDK: both protocol eras on one path.

A program of its own (`python -m authz.app.demo.server FD`, FD a listening socket). Knows nothing of policies.
"""

from __future__ import annotations

import socket
import sys
from typing import Literal

import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

# The SDK refuses other Host values (DNS rebinding); Envoy passes on what the client sent.
HOSTS = TransportSecuritySettings(allowed_hosts=["127.0.0.1:*", "localhost:*"], allowed_origins=[])


def build() -> MCPServer:
    """The server: a small cache, an import job and a transfer, all of it in memory."""
    server = MCPServer("demo", version="1.0.0", log_level="WARNING")
    cache = {"app:greeting": "hello"}

    @server.tool()
    def get_value(key: str) -> str:
        """Read one value of the cache."""
        return cache.get(key, "(nothing)")

    @server.tool()
    def set_value(key: str, value: str, ttl: int) -> str:
        """Write one value for `ttl` seconds."""
        cache[key] = value
        return f"{key} is set for {ttl} s"

    @server.tool()
    def list_keys() -> list[str]:
        """List the keys of the cache."""
        return sorted(cache)

    @server.tool()
    def delete_cache() -> str:
        """Delete everything."""
        cache.clear()
        return "everything is deleted"

    @server.tool()
    def start_import_job(source: str = "s3://reference/genome.fa") -> str:
        """Start a job that reads `source`."""
        return f"import of {source} has started"

    @server.tool()
    def transfer_funds(to: str, amount: float, currency: str = "EUR") -> str:
        """Move money."""
        return f"{amount:.2f} {currency} moved to {to}"

    @server.resource("file:///project/readme.md")
    def readme() -> str:
        """A file that may be read."""
        return "# Demo"

    @server.prompt()
    def review(code: str) -> str:
        """Ask for a review."""
        return f"Review this:\n{code}"

    return server


def application(transport: Literal["http", "sse"]) -> Starlette:
    """The ASGI application: streamable HTTP at /mcp, or the HTTP+SSE transport of 2024-11-05 at /sse."""
    if transport == "sse":
        return build().sse_app(transport_security=HOSTS)
    return build().streamable_http_app(transport_security=HOSTS)


def main(arguments: list[str]) -> None:
    """`FD [sse]`: serve on the listening socket FD until SIGTERM."""
    listener = socket.socket(fileno=int(arguments[0]))
    application_ = application("sse" if arguments[1:] == ["sse"] else "http")
    config = uvicorn.Config(application_, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1:])
