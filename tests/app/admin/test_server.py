"""The operator's listener: what it answers, to whom it does not wait, and that it is not felt by calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from authz.app.admin import AdminServer
from authz.app.metrics import Metrics
from authz.audit import Record
from authz.errors import SettingsError
from authz.model import Decision, Effect, Message, MessageKind, Reason

HOST = "127.0.0.1"
DECISION = Decision("d", Effect.ALLOW, Reason.ALLOWED, Message(MessageKind.REQUEST, "tools/call", 1), "valkey", "read")


@dataclass
class State:
    answer: tuple[bool, str] = (True, "ready")
    description: dict[str, Any] = field(default_factory=lambda: {"revision": "abc", "servers": ["valkey"]})

    def ready(self) -> tuple[bool, str]:
        return self.answer

    def describe(self) -> Mapping[str, Any]:
        return self.description

    def files(self) -> Mapping[str, Any]:
        return {"files": {"bank.yaml": {"state": "accepted"}}}


@dataclass
class Admin:
    metrics: Metrics
    state: State
    server: AdminServer
    port: int = 0

    async def send(self, raw: bytes, until: bytes | None = None) -> bytes:
        """All that comes back for these bytes, to the end of the connection or to `until`."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            writer.write(raw)
            async with asyncio.timeout(10):
                return await (reader.read() if until is None else reader.readuntil(until))
        finally:
            writer.close()

    async def ask(self, path: str, method: str = "GET", headers: str = "") -> tuple[int, str, bytes]:
        """Status, head and body."""
        raw = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n"
        head, _, body = (await self.send(raw.encode())).partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # the server says nothing of its connections
            await asyncio.sleep(0.01)


async def make(**settings: Any) -> Admin:
    metrics, state = Metrics(), State()
    metrics.set_names({"valkey": frozenset({"read"})})
    admin = Admin(metrics, state, AdminServer(metrics, state, **settings))
    admin.port = await admin.server.start(HOST, 0)
    return admin


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    admin = await make()
    yield admin
    await admin.server.stop()


# -------------------------------------------------------------------------------------------------------------- pages


async def test_metrics_come_in_the_format_that_was_asked_for(admin: Admin) -> None:
    admin.metrics.write(Record(0.0, DECISION))
    status, head, body = await admin.ask(
        "/metrics?x=1", headers="Accept: application/openmetrics-text;version=1.0.0\r\n"
    )
    assert status == 200
    assert "application/openmetrics-text; version=1.0.0" in head
    families = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"mcp_authz_decisions", "mcp_authz_decision_duration_seconds", "process_cpu_seconds"} <= families
    status, head, body = await admin.ask("/metrics")
    assert "text/plain; version=0.0.4" in head
    assert b'mcp_authz_decisions_total{effect="allow",reason="allowed",server="valkey",tool="read"} 1.0' in body


async def test_health_and_readiness_say_why(admin: Admin) -> None:
    assert (await admin.ask("/livez"))[::2] == (200, b"alive\n")
    assert (await admin.ask("/readyz"))[::2] == (200, b"ready\n")
    admin.state.answer = (True, "ready, degraded\nbank\udcff.yaml:3:1: tools: expected a mapping\n")
    degraded = b"ready, degraded\nbank\\udcff.yaml:3:1: tools: expected a mapping\n"
    assert (await admin.ask("/readyz"))[::2] == (200, degraded)
    admin.state.answer = (False, "draining")
    assert (await admin.ask("/readyz"))[::2] == (503, b"draining\n")


async def test_the_state_of_the_policies_is_json(admin: Admin) -> None:
    status, head, body = await admin.ask("/policy")
    assert status == 200
    assert "content-type: application/json" in head.lower()
    assert json.loads(body) == {"revision": "abc", "servers": ["valkey"]}


async def test_how_each_file_stands_is_json_too(admin: Admin) -> None:
    status, head, body = await admin.ask("/api/policies")
    assert (status, json.loads(body)) == (200, {"files": {"bank.yaml": {"state": "accepted"}}})
    assert "content-type: application/json" in head.lower()
    assert (await admin.ask("/api/policies", "POST"))[0] == 405


async def test_browsers_are_told_not_to_guess_or_keep(admin: Admin) -> None:
    head = (await admin.ask("/metrics"))[1].lower()
    assert "x-content-type-options: nosniff" in head
    assert "cache-control: no-store" in head


