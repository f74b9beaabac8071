"""What reached the MCP server: an HTTP server that answers everything and remembers it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}'


@dataclass(frozen=True, slots=True)
class Request:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Upstream:
    """Listens on a loopback port of its own until `close`."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.startswith("do_"):
                    return self._any
                raise AttributeError(name)

            def _any(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen.append(Request(self.command, self.path, headers, self._body()))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(ANSWER)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(ANSWER)

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def case(self, name: str) -> list[Request]:
        """What arrived with `x-case: NAME`."""
        return [request for request in self.seen if request.headers.get("x-case") == name]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
