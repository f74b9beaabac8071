"""The calls of the demo and what each must get; a real MCP client or raw HTTP -> what the caller saw.

Knows nothing of processes and of how it is shown.
"""

from __future__ import annotations

import contextlib
import enum
import gzip
import http.client
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from authz.mcp.wording import DECISION_KEY

ALLOWED = "allowed"
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
_MODES = {MODERN: "auto", LEGACY: "legacy"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the caller saw: `allowed` or the reason it was given, how it came, and the text.

    `retry_after` is in seconds, 0 where the answer says nothing of it.
    """

    reason: str
    form: str
    text: str
    retry_after: float = 0.0


class Who(enum.StrEnum):
    """Who calls: the SDK's client in one of the two protocol eras, or somebody who writes HTTP by hand."""

    MODERN = "client, 2026-07-28"
    LEGACY = "client, 2025-11-25"
    RAW = "raw HTTP"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: who calls what, how often, and the reason that each must be answered with.

    `patient`: the call is made when the latest denial said that it may be. `contains`: text that must be in the answer.
    """

    who: Who
    what: str
    expected: str
    call: Call
    note: str
    repeat: int = 1
    patient: bool = False
    contains: str = ""


class Call(Protocol):
    """One call; raises nothing for a denial."""

    async def __call__(self, clients: Clients) -> Seen: ...


@dataclass(frozen=True, slots=True)
class Clients:
    """Two connected SDK clients, one for each era, the port for raw HTTP, and a person who can approve."""

    port: int
    sdk: Mapping[Who, Client]
    approver: Approver


@dataclass(frozen=True, slots=True)
class Approver:
    """Where people approve, and the token of one of them."""

    url: str
    token: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """tools/call by the SDK's client."""

    who: Who
    tool: str
    arguments: Mapping[str, Any]

    async def __call__(self, clients: Clients) -> Seen:
        try:
            result = await clients.sdk[self.who].call_tool(self.tool, dict(self.arguments))
        except MCPError as error:
            return Seen(
                str(_decision(error.error.data).get("reason")), f"error {error.error.code}", error.error.message
            )
        text = " ".join(part.text for part in result.content if part.type == "text")
        if not result.is_error:
            return Seen(ALLOWED, "result", text)
        decision = _decision(result.meta)
        retry = decision.get("retryAfterMs", 0) / 1000
        return Seen(str(decision.get("reason")), "tool error", text, retry)


@dataclass(frozen=True, slots=True)
class ApprovedCall:
    """A call that waits for a person's yes, which is given by the approvals API before it is made."""

    call: ToolCall
    comment: str = "invoice 17"

    async def __call__(self, clients: Clients) -> Seen:
        headers = {"authorization": f"Bearer {clients.approver.token}"}
        async with httpx2.AsyncClient(
            base_url=f"{clients.approver.url}/api/v1", headers=headers, trust_env=False
        ) as web:
            (waiting,) = (
                (await web.get("/requests", params={"tool": self.call.tool})).raise_for_status().json()["requests"]
            )
            said = await web.post(f"/requests/{waiting['id']}/approve", json={"comment": self.comment})
            said.raise_for_status()
        return await self.call(clients)


@dataclass(frozen=True, slots=True)
class RawCall:
    """One POST as it stands, with headers that no client library would send."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, clients: Clients) -> Seen:
        status, body = post(clients.port, self.body, self.headers)
        try:
            answer = json.loads(body)
            error = answer["error"]
        except (ValueError, KeyError, TypeError):
            return Seen(ALLOWED if status == http.client.OK else "", f"HTTP {status}", body.decode(errors="replace"))
        return Seen(
            str(_decision(error.get("data")).get("reason")),
            f"HTTP {status}, error {error['code']}",
            str(error["message"]),
        )


def post(port: int, body: bytes, headers: Mapping[str, str], path: str = "/mcp") -> tuple[int, bytes]:
    """POST to a loopback port; gives status and body. `headers` are beside those that MCP wants."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        wanted = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        connection.request("POST", path, body, {**wanted, **headers})
        response = connection.getresponse()
        return response.status, response.read()


def _decision(data: object) -> Mapping[str, Any]:
    """The machine-readable part of a denial, from `_meta` of a result or `data` of an error; {} if there is none."""
    if not isinstance(data, Mapping):
        return {}
    found = data.get(DECISION_KEY, data)
    return found if isinstance(found, Mapping) else {}


@asynccontextmanager
async def connect(port: int, approver: Approver) -> AsyncIterator[Clients]:
    """Connect both clients through Envoy; proxies of the environment are not used."""
    url = f"http://127.0.0.1:{port}/mcp"
    async with contextlib.AsyncExitStack() as stack:
        sdk: dict[Who, Client] = {}
        for who, version in ((Who.MODERN, MODERN), (Who.LEGACY, LEGACY)):
            web = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=30))
            transport = streamable_http_client(url, http_client=web)
            mode: Any = _MODES[version]
            sdk[who] = await stack.enter_async_context(Client(transport, mode=mode, read_timeout_seconds=20))
        yield Clients(port, sdk, approver)