@pytest.mark.parametrize("path", ["/", "/metrics/", "/debug/pprof", "/%6detrics", "//metrics", "http://a/metrics"])
async def test_an_unknown_path_is_not_found_and_the_known_ones_are_told(admin: Admin, path: str) -> None:
    assert (await admin.ask(path))[::2] == (404, b"expected one of /api/policies, /livez, /metrics, /policy, /readyz\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
async def test_nothing_can_be_changed(admin: Admin, method: str) -> None:
    status, head, body = await admin.ask("/policy", method)
    assert (status, body) == (405, b"expected GET or HEAD\n")
    assert "allow: get, head" in head.lower()


async def test_head_has_no_body(admin: Admin) -> None:
    status, head, body = await admin.ask("/livez", "HEAD")
    assert (status, body) == (200, b"")
    assert "content-length: 6" in head.lower()


async def test_what_breaks_inside_is_not_told_outside(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    admin.state.description = {"secret": object()}
    assert (await admin.ask("/policy"))[::2] == (500, b"failed; the reason is in the log\n")
    assert "admin: /policy failed" in caplog.text
    assert (await admin.ask("/livez"))[0] == 200


# -------------------------------------------------------------------------------------------------------- connections


async def test_a_connection_serves_one_request_after_another(admin: Admin) -> None:
    one, last = (
        b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    answer = await admin.send(one + one + last)
    assert answer.count(b"alive\n") == 2
    assert answer.endswith(b"ready\n")


async def test_a_body_is_not_read_and_ends_the_connection(admin: Admin) -> None:
    raw = b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    assert (await admin.send(raw)).count(b"alive\n") == 1
    raw = b"POST /policy HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
    assert b"405" in await admin.send(raw)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, b"431"),
        (b"G" * 70_000, b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /livez\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_ends(admin: Admin, raw: bytes, status: bytes) -> None:
    answer = await admin.send(raw)
    assert answer.split()[1] == status
    assert b"connection: close" in answer.lower()


async def test_a_client_that_sends_slowly_is_cut_off() -> None:
    admin = await make(idle_timeout=0.05)
    assert await admin.send(b"GET /livez HT") == b""
    await admin.server.stop()


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    admin = await make(write_timeout=0.1)
    admin.state.description = {"large": "x" * 20_000_000}
    reader, writer = await asyncio.open_connection(HOST, admin.port, limit=1024)
    writer.write(b"GET /policy HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readline()
    assert admin.server._open
    await until(lambda: not admin.server._open)
    writer.transport.abort()
    await admin.server.stop()


async def test_connections_that_only_wait_make_room_for_new_ones() -> None:
    admin = await make(max_connections=3)
    waiting = [await asyncio.open_connection(HOST, admin.port) for _ in range(10)]
    assert (await admin.ask("/livez"))[0] == 200
    assert len(admin.server._open) <= 3
    for _, writer in waiting:
        writer.transport.abort()
    await admin.server.stop()


@pytest.mark.interpreted
async def test_beyond_the_connections_that_are_being_answered_there_is_no_room() -> None:
    admin = await make(max_connections=1)
    go_on = threading.Event()
    admin.metrics.render = lambda accept="": ("text/plain", b"x" * go_on.wait(10))  # type: ignore[method-assign]
    slow = asyncio.create_task(admin.ask("/metrics"))
    await until(lambda: admin.server._open and not admin.server._waiting)
    with pytest.raises((ConnectionError, IndexError)):
        await admin.ask("/livez")
    go_on.set()
    assert (await slow)[::2] == (200, b"x")
    await admin.server.stop()


async def test_stopping_ends_idle_connections_at_once(admin: Admin) -> None:
    reader, writer = await asyncio.open_connection(HOST, admin.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"alive\n")
    started = time.monotonic()
    await admin.server.stop()
    assert time.monotonic() - started < 5
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(HOST, admin.port)
    writer.transport.abort()


async def test_a_port_that_is_taken_stops_the_start(admin: Admin) -> None:
    with pytest.raises(SettingsError, match=rf"^admin: cannot listen on {HOST}:{admin.port}: .*address already in use"):
        await AdminServer(admin.metrics, admin.state).start(HOST, admin.port)


# ---------------------------------------------------------------------------------------------------- not felt by calls


@pytest.mark.interpreted
async def test_a_scrape_of_thousands_of_series_does_not_hold_up_the_event_loop(admin: Admin) -> None:
    admin.metrics.set_names({"valkey": frozenset(f"t{number}" for number in range(8000))})
    for number in range(8000):
        admin.metrics.write(Record(0.0, replace(DECISION, target=f"t{number}")))
    render, threads, turned = admin.metrics.render, [], threading.Event()

    def watched(accept: str = "") -> tuple[str, bytes]:
        threads.append(threading.current_thread().name)
        answer = render(accept)
        assert turned.wait(10), "the loop stands still until the page is there"
        return answer

    admin.metrics.render = watched  # type: ignore[method-assign]
    scrape = asyncio.create_task(admin.ask("/metrics"))
    await until(lambda: threads)
    assert (await admin.ask("/livez"))[0] == 200
    turned.set()
    assert (await scrape)[2].count(b"mcp_authz_decisions_total{") == 8000
    assert threads == ["admin_0"]


def test_the_admin_side_needs_no_grpc_and_no_metrics_library() -> None:
    check = "import sys, authz.app.admin; sys.exit(any(name in sys.modules for name in ('grpc', 'prometheus_client')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0  # noqa: S603 - our own words
