"""Requests for approval, people who may decide them, and the listener over both: in one process, with its own clock."""

from __future__ import annotations

import hashlib
import itertools
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from authz.app.approvals.enrol import add
from authz.app.approvals.options import ApprovalsOptions
from authz.app.approvals.server import ApprovalsServer
from authz.app.settings.values import Address
from authz.audit import RulingRecord
from authz.model import ApprovalRecord, ApprovalRequest
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC
HOST = "http://127.0.0.1:8600"


def asked(arguments: Any = None, *, tool: str = "delete_cache", **more: Any) -> ApprovalRequest:
    """A request for a call of `tool`; its digest follows from what it is."""
    params = {"arguments": {"key": "session:42"} if arguments is None else arguments, "name": tool}
    text = more.pop("params", None) or json.dumps(params, ensure_ascii=False, separators=(",", ":"))
    given: dict[str, Any] = {
        "digest": hashlib.sha256((text + str(sorted(more.items()))).encode("utf-8", "surrogatepass")).digest(),
        "owner": "corp/alice",
        "server": "valkey",
        "tool": tool,
        "principal": "corp/alice",
        "claim": "alice",
        "rule": f"tools.{tool}",
        "reason": "what is deleted is gone",
        "params": text,
        "timeout": 900.0,
        "by": (("group:dba",),),
        "categories": ("Destructive",),
        "risk": "high",
    }
    return ApprovalRequest(**{**given, **more})


class Office:
    """A store with a clock that moves when told, three approvers, and clients of the listener over it.

    `dana` and `erin` are of the group dba, `frank` of another, and `alice` is who asks (and of dba).
    """

    def __init__(self, directory: Path) -> None:
        self.now = 0.0
        ids = itertools.count(1)
        self.store = MemoryStore(
            lambda: self.now + 1000.0, wall=lambda: self.now + NOW, new_id=lambda: f"{next(ids):032x}"
        )
        self.file = directory / "approvers.yaml"
        people = {"dana": "dba", "erin": "dba", "alice": "dba", "frank": "billing"}
        self.tokens = {name: add(self.file, name, [group], "") for name, group in people.items()}
        self.rulings: list[RulingRecord] = []
        self._clients = AsyncExitStack()

    def server(self, **options: Any) -> ApprovalsServer:
        """A listener, not started."""
        given = {"address": Address("127.0.0.1", 0), "approvers": self.file, **options}
        return ApprovalsServer(
            self.store, ApprovalsOptions(**given), audit=self.rulings.append, clock=lambda: self.now + NOW
        )

    async def file_request(self, request: ApprovalRequest | None = None) -> ApprovalRecord:
        """What the store has of a request that is asked for now."""
        request = request or asked()
        discharge = await self.store.discharge(Attempt((Owed((), request),)))
        (standing,) = discharge.standings
        assert standing is not None
        record = await self.store.record(standing.id)
        assert record is not None
        return record

    async def status(self, id_: str) -> str:
        """How a request stands."""
        record = await self.store.record(id_)
        assert record is not None
        return record.status.value

    async def web(self, name: str = "", server: ApprovalsServer | None = None, **more: Any) -> httpx2.AsyncClient:
        """A browser's requests in this process, of nobody or logged in as `name`."""
        server = server or self.server()
        app = server.application(Address("127.0.0.1", 8600))
        headers = {"origin": HOST, "sec-fetch-site": "same-origin", **more.pop("headers", {})}
        transport = httpx2.ASGITransport(app=app, client=("192.0.2.7", 5000), raise_app_exceptions=False)
        client = httpx2.AsyncClient(transport=transport, base_url=HOST, headers=headers, **more)
        await self._clients.enter_async_context(client)
        if name:
            answer = await client.post("/login", data={"token": self.tokens[name]})
            assert answer.status_code == 303, answer.text
        return client

    def bearer(self, name: str) -> dict[str, str]:
        """The header with which a program asks."""
        return {"authorization": f"Bearer {self.tokens[name]}"}

    async def close(self) -> None:
        """Let go of the clients."""
        await self._clients.aclose()


def form_token(page: httpx2.Response) -> str:
    """The token that the forms of a page carry."""
    return page.text.partition('name="form_token" value="')[2].partition('"')[0]