def _tool(
    who: Who, tool: str, expected: str, note: str, *, repeat: int = 1, patient: bool = False, **arguments: Any
) -> Row:
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return Row(who, f"{tool}({shown})", expected, ToolCall(who, tool, arguments), note, repeat, patient)


def _raw(what: str, expected: str, note: str, body: bytes, **headers: str) -> Row:
    return Row(
        Who.RAW, what, expected, RawCall(body, {name.replace("_", "-"): value for name, value in headers.items()}), note
    )


def _message(tool: str, **more: Any) -> bytes:
    params = {"name": tool, "arguments": {}, **more}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


_META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
_TWICE = _message("get_value").replace(b'"get_value"', b'"get_value", "name": "delete_cache"')

_TRANSFER: Mapping[str, Any] = {"to": "ACME", "amount": 100}

ROWS: Sequence[Row] = (
    _tool(Who.MODERN, "start_import_job", ALLOWED, "3 in any 10 s", repeat=3),
    _tool(Who.MODERN, "start_import_job", "rate_limited", "the 4th is one too many"),
    _tool(Who.MODERN, "get_value", ALLOWED, "a rule allows it", key="app:greeting"),
    _tool(Who.LEGACY, "set_value", ALLOWED, "the arguments fit", key="app:greeting", value="hi", ttl=60),
    _tool(Who.LEGACY, "set_value", "arguments_invalid", "this key does not", key="sys:root", value="hi", ttl=60),
    _tool(Who.MODERN, "set_value", "arguments_invalid", "nor does this ttl", key="app:a", value="hi", ttl=86400),
    _tool(Who.MODERN, "delete_cache", "rule_denied", "a rule denies it"),
    _tool(Who.LEGACY, "delete_cache", "rule_denied", "the same in the older protocol"),
    _tool(Who.MODERN, "drop_tables", "default_denied", "no rule names it"),
    _tool(Who.LEGACY, "transfer_funds", "approval_required", "a person must say yes first", **_TRANSFER),
    Row(
        Who.LEGACY,
        "the same, once a person has said yes",
        ALLOWED,
        ApprovedCall(ToolCall(Who.LEGACY, "transfer_funds", _TRANSFER)),
        "approved by the API, for exactly this call",
    ),
    _tool(Who.LEGACY, "transfer_funds", "approval_required", "a yes is good for one call", **_TRANSFER),
    _tool(Who.LEGACY, "transfer_funds", "approval_required", "and for no other", to="ACME", amount=101),
    _raw(
        "get_value, and name a second time: delete_cache",
        "malformed",
        "readers differ on which one counts",
        _TWICE,
        mcp_protocol_version=LEGACY,
    ),
    _raw(
        "delete_cache, gzipped",
        "malformed",
        "what cannot be read does not pass",
        gzip.compress(_message("delete_cache"), mtime=0),
        mcp_protocol_version=LEGACY,
        content_encoding="gzip",
    ),
    _raw(
        "get_value in the header, delete_cache in the body",
        "header_mismatch",
        "both must agree, and the body counts",
        _message("delete_cache", _meta=_META),
        mcp_protocol_version=MODERN,
        mcp_method="tools/call",
        mcp_name="get_value",
    ),
    _tool(Who.MODERN, "start_import_job", ALLOWED, "after the time it was told to wait", patient=True),
)
