"""`mcp-authz limits` asks a running service: what it prints, what it sends where, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from authz.app.admin import AdminServer, Limits, Token
from authz.app.commands import limits as command
from authz.app.commands.approvals_client import Refused, Unreachable
from authz.app.commands.limits_cli import limits
from authz.app.commands.limits_client import Client
from authz.app.metrics import Metrics
from authz.app.settings.settings import Settings, table
from authz.app.settings.values import Address, Secret
from authz.errors import SettingsError
from authz.model import Charge, Limit
from authz.state.memory import MemoryStore
from authz.state.store import Attempt, Owed

TOKEN = "correct-horse-battery-staple"


class State:
    def ready(self) -> tuple[bool, str]:
        return True, "ready"

    def describe(self) -> Mapping[str, Any]:
        return {}


def store() -> MemoryStore:
    """Alice has spent 2.5 of 5 on bank; her tool's name hides that it ends elsewhere. Time stands still."""
    store = MemoryStore(lambda: 1000.0, wall=lambda: 1e9)
    limit = Limit("spend", ("bank", "spend"), 5, 90.0, "bank")
    who = (("principal", "corp\n\nalice"), ("tool", "pay\u202e[red]"))
    asyncio.run(store.discharge(Attempt((Owed((Charge(limit, who, 2.5),)),))))
    return store


