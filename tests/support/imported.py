"""A policy of another program, imported, and what the service's own engine decides by it."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import yaml

from authz.app.importing.changes import Change, Options
from authz.app.importing.convert import convert
from authz.app.importing.dialect import read_policy
from authz.app.importing.yaml_text import yaml_text
from authz.engine import Engine, EngineSettings
from authz.model import HttpRequest
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.state.memory import MemoryStore


class Imported:
    """The policy that `text` becomes: `text` and `value` are ours, `changes` the table."""

    def __init__(self, text: str, options: Options | None = None) -> None:
        source, document = read_policy(text.encode(), "theirs.yaml")
        conversion = convert(source, document, text.encode(), options or Options())
        self.source = source
        self.changes: list[Change] = conversion.changes
        self.text = yaml_text(conversion.value, conversion.comments, ("tools", "prompts", "limits"))
        self.value: dict[str, Any] = yaml.safe_load(self.text)
        assert self.value == conversion.value, "what is written is what is meant"
        self._now = 1_800_000_000.0  # a full hour
        ids = itertools.count()
        policies = compile_policies({"ours.yaml": self.text.encode()}, PolicyContext())
        assert not policies.problems, "\n".join(map(str, policies.problems))
        store = MemoryStore(self._clock, wall=self._clock, new_id=lambda: str(next(ids)))
        settings = EngineSettings()
        self._engine = Engine(policies, store, (), settings, clock=self._clock, new_id=lambda: "imported")

    def allows(self, tool: str, arguments: Any = None, *, later: float = 0.0) -> bool:
        """Whether this call passes, `later` seconds after the one before."""
        self._now += later
        params = {"name": tool, "arguments": arguments if arguments is not None else {}}
        return self.asks("tools/call", params)

    def asks(self, method: str, params: Any) -> bool:
        """Whether any request passes."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        headers["content-length"] = str(len(body))
        request = HttpRequest("POST", "/mcp", "mcp.example", headers, body, size=len(body), source_address="192.0.2.1")
        return asyncio.run(self._engine.check(request)).allowed

    @property
    def now(self) -> float:
        return self._now

    def _clock(self) -> float:
        return self._now


def written(name: str, text: str, directory: Path) -> Path:
    """A file with this text."""
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path
