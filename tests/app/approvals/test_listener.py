"""The listener itself: addresses, limits of size and time, open pages, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from pathlib import Path

import httpx2
import pytest
from approval_office import Office, asked

from authz.app.approvals.desk import Desk
from authz.app.approvals.events import Events
from authz.app.approvals.listener import Listener
from authz.app.approvals.shell import Shell
from authz.app.approvals.watch import MOST_EACH, Crowded, Watch
from authz.app.settings.values import Address
from authz.errors import SettingsError, StoreError


@pytest.fixture
async def served(office: Office):
    """The listener on a port of its own."""
    server = office.server()
    await server.start()
    yield server
    await server.stop()


async def test_it_listens_says_where_and_stops(office: Office):
    server = office.server()
    address = await server.start()
    assert server.url == f"http://127.0.0.1:{address.port}"
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as web:
        answer = await web.get("/login")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        await server.stop()
        with pytest.raises(httpx2.TransportError):
            await web.get("/login")


async def test_a_unix_socket_has_its_permissions_and_is_gone_afterwards(office: Office, tmp_path):
    path = tmp_path / "page.sock"
    server = office.server(address=Address(path=str(path)), url="https://page.example", socket_mode=0o600)
    await server.start()
    assert server.url == "https://page.example"
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
    transport = httpx2.AsyncHTTPTransport(uds=str(path))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        assert (await web.get("/login")).status_code == 200
        assert (await web.get("/login", headers={"host": "page.example"})).status_code == 200
        assert (await web.get("/login", headers={"host": "evil.example"})).status_code == 400
    await server.stop()
    assert not path.exists()


async def test_an_address_that_is_taken_or_not_ours_is_said(office: Office, served, tmp_path):
    port = int(served.url.rpartition(":")[2])
    for address, says in (
        (Address("127.0.0.1", port), f"approvals: cannot listen on 127.0.0.1:{port}: address already in use"),
        (Address("192.0.2.1", 0), "approvals: cannot listen on 192.0.2.1:0: cannot assign requested address"),
        (Address("no.such.invalid", 0), "approvals: cannot listen on no.such.invalid:0: "),
        (Address(path=f"{tmp_path}/none/a"), f"approvals: unix:{tmp_path}/none/a: expected a directory"),
        (Address(path=str(tmp_path)), f"approvals: unix:{tmp_path}: expected no file or a stale socket"),
    ):
        with pytest.raises(SettingsError) as caught:
            await office.server(address=address, url="https://x").start()
        assert str(caught.value).startswith(says)
    assert [Path(name).name for name in os.listdir(tmp_path)] == ["approvers.yaml"]


async def test_a_listener_that_stopped_in_the_middle_of_an_answer_ends_it(office: Office, served):
    web = await office.web("dana", served)
    cookie = f"approvals={web.cookies['approvals']}"
    client = httpx2.AsyncClient(base_url=served.url, trust_env=False, headers={"cookie": cookie})
    async with client, client.stream("GET", "/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 3000"
        began = asyncio.get_running_loop().time()
        await served.stop()
        assert asyncio.get_running_loop().time() - began < 2.0


async def raw(url: str, text: bytes, seconds: float = 5.0) -> bytes:
    """What comes back for these bytes until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(text)
    try:
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()


async def listening(app, **more) -> tuple[Listener, str]:
    listener = Listener(app, Address("127.0.0.1", 0), socket_mode=0o600, **more)
    address, bound = listener.bind()
    await listener.start(bound)
    return listener, str(address)


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_never_ends_ends_the_connection_at_once_and_after_an_answer(begun):
    listener, url = await listening(hello, head_time=0.05)
    assert await raw(url, begun) == b""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        writer.write(begun or b"G")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
    finally:
        writer.close()
        await listener.stop()


async def test_a_head_that_is_too_large_is_refused(served):
    assert b" 400 " in await raw(served.url, b"GET /" + b"x" * 40_000)


async def test_a_body_that_does_not_come_is_given_up(served, monkeypatch):
    monkeypatch.setattr("authz.app.approvals.shell.BODY_TIME", 0.05)
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nab"
    answer = await raw(served.url, head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"expected the body sooner\n")


