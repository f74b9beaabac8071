"""The example server of the SDK, which passes the whole suite, on a listening socket: `everything_server.py FD`.

The package is unpacked from the source distribution (Makefile); its own command line would open a port by number.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

PACKAGE = Path(__file__).parents[2] / ".venv-everything"


def main(descriptor: str) -> None:
    """Serve as its `main` does (mcp_everything_server/server.py) until SIGTERM."""
    sys.path.insert(0, str(PACKAGE))
    from mcp_everything_server.server import event_store, mcp

    application = mcp.streamable_http_app(event_store=event_store, retry_interval=100)
    config = uvicorn.Config(application, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(sys.argv[1])