@pytest.fixture
def service() -> Iterator[str]:
    """A service's operators' side, in a thread with an event loop of its own; where it is."""
    server = AdminServer(Metrics(), State(), limits=Limits(store(), Token(TOKEN.encode())))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    port = run(server.start("127.0.0.1", 0))
    yield f"127.0.0.1:{port}"
    run(server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `mcp-authz limits` with variables of its own."""
    for setting in table().values():
        monkeypatch.delenv(setting.variable, raising=False)
    return lambda *argv, **environ: CliRunner().invoke(limits, argv, env=environ)


WITH_TOKEN = {"MCP_AUTHZ_ADMIN_TOKEN": "env:OPERATORS", "OPERATORS": TOKEN}


def test_counters_are_listed_for_people(run: Callable[..., Result], service: str) -> None:
    found = run("--admin", service)
    assert found.exit_code == 0
    head, line = found.stdout.splitlines()
    assert head.split() == ["server", "limit", "who", "used", "max", "resets", "in"]
    assert " ".join(line.split()) == "bank spend principal corp/alice, tool pay⟨U+202E⟩[red] 2.5 5 1 min 30 s"
    assert found.stderr == ""


def test_counters_are_listed_for_scripts(run: Callable[..., Result], service: str) -> None:
    found = run("--json", "--server", "bank", "--limit", "spend", "--admin", f"http://{service}/")
    assert found.exit_code == 0
    (one,) = json.loads(found.stdout)["counters"]
    assert (one["who"], one["used"]) == ("principal corp/alice, tool pay⟨U+202E⟩[red]", 2.5)


def test_where_the_service_is_comes_from_its_own_settings(run: Callable[..., Result], service: str) -> None:
    assert run(MCP_AUTHZ_ADMIN=service).exit_code == 0


def test_nothing_in_use_is_said(run: Callable[..., Result], service: str) -> None:
    found = run("--server", "shop", "--admin", service)
    assert (found.exit_code, found.stdout) == (0, "nothing is counted now\n")


def test_a_list_of_just_as_many_as_were_asked_for_is_complete(run: Callable[..., Result], service: str) -> None:
    found = run("--most", "1", "--admin", service)
    assert (len(found.stdout.splitlines()), found.stderr) == (2, "")


def test_counters_are_reset_with_the_token_of_the_service(run: Callable[..., Result], service: str) -> None:
    found = run("reset", "bank", "spend", "--admin", service, **WITH_TOKEN)
    assert (found.exit_code, found.stdout) == (0, "limit spend of bank: 1 counter forgotten\n")
    assert run("--admin", service).stdout == "nothing is counted now\n"
    found = run("reset", "bank", "--admin", service, **WITH_TOKEN)
    assert found.stdout == "all limits of bank: 0 counters forgotten\n"
    found = run("reset", "bank", "--json", "--admin", service, **WITH_TOKEN)
    assert json.loads(found.stdout) == {"server": "bank", "limit": "", "forgotten": 0}


def test_counters_are_reset_with_the_token_of_a_file(run: Callable[..., Result], service: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert run("reset", "bank", "--token-file", str(file), "--admin", service).exit_code == 0
    file.write_text("wrong\n")
    error = run("reset", "bank", "--token-file", str(file), "--admin", service).exception
    assert str(error) == f"http://{service}: expected the bearer token of the setting admin_token"
    file.write_text("two\nlines")
    error = run("reset", "bank", "--token-file", str(file), "--admin", service).exception
    assert str(error) == f"--token-file: file:{file}: expected printable ASCII without spaces, got something else"


def test_an_option_that_would_count_for_nothing_is_refused(run: Callable[..., Result], service: str) -> None:
    found = run("--admin", service, "reset", "bank", **WITH_TOKEN)
    assert found.exit_code == 2
    assert "expected options after `reset`" in found.stderr
    assert "spend" in run("--admin", service).stdout


def test_a_service_that_is_away_is_said(run: Callable[..., Result]) -> None:
    error = run("--admin", "127.0.0.1:1").exception
    assert isinstance(error, Unreachable)
    assert str(error) == "http://127.0.0.1:1: cannot be asked: [Errno 111] Connection refused"


def test_without_an_address_nobody_is_asked(run: Callable[..., Result]) -> None:
    error = run(MCP_AUTHZ_ADMIN="none").exception
    assert str(error) == "--admin: expected where the service's operators ask, for the setting admin is none"


# ------------------------------------------------------------------------------------- what is sent, and what may come


def asked(answer: httpx2.Response, url: str = "127.0.0.1:9464", token: bytes = b"") -> tuple[Client, list[Any]]:
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return answer

    return Client(url, token, transport=httpx2.MockTransport(handle)), seen


def test_a_refusal_is_the_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    answer = httpx2.Response(403, json={"detail": "expected the setting\x1b[2J"})
    client, _ = asked(answer)
    assert command.run_reset(client, "bank", "", as_json=False) == 1
    assert capsys.readouterr().err == "expected the setting\\x1b[2J\n"
    assert command.run_list(client, {}, as_json=True) == 1
    assert json.loads(capsys.readouterr().out) == {"status": 403, "detail": "expected the setting\x1b[2J"}
    client.close()


def test_numbers_are_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"server": "s", "limit": "l", "who": "w", "used": 1234567.25, "max": 9007199254740992.0, "resets_in": None}
    found = {"counters": [one, {**one, "used": None}], "complete": True}
    assert command.run_list(asked(httpx2.Response(200, json=found))[0], {}, as_json=False) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["s", "l", "w", "1234567.25", "9007199254740992", "never"],
        ["s", "l", "w", "any", "9007199254740992", "never"],
    ]


def test_that_there_are_more_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"counters": [], "complete": False}
    assert command.run_list(asked(httpx2.Response(200, json=found))[0], {}, as_json=False) == 0
    said = "there are more: --server, --limit and --most say which and how many\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (httpx2.Response(503, json={"detail": "the store is away"}), "the store is away"),
        (httpx2.Response(500, json={}), "status 500"),
        (httpx2.Response(401, json={"detail": "expected the token"}), "expected the token"),
        (httpx2.Response(404, text="expected one of /livez"), "expected the API of limits, got something else"),
        (httpx2.Response(200, content=b"\xff\xfe\xfa"), "expected the API of limits, got something else"),
        (httpx2.Response(200, json=[]), "expected the API of limits, got something else"),
        (httpx2.Response(302, json={}), "expected the API of limits, got something else"),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(answer: httpx2.Response, problem: str) -> None:
    with pytest.raises(Unreachable) as caught:
        asked(answer)[0].limits({})
    assert str(caught.value) == f"http://127.0.0.1:9464: {problem}"


def test_a_refused_query_is_told_with_its_status() -> None:
    assert asked(httpx2.Response(400, json={"detail": "most"}))[0].limits({}) == Refused(400, "most")


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("0.0.0.0:9464", "http://127.0.0.1:9464"),
        ("[::]:9464", "http://[::1]:9464"),
        ("authz.internal:9464", "http://authz.internal:9464"),
        ("https://authz.example/", "https://authz.example"),
    ],
)
def test_a_bound_address_is_turned_into_one_that_can_be_asked(url: str, base: str) -> None:
    client, seen = asked(httpx2.Response(200, json={}), url)
    client.limits({"server": "a&b"})
    assert str(seen[0].url) == f"{base}/api/limits?server=a%26b"
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://a", "expected http://HOST:PORT, https://HOST or HOST:PORT, got 'ftp://a'"),
        ("http://", "expected http://HOST:PORT, https://HOST or HOST:PORT, got 'http://'"),
        ("9464", "expected unix:PATH, HOST:PORT or [IPv6]:PORT, got '9464'"),
        ("unix:/run/x", "expected HOST:PORT, got 'unix:/run/x'"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, problem: str) -> None:
    with pytest.raises(Unreachable) as caught:
        Client(url)
    assert str(caught.value) == f"--admin: {problem}"


def test_a_token_goes_over_https_or_stays_on_this_machine() -> None:
    for url in ("https://authz.example", "127.0.0.1:9464", "http://localhost:9464", "[::1]:9464"):
        client, seen = asked(httpx2.Response(200, json={}), url, TOKEN.encode())
        client.reset("bank", "spend")
        assert seen[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert json.loads(seen[0].content) == {"server": "bank", "limit": "spend"}
    with pytest.raises(Unreachable) as caught:
        Client("http://192.0.2.7:9464", TOKEN.encode())
    assert str(caught.value) == (
        "--admin: expected https, or this machine, where a token is sent, got 'http://192.0.2.7:9464'"
    )


def test_to_look_no_token_is_read() -> None:
    settings = Settings(admin=Address("127.0.0.1", 1), admin_token=Secret(path="/no/such/file"))
    command.client(settings, {}, admin="", token_file=None, to_change=False).close()
    with pytest.raises(SettingsError, match=r"^admin_token: /no/such/file: cannot be read: no such"):
        command.client(settings, {}, admin="", token_file=None, to_change=True)