async def test_a_decision_whose_sender_goes_before_its_end_is_not_taken(office: Office, served):
    id_ = (await office.file_request()).id
    token = office.bearer("dana")["authorization"]
    head = f"POST /api/v1/requests/{id_}/approve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: {token}\r\nContent-Length: "
    _, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    writer.write(f'{head}30\r\n\r\n{{"comment":'.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    whole = await raw(served.url, f"{head}1\r\nConnection: close\r\n\r\n{{".encode())
    assert whole.startswith(b"HTTP/1.1 400 ")  # the listener has gone on, past the one before
    assert await office.status(id_) == "pending"


async def test_an_answer_that_takes_too_long_is_given_up(caplog):
    async def slow(scope, receive, send):
        await asyncio.sleep(10)

    transport = httpx2.ASGITransport(app=Shell(slow, streams=frozenset(), answer_time=0.01))
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as web:
        answer = await web.get("/")
    assert (answer.status_code, answer.text) == (503, "this took too long\n")
    assert "approvals: GET / took too long and was given up" in caplog.text

    async def slow_in_the_middle(scope, receive, send):
        await hello(scope, receive, lambda message: send({**message, "more_body": True}))
        await asyncio.sleep(10)

    transport = httpx2.ASGITransport(app=Shell(slow_in_the_middle, streams=frozenset(), answer_time=0.01))
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as web:
        with pytest.raises(TimeoutError):
            await web.get("/")


async def test_what_is_no_http_is_left_alone():
    called = []

    async def app(scope, receive, send):
        called.append(scope)

    await Shell(app, streams=frozenset())({"type": "websocket"}, None, None)  # type: ignore[arg-type]
    assert called == []


# ------------------------------------------------------------------------------------------------------ open pages


async def test_an_open_page_hears_that_something_it_may_see_has_changed(office: Office, served):
    web = await office.web("dana", served)
    cookie = f"approvals={web.cookies['approvals']}"
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False, headers={"cookie": cookie}) as client:
        state = (await client.get("/")).text.partition('data-state="')[2][:16]
        async with client.stream("GET", f"/events?since={state}", timeout=5) as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            lines = stream.aiter_lines()
            assert [await anext(lines), await anext(lines)] == ["retry: 3000", ""]
            await office.file_request(asked(by=(("group:billing",),)))  # none of dana's business
            await office.file_request()
            got = [await anext(lines) for _ in range(3)]
    assert got[0].startswith("id: ")
    assert got[1:] == ["event: change", "data: 1"]


async def test_a_page_that_was_open_too_long_without_a_session_is_left(office: Office):
    server = office.server()
    web = await office.web(server=server)
    assert (await web.get("/events")).status_code == 401


async def test_a_stream_ends_with_the_session_and_shows_that_it_lives(office: Office):
    from starlette.requests import Request

    watch = Watch(office.store, lambda _: None)
    visitors = iter([object(), object(), None])

    class Door:
        def visitor(self, request):
            return next(visitors)

    events = Events(watch, None, Door(), None, beat=0.01)  # type: ignore[arg-type]
    with watch.listening("dana") as listener:
        lines = [line async for line in events._lines(Request({"type": "http"}), listener, "")]
    assert lines == [b"retry: 3000\n\n", b": here\n\n", b": here\n\n"]


