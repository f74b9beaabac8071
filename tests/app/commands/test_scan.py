"""`mcp-authz scan`: every transport, what it writes and keeps, what has drifted, and servers that mean harm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from authz.app.catalog import connect
from authz.app.commands.scan import Scan, run
from authz.app.demo import stack
from authz.app.demo.processes import Children
from authz.app.demo.server import build
from authz.errors import PolicyError, SettingsError
from authz.policy.catalog.load import parse_catalog
from authz.policy.compile.file import PolicyContext, compile_file

SERVER = str(Path(__file__).parents[2] / "support" / "listing_server.py")
READS = {"name": "get_it", "description": "Get it.", "inputSchema": {"type": "object", "properties": {}}}
DELETES = {"name": "delete_it", "description": "Delete it.", "inputSchema": {"type": "object"}}


@pytest.fixture
def listing(tmp_path: Path) -> Callable[..., list[str]]:
    """The command of a server that lists this."""

    def made(*tools: dict[str, Any], mode: str = "", **others: list[Any]) -> list[str]:
        file = tmp_path / "listed.json"
        file.write_text(json.dumps({"tools": list(tools), **others}))
        return [sys.executable, SERVER, str(file), *([mode] if mode else [])]

    return made


def scan(directory: Path, words: list[str], **more: Any) -> int:
    return run(Scan(words=words, directory=directory, **{"server": "srv", **more}))


def catalogue(directory: Path, name: str = "srv") -> Any:
    return parse_catalog((directory / "catalog" / f"{name}.yaml").read_bytes(), f"catalog/{name}.yaml")


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with Children(tmp_path_factory.mktemp("scanned")) as started:
        yield started


# ---------------------------------------------------------------------------------------------------- transports


@pytest.mark.parametrize(("transport", "path"), [("http", "/mcp"), ("sse", "/sse")])
def test_a_server_on_the_network_is_read(children: Children, tmp_path: Path, transport: str, path: str) -> None:
    port = stack.start_server(children, f"scanned-{transport}", transport=transport)
    assert scan(tmp_path, [f"http://127.0.0.1:{port}{path}"], source=["url=local"]) == 0
    found = catalogue(tmp_path)
    assert set(found.tools) >= {"get_value", "delete_cache", "transfer_funds"}
    assert found.tools["delete_cache"].categories == ("Destructive",)
    assert set(found.prompts) == {"review"}
    assert set(found.resources) == {"file:///project/readme.md"}
    assert found.protocol == ("2026-07-28" if transport == "http" else "2025-11-25")


async def test_a_server_of_the_older_era_is_read(children: Children) -> None:
    port = stack.start_server(children, "scanned-legacy")
    place = connect.Place(url=f"http://127.0.0.1:{port}/mcp")
    async with connect.connect(place, seconds=10, errors=sys.stderr, mode="legacy") as client:
        assert client.protocol_version == "2025-11-25"


@contextlib.contextmanager
def served(application: Any) -> Iterator[int]:
    """Serves an ASGI application; gives its port."""
    with stack.listening_socket() as listener:
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def test_where_there_is_no_newer_endpoint_the_older_transport_is_tried(tmp_path: Path) -> None:
    with served(build().sse_app(sse_path="/mcp")) as port:
        assert scan(tmp_path, [f"http://127.0.0.1:{port}/mcp"]) == 0
    found = catalogue(tmp_path)
    assert "get_value" in found.tools
    assert found.protocol == "2025-11-25"


def test_where_there_is_no_server_at_all_the_first_answer_is_told(tmp_path: Path) -> None:
    with (
        served(build().sse_app()) as port,
        pytest.raises(SettingsError, match=r"scan: http://127\.0\.0\.1:.*/nowhere: "),
    ):
        scan(tmp_path, [f"http://127.0.0.1:{port}/nowhere"])
    with pytest.raises(SettingsError, match=r"scan: http://127\.0\.0\.1:1/mcp: "):
        scan(tmp_path, ["http://127.0.0.1:1/mcp"])


def test_a_command_is_started_read_and_ended(tmp_path: Path, listing: Any, capsys: Any) -> None:
    assert scan(tmp_path, listing(READS, DELETES), server="") == 0
    found = catalogue(tmp_path, "listing-server")
    assert list(found.tools) == ["get_it", "delete_it"]
    assert found.source == {"version": "1.2.3"}
    out = capsys.readouterr().out
    assert f"wrote {tmp_path / 'catalog' / 'listing-server.yaml'}: 2 tools: 1 Read, 1 Destructive" in out
    assert f"wrote {tmp_path / 'listing-server.yaml'}: to start from" in out
    assert "require_approval, 10 in 60 s" in out


def test_headers_and_tokens_go_with_every_request(tmp_path: Path, monkeypatch: Any) -> None:
    seen: list[dict[str, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        seen.append({k.lower(): v for k, _, v in (line.partition(": ") for line in head)})
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    (tmp_path / "token").write_text("s3cret\n")
    monkeypatch.setenv("SCAN_TOKEN", "other")

    async def play(**more: Any) -> str:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
            with pytest.raises(SettingsError) as caught:
                await asyncio.to_thread(scan, tmp_path, [url], **more)
        return str(caught.value)

    said = asyncio.run(play(headers=["X-Tenant: a b"], token_file=tmp_path / "token"))
    assert said.endswith("answered 401: give it a token or a header that it accepts")
    assert (seen[0]["x-tenant"], seen[0]["authorization"]) == ("a b", "Bearer s3cret")
    seen.clear()
    asyncio.run(play(token_variable="SCAN_TOKEN"))
    assert seen[0]["authorization"] == "Bearer other"


# ------------------------------------------------------------------------------------------------- what it writes


def test_the_starter_policy_loads_and_allows_only_what_reads(tmp_path: Path, listing: Any) -> None:
    scan(tmp_path, listing(READS, DELETES))
    text = (tmp_path / "srv.yaml").read_bytes()
    assert not compile_file("srv.yaml", text, PolicyContext()).problems
    assert b"  get_it: allow\n" in text
    assert b"  delete_it:\n    action: require_approval\n" in text


def test_a_policy_that_is_there_is_never_written_over(tmp_path: Path, listing: Any, capsys: Any) -> None:
    (tmp_path / "mine.yaml").write_text("version: 1\nserver: srv\n")
    (tmp_path / "broken.yaml").write_text("{")
    scan(tmp_path, listing(READS))
    assert not (tmp_path / "srv.yaml").exists()
    assert f"kept  {tmp_path / 'mine.yaml'}: a policy is never written over" in capsys.readouterr().out
    (tmp_path / "other.yaml").write_text("by hand")
    scan(tmp_path, listing(READS), server="other")
    assert (tmp_path / "other.yaml").read_text() == "by hand"


def test_a_teams_server_is_below_the_team(tmp_path: Path, listing: Any) -> None:
    scan(tmp_path, listing(READS), server="hr/pay")
    assert (tmp_path / "hr" / "catalog" / "pay.yaml").exists()
    assert (tmp_path / "hr" / "pay.yaml").exists()


def test_a_new_scan_keeps_what_a_person_said_and_tells_what_changed(tmp_path: Path, listing: Any, capsys: Any) -> None:
    scan(tmp_path, listing(READS))
    file = tmp_path / "catalog" / "srv.yaml"
    text = file.read_text()
    text = text.replace(
        "categories: [Read]\n    risk: Low\n", "categories: [Write]\n    risk: High\n    reviewed: true\n"
    )
    file.write_text(text)
    capsys.readouterr()
    scan(tmp_path, listing({**READS, "description": "Get it, and all others."}, DELETES))
    tool = catalogue(tmp_path).tools["get_it"]
    assert (tool.categories, tool.reviewed, tool.description) == (("Write",), True, "Get it, and all others.")
    lines = capsys.readouterr().out.splitlines()
    assert "changed description: tool get_it: it was reviewed as it was before, look again" in lines
    assert "new: tool delete_it" in lines


def test_a_catalogue_that_does_not_load_is_not_written_over(tmp_path: Path, listing: Any) -> None:
    scan(tmp_path, listing(READS))
    file = tmp_path / "catalog" / "srv.yaml"
    file.write_text("version: 2\n")
    with pytest.raises(PolicyError, match=r"catalog/srv\.yaml:1:10: version: expected 1, got 2"):
        scan(tmp_path, listing(READS))
    assert file.read_text() == "version: 2\n"


# ---------------------------------------------------------------------------------------------------------- drift


def test_check_is_content_with_what_is_as_catalogued(tmp_path: Path, listing: Any, capsys: Any) -> None:
    scan(tmp_path, listing(READS))
    capsys.readouterr()
    assert scan(tmp_path, listing(READS), check=True) == 0
    assert capsys.readouterr().out == "srv: as catalogued\n"


def test_check_tells_drift_and_writes_nothing(tmp_path: Path, listing: Any, capsys: Any) -> None:
    scan(tmp_path, listing(READS, DELETES))
    before = (tmp_path / "catalog" / "srv.yaml").read_text()
    capsys.readouterr()
    changed = {**READS, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    assert scan(tmp_path, listing(changed), check=True) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "changed schema: tool get_it",
        "changed annotations: tool get_it",
        "gone: tool delete_it",
    ]
    assert said.err == "srv: 3 changes since it was catalogued\n"
    assert (tmp_path / "catalog" / "srv.yaml").read_text() == before


def test_check_needs_something_to_check_against(tmp_path: Path, listing: Any) -> None:
    with pytest.raises(SettingsError, match=r"catalog/srv\.yaml: not there, so nothing to check against"):
        scan(tmp_path, listing(READS), check=True)


# ------------------------------------------------------------------------------------------ servers that mean harm


def test_pages_without_end_are_read_to_a_bound(tmp_path: Path, listing: Any, capsys: Any) -> None:
    scan(tmp_path, listing(mode="endless"))
    assert len(catalogue(tmp_path).tools) == 100
    assert "note: its list of tools has more than 100 pages: the first are kept" in capsys.readouterr().out


def test_pages_that_come_round_are_noticed(tmp_path: Path, listing: Any, capsys: Any) -> None:
    scan(tmp_path, listing(mode="round"))
    assert len(catalogue(tmp_path).tools) == 2
    assert "note: its list of tools comes round to a page that was read" in capsys.readouterr().out


def test_more_tools_than_anybody_has_are_cut(tmp_path: Path, listing: Any, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("authz.app.catalog.reading.MAX_LISTED", 3)
    scan(tmp_path, listing(*({**READS, "name": f"get_{n}"} for n in range(5))))
    assert len(catalogue(tmp_path).tools) == 3
    assert "note: lists more than 3 tools: the first of them are kept" in capsys.readouterr().out


def test_a_line_without_end_is_cut_off(tmp_path: Path, listing: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(connect, "MAX_BYTES", 1 << 20)
    with pytest.raises(SettingsError, match="said more than 1048576 bytes"):
        scan(tmp_path, listing(mode="line"))


def test_a_server_that_says_nothing_is_left_after_the_time_given(tmp_path: Path, listing: Any) -> None:
    started = time.monotonic()
    with pytest.raises(SettingsError, match="did not finish within 1 s"):
        scan(tmp_path, listing(mode="silent"), seconds=1.0)
    assert time.monotonic() - started < 10


def test_what_a_server_says_when_it_dies_is_told_without_its_colours(tmp_path: Path, listing: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        scan(tmp_path, listing(mode="dies"))
    assert str(caught.value).endswith("\nno credentials⟨U+001B⟩[31m")


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no-such-program: no such file or directory"):
        scan(tmp_path, ["no-such-program"])


def test_lists_beside_the_tools_may_be_refused(tmp_path: Path, listing: Any, capsys: Any) -> None:
    assert scan(tmp_path, listing(READS, mode="broken", prompts=[{"name": "p"}])) == 0
    assert set(catalogue(tmp_path).prompts) == {"p"}
    assert "note: its list of resources is not to be had: no⟨U+001B⟩[2J" in capsys.readouterr().out


def test_a_description_cannot_command_the_terminal(tmp_path: Path, listing: Any, capsys: Any) -> None:
    evil = {**READS, "description": "Get it. \x1b]0;owned\x07\u202e [bold]x[/bold]", "title": "\x1b[2J"}
    scan(tmp_path, listing(evil))
    assert "\x1b" not in capsys.readouterr().out
    raw = (tmp_path / "catalog" / "srv.yaml").read_bytes()
    assert b"\x1b" not in raw
    assert catalogue(tmp_path).tools["get_it"].description == (
        "Get it. ⟨U+001B⟩]0;owned⟨U+0007⟩⟨U+202E⟩ [bold]x[/bold]"
    )


async def test_an_answer_over_the_network_is_cut_off(monkeypatch: Any) -> None:
    monkeypatch.setattr(connect, "MAX_BYTES", 1 << 20)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{")
        try:
            while True:
                writer.write(b" " * 65536)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        with pytest.raises(SettingsError, match="said more than 1048576 bytes"):
            await asyncio.to_thread(scan, Path("unused"), [url], seconds=20.0)


async def test_an_answer_that_is_packed_is_refused() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        with pytest.raises(SettingsError, match="answered packed, which was not asked for"):
            await asyncio.to_thread(scan, Path("unused"), [url], seconds=20.0)


# ------------------------------------------------------------------------------------------------ what was typed


def test_without_its_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "authz.app.catalog.cataloguing", None)
    with pytest.raises(SettingsError, match=r"^scan: expected its extra, pip install '\.\[scan\]', got no "):
        scan(tmp_path, ["x"])


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        ([], {}, "scan: expected a URL, or -- and the command that starts the server"),
        (["ftp://x/"], {}, "scan: expected a URL of http or https, or -- and a command, got 'ftp://x/'"),
        (["https://a:b@x/"], {}, "scan: expected a URL without a password in it: use --header or --token-file"),
        (["https://x/"], {"headers": ["nocolon"]}, "scan --header: expected NAME: VALUE, got 'nocolon'"),
        (
            ["x"],
            {"headers": ["a: b"]},
            "scan: headers and tokens are for URLs; what a command needs goes by --env NAME=VALUE",
        ),
        (["x"], {"environment": ["A"]}, "scan --env: expected NAME=VALUE, got 'A'"),
        (["https://x/"], {"token_variable": "NO_SUCH"}, "scan --token-env: 'NO_SUCH' is not set"),
        (["https://x/"], {"token_file": Path("/no/such")}, "/no/such: cannot be read: no such file or directory"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], more: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        scan(tmp_path, words, **more)
    assert str(caught.value) == message


def test_a_server_needs_a_name_that_policies_can_use(tmp_path: Path, listing: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        scan(tmp_path, listing(READS), server="a b")
    assert str(caught.value) == "scan --server: expected letters, digits and . _ - (or TEAM/NAME), got 'a b'"
