"""Counters over the operators' listener: who may look, who may reset, and what a body may not do to it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from authz.app.admin import AdminServer, Limits, Token
from authz.app.metrics import Metrics
from authz.errors import StoreError
from authz.model import Charge, Limit
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed, Usage

HOST = "127.0.0.1"
TOKEN = "correct-horse-battery-staple"
ALICE = (("principal", "corp\n\nalice"),)
BEARER = f"Authorization: Bearer {TOKEN}\r\n"
JSON = "Content-Type: application/json\r\n"


class State:
    def ready(self) -> tuple[bool, str]:
        return True, "ready"

    def describe(self) -> Mapping[str, Any]:
        return {}


@dataclass
class Failing:
    """A store that is away, or broken in a way that nobody expects."""

    error: Exception = field(default_factory=lambda: StoreError("valkey: no answer within 20 ms"))

    async def usage(self, most: int = 0, *, server: str = "", limit: str = "") -> Sequence[Usage]:
        raise self.error

    async def reset(self, server: str, limit: str = "") -> int:
        raise self.error


@dataclass
class Admin:
    server: AdminServer
    port: int

    async def send(self, *pieces: bytes, end: bool = False) -> bytes:
        """All that comes back for these bytes, which are sent apart; `end`: then the client has nothing more to say."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.02 if len(pieces) > 1 else 0)
            if end:
                writer.write_eof()
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()

    async def ask(
        self, path: str, method: str = "GET", headers: str = "", body: bytes = b"", host: str = HOST
    ) -> tuple[int, str, Any]:
        """Status, head and JSON."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}{length}\r\n"
        answer, _, text = (await self.send(head.encode() + body)).partition(b"\r\n\r\n")
        return int(answer.split()[1]), answer.decode(), json.loads(text)

    async def reset(self, value: Any, headers: str = BEARER + JSON) -> tuple[int, str, Any]:
        """What comes back for a reset with this as JSON."""
        return await self.ask("/api/limits/reset", "POST", headers, json.dumps(value).encode())


@pytest.fixture
async def store() -> MemoryStore:
    """Alice has used 3 of 5 writes and 1 of 9 reads of bank; anybody 1 of 5 writes of shop. Time stands still."""
    store = MemoryStore(lambda: 1000.0, wall=lambda: 1e9)
    for server, name, most, descriptor, cost in (
        ("bank", "writes", 5, ALICE, 3.0),
        ("bank", "reads", 9, ALICE, 1.0),
        ("shop", "writes", 5, (), 1.0),
    ):
        limit = Limit(name, (server, name), most, 60.0, server)
        assert (await store.discharge(Attempt((Owed((Charge(limit, descriptor, cost),)),)))).paid
    return store


async def make(counters: Any, token: str = TOKEN, **settings: Any) -> Admin:
    server = AdminServer(Metrics(), State(), limits=Limits(counters, Token(token.encode())), **settings)
    return Admin(server, await server.start(HOST, 0))


@pytest.fixture
async def admin(store: MemoryStore) -> AsyncIterator[Admin]:
    admin = await make(store)
    yield admin
    await admin.server.stop()


async def counted(store: MemoryStore) -> set[tuple[str, str]]:
    return {(one.limit.server, one.limit.name) for one in await store.usage()}


ALL = {("bank", "writes"), ("bank", "reads"), ("shop", "writes")}


# ------------------------------------------------------------------------------------------------------------- to look


async def test_counters_are_shown_with_who_used_how_much_and_when_it_is_over(admin: Admin) -> None:
    status, head, found = await admin.ask("/api/limits?server=bank&limit=writes")
    assert status == 200
    assert "content-type: application/json" in head.lower()
    assert found == {
        "counters": [
            {
                "server": "bank",
                "limit": "writes",
                "algorithm": "sliding_window",
                "window": 60.0,
                "who": "principal corp/alice",
                "anonymous": False,
                "shared": False,
                "used": 3.0,
                "max": 5,
                "resets_in": 60.0,
            }
        ],
        "complete": True,
    }


@pytest.mark.parametrize(
    ("query", "names", "complete"),
    [
        ("", ["writes", "reads", "writes"], True),
        ("?most=1000", ["writes", "reads", "writes"], True),
        ("?most=2", ["writes", "reads"], False),
        ("?server=bank", ["writes", "reads"], True),
        ("?server=bank&most=1", ["writes"], False),
        ("?server=bank&most=2", ["writes", "reads"], True),
        ("?server=shop&most=1", ["writes"], True),
        ("?limit=writes", ["writes", "writes"], True),
        ("?limit=%77rites&server=shop", ["writes"], True),
        ("?server=none", [], True),
    ],
)
async def test_a_query_chooses_among_them(admin: Admin, query: str, names: list[str], complete: bool) -> None:
    status, _, found = await admin.ask(f"/api/limits{query}")
    assert (status, [one["limit"] for one in found["counters"]], found["complete"]) == (200, names, complete)


NAMES = "expected server, limit and most in the query, each at most once"
NUMBER = "most: expected a whole number from 1 to 1000"
FORM = "expected a query such as server=NAME&limit=NAME&most=100"


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("most=0", NUMBER),
        ("most=1001", NUMBER),
        ("most=-1", NUMBER),
        ("most=", NUMBER),
        ("most=100000000000000000", NUMBER),
        ("most=%D9%A3", NUMBER),
        ("servers=bank", NAMES),
        ("server=a&server=b", NAMES),
        ("server=%ff", FORM),
        ("server", FORM),
        ("a=1&b=2&c=3&d=4", FORM),
    ],
)
async def test_a_query_that_cannot_be_read_is_a_problem(admin: Admin, query: str, detail: str) -> None:
    status, head, found = await admin.ask(f"/api/limits?{query}")
    assert found == {"type": "about:blank", "title": "Unreadable", "status": 400, "detail": detail}
    assert status == 400
    assert "content-type: application/problem+json" in head.lower()


@pytest.mark.parametrize("header", ["Origin: http://127.0.0.1:9464", "Origin: null", "Sec-Fetch-Site: cross-site"])
async def test_web_pages_get_nothing(admin: Admin, store: MemoryStore, header: str) -> None:
    text = "expected a program or an address line, got a web page"
    for status, _, found in (
        await admin.ask("/api/limits", headers=f"{header}\r\n"),
        await admin.reset({"server": "bank"}, f"{BEARER}{JSON}{header}\r\n"),
    ):
        assert (status, found["detail"]) == (403, text)
    assert await counted(store) == ALL


async def test_a_browsers_address_line_may_look(admin: Admin) -> None:
    assert (await admin.ask("/api/limits", headers="Sec-Fetch-Site: none\r\n"))[0] == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "[::1]:9464", "[::1]"])
async def test_by_an_address_anybody_may_look(admin: Admin, host: str) -> None:
    assert (await admin.ask("/api/limits", host=host))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "localhost.evil.example", "10.0.0.1.nip.io", ""])
async def test_by_a_name_only_who_has_the_token_may_look(admin: Admin, host: str) -> None:
    status, _, found = await admin.ask("/api/limits", host=host)
    text = "expected an IP address or localhost as Host, or the token of admin_token"
    assert (status, found["detail"]) == (403, text)
    assert (await admin.ask("/api/limits", host=host, headers=BEARER))[0] == 200


async def test_that_the_store_is_away_is_a_problem_and_not_an_empty_list() -> None:
    admin = await make(Failing())
    for status, _, found in (await admin.ask("/api/limits"), await admin.reset({"server": "bank"})):
        assert (status, found["detail"]) == (503, "valkey: no answer within 20 ms")
    await admin.server.stop()


async def test_what_breaks_inside_is_not_told_outside(caplog: pytest.LogCaptureFixture) -> None:
    admin = await make(Failing(ValueError("secret")))
    answer = await admin.send(b"GET /api/limits HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"failed; the reason is in the log\n")
    assert "admin: /api/limits failed" in caplog.text
    await admin.server.stop()


async def test_the_pages_are_told_and_take_their_methods_only(admin: Admin) -> None:
    answer = await admin.send(b"GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    known = b"/api/limits, /api/limits/reset, /api/policies, /livez, /metrics, /policy, /readyz"
    assert answer.endswith(b"expected one of " + known + b"\n")
    answer = await admin.send(b"GET /api/limits/reset HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"allow: post\r\n" in answer.lower()
    assert answer.endswith(b"expected POST\n")
    answer = await admin.send(b"POST /api/limits HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"expected GET or HEAD\n")


# ------------------------------------------------------------------------------------------------------------ to reset


@pytest.mark.parametrize(
    ("value", "forgotten", "left"),
    [
        ({"server": "bank"}, 2, {("shop", "writes")}),
        ({"server": "bank", "limit": "writes"}, 1, {("bank", "reads"), ("shop", "writes")}),
        ({"server": "none"}, 0, ALL),
    ],
)
async def test_whoever_has_the_token_resets(
    admin: Admin,
    store: MemoryStore,
    value: dict[str, str],
    forgotten: int,
    left: set[tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        status, _, found = await admin.reset(value)
    assert (status, found) == (
        200,
        {"server": value["server"], "limit": value.get("limit", ""), "forgotten": forgotten},
    )
    assert await counted(store) == left
    what = repr(value["limit"]) if "limit" in value else "all"
    assert f"admin: limits of {value['server']!r} reset ({what}): {forgotten} counters" in caplog.messages


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer wrong-horse-battery-staple\r\n",
        f"Authorization: Bearer {TOKEN}x\r\n",
        f"Authorization: Basic {TOKEN}\r\n",
        f"Authorization: {TOKEN}\r\n",
        "Authorization: Bearer \xff\r\n",
        BEARER + "Authorization: Bearer other\r\n",
    ],
)
async def test_without_the_token_nothing_is_reset(
    admin: Admin, store: MemoryStore, header: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, head, found = await admin.reset({"server": "bank"}, header + JSON)
    assert (status, found["detail"]) == (401, "expected the bearer token of the setting admin_token")
    assert 'www-authenticate: bearer realm="admin"' in head.lower()
    assert await counted(store) == ALL
    assert caplog.messages == ["admin: limits not reset: a request without the token of admin_token"]


@pytest.mark.parametrize("header", ["", BEARER, "Authorization: Bearer \r\n"])
async def test_where_no_token_is_set_nobody_resets_and_the_setting_is_named(store: MemoryStore, header: str) -> None:
    admin = await make(store, token="")
    status, _, found = await admin.reset({"server": "bank"}, header + JSON)
    text = "expected the setting admin_token (file:PATH or env:NAME): without it nothing can be reset"
    assert (status, found["detail"]) == (403, text)
    assert await counted(store) == ALL
    await admin.server.stop()


@pytest.mark.parametrize("types", ["", "Content-Type: text/plain\r\n", JSON + JSON])
async def test_what_is_not_said_to_be_json_is_refused(admin: Admin, types: str) -> None:
    status, _, found = await admin.reset({"server": "bank"}, BEARER + types)
    assert (status, found["detail"]) == (415, "expected the content type application/json")


OBJECT = "expected an object with server, and limit where only one is meant"
SERVER = "server: expected the name of a server"
LIMIT = "limit: expected the name of a limit, or no such member for all of the server's"
TEXT = 'expected JSON such as {"server": "NAME", "limit": "NAME"}'


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", TEXT),
        (b"{", TEXT),
        (b"\xff", TEXT),
        (b"[" * 4000, TEXT),
        (b'["bank"]', OBJECT),
        (b'{"server": "bank", "limits": "x"}', OBJECT),
        (b"{}", SERVER),
        (b'{"server": ""}', SERVER),
        (b'{"server": 1}', SERVER),
        (b'{"server": "bank", "limit": ""}', LIMIT),
        (b'{"server": "bank", "limit": null}', LIMIT),
    ],
)
async def test_a_body_that_names_nothing_resets_nothing(
    admin: Admin, store: MemoryStore, body: bytes, detail: str
) -> None:
    status, _, found = await admin.ask("/api/limits/reset", "POST", BEARER + JSON, body)
    assert (status, found["detail"]) == (400, detail)
    assert await counted(store) == ALL


# ----------------------------------------------------------------------------------------------------------- its body

HEAD = f"POST /api/limits/reset HTTP/1.1\r\nHost: a\r\n{BEARER}{JSON}".encode()
BODY = b'{"server": "bank"}'
DONE = b'{"server": "bank", "limit": "", "forgotten": 2}\n'
NEXT = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        (b"Content-Length: 18\r\n\r\n" + BODY + NEXT,),
        (b"Content-Length: 18\r\n\r\n", BODY[:5], BODY[5:], NEXT),
        (b"Transfer-Encoding: chunked\r\n\r\n" + chunked(BODY, 1) + NEXT,),
        (b"Transfer-Encoding: chunked\r\n\r\n", chunked(BODY, 7) + NEXT),
    ],
)
async def test_a_body_is_read_however_it_comes_and_the_connection_goes_on(
    admin: Admin, rest: tuple[bytes, ...]
) -> None:
    answer = await admin.send(HEAD + rest[0], *rest[1:])
    assert DONE in answer
    assert answer.endswith(b"alive\n")


async def test_a_client_that_waits_to_be_asked_for_the_body_is_asked(admin: Admin) -> None:
    head = HEAD + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: 18\r\n\r\n"
    reader, writer = await asyncio.open_connection(HOST, admin.port)
    writer.write(head)
    async with asyncio.timeout(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await reader.read()).endswith(DONE)
    writer.close()


@pytest.mark.parametrize(
    "rest",
    [
        b"Expect: 100-continue\r\nContent-Length: 4097\r\n\r\n",
        b"Content-Length: 4097\r\n\r\n" + b"x" * 4097,
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 4097, 100),
        b"Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n" + b"x" * 5000,
    ],
)
async def test_a_body_that_is_too_long_is_not_read_to_its_end(admin: Admin, rest: bytes) -> None:
    answer = await admin.send(HEAD + rest)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"expected a body of at most 4096 bytes" in answer
    assert b"connection: close" in answer.lower()


async def test_a_body_as_long_as_may_be_is_read(admin: Admin) -> None:
    body = BODY + b" " * (4096 - len(BODY))
    assert (await admin.ask("/api/limits/reset", "POST", BEARER + JSON, body))[0] == 200


async def test_who_has_not_the_token_is_answered_without_a_body(admin: Admin) -> None:
    head = HEAD.replace(TOKEN.encode(), b"wrong") + b"Expect: 100-continue\r\nContent-Length: 18\r\n\r\n"
    answer = await admin.send(head)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()


async def test_a_body_that_comes_too_slowly_is_given_up(store: MemoryStore) -> None:
    admin = await make(store, body_timeout=0.05)
    answer = await admin.send(HEAD + b"Content-Length: 18\r\n\r\n" + BODY[:5])
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"expected the whole body within 0.05 s" in answer
    assert await counted(store) == ALL
    await admin.server.stop()


@pytest.mark.parametrize(
    ("rest", "end"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", False),
        (b"Content-Length: 18\r\n\r\n" + BODY[:5], True),
        (b"Transfer-Encoding: chunked\r\n\r\n" + chunked(BODY, 7)[:-5], True),
    ],
)
async def test_a_body_that_is_broken_or_ends_early_resets_nothing(
    admin: Admin, store: MemoryStore, rest: bytes, end: bool
) -> None:
    answer = await admin.send(HEAD + rest, end=end)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"expected a body as its head says" in answer
    assert await counted(store) == ALL


async def test_a_broken_body_that_nobody_reads_ends_the_connection(admin: Admin) -> None:
    answer = await admin.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert answer.endswith(b"alive\n")