async def test_there_are_only_so_many_open_pages(office: Office):
    watch = Watch(office.store, lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("authz.app.approvals.watch.MOST", MOST_EACH + 1)
        places = [watch.listening("dana") for _ in range(MOST_EACH)]
        for place in places:
            place.__enter__()
        with pytest.raises(Crowded):
            watch.listening("dana").__enter__()
        with watch.listening("erin"), pytest.raises(Crowded):
            watch.listening("frank").__enter__()
        for place in places:
            place.__exit__(None, None, None)
        with watch.listening("dana"):
            pass


async def test_where_there_is_no_place_the_page_says_so(office: Office, monkeypatch):
    monkeypatch.setattr("authz.app.approvals.watch.MOST", 0)
    web = await office.web("dana")
    answer = await web.get("/events")
    assert answer.status_code == 503
    assert "Too many pages are open." in answer.text


async def test_the_store_is_asked_once_for_all_and_a_gauge_tells_what_waits(office: Office, caplog, monkeypatch):
    pending: list[float] = []
    asked_for = []
    changes = office.store.changes

    async def counted():
        asked_for.append(1)
        if len(asked_for) in (2, 3):
            raise StoreError("down")
        return await changes()

    monkeypatch.setattr(office.store, "changes", counted)
    await office.file_request()
    watch = Watch(office.store, pending.append, busy=0.01, idle=0.01)
    task = asyncio.create_task(watch.run())
    with watch.listening("dana") as one, watch.listening("erin") as other:
        async with asyncio.timeout(5):
            while len(asked_for) < 6:
                await asyncio.sleep(0.01)
        assert pending == [1.0]
        assert one.news.is_set()
        assert other.news.is_set()
    task.cancel()
    assert caplog.text.count("the store does not tell what is pending: down") == 1


def test_free_ports_are_bound_for_ipv6_too():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    listener = Listener(hello, Address("::1", 0), socket_mode=0o600)
    address, bound = listener.bind()
    bound.close()
    assert str(address) == f"[::1]:{address.port}"


@pytest.mark.parametrize("begun", [b"", b"GET /", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"])
async def test_whoever_opens_many_connections_and_sends_no_request_keeps_nobody_out(served, monkeypatch, begun):
    monkeypatch.setattr("authz.app.approvals.listener.CONNECTIONS", 5)
    port = int(served.url.rpartition(":")[2])
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
    for _, writer in opened:
        writer.write(begun)
    try:
        async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as web:
            assert (await web.get("/login")).status_code == 200
            async with asyncio.timeout(5):  # of the others the oldest have gone
                assert [await reader.read() for reader, _ in opened[:16]] == [b""] * 16
            assert (await web.get("/login")).status_code == 200
    finally:
        for _, writer in opened:
            writer.close()


async def test_an_answer_that_is_under_way_gives_its_place_to_nobody(monkeypatch):
    monkeypatch.setattr("authz.app.approvals.listener.CONNECTIONS", 2)
    going_on = asyncio.Event()

    async def slow(scope, receive, send):
        await going_on.wait()
        await hello(scope, receive, send)

    listener, url = await listening(slow)
    try:
        asking = [asyncio.create_task(raw(url, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")) for _ in range(2)]
        await asyncio.sleep(0.05)
        with contextlib.suppress(ConnectionError):
            assert await raw(url, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n") == b""
        going_on.set()
        assert [answer.endswith(b"ok") for answer in await asyncio.gather(*asking)] == [True, True]
    finally:
        await listener.stop()


async def test_calls_go_on_between_the_pages_that_are_told(office: Office):
    watch = Watch(office.store, lambda _: None)
    loop = asyncio.get_running_loop()
    done: list[str] = []

    async def page(listener) -> None:
        await listener.news.wait()
        done.append("page")

    def turn() -> None:
        done.append("turn")
        if done.count("page") < 3:
            loop.call_soon(turn)

    with watch.listening("dana") as one, watch.listening("dana") as two, watch.listening("erin") as three:
        pages = [asyncio.create_task(page(listener)) for listener in (one, two, three)]
        turn()
        watching = asyncio.create_task(watch.run())
        async with asyncio.timeout(5):
            await asyncio.gather(*pages)
        watching.cancel()
    first, second, third = (at for at, what in enumerate(done) if what == "page")
    assert "turn" in done[first:second]
    assert "turn" in done[second:third]


async def test_what_an_approver_sees_is_found_once_for_all_open_pages(office: Office, served, monkeypatch):
    looked = []
    visible = Desk.visible
    monkeypatch.setattr(Desk, "visible", lambda self, who, all_: looked.append(who.id) or visible(self, who, all_))
    async with contextlib.AsyncExitStack() as pages:
        for name in ("dana", "dana", "dana", "erin"):
            web = await office.web(name, served)
            cookie = f"approvals={web.cookies['approvals']}"
            client = httpx2.AsyncClient(base_url=served.url, trust_env=False, headers={"cookie": cookie})
            stream = await pages.enter_async_context(client.stream("GET", "/events"))
            lines = stream.aiter_lines()
            while await anext(lines) != "data: 0":
                pass
    assert sorted(looked) == ["dana", "erin"]
