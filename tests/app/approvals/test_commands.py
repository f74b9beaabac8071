"""`mcp-authz approvals …` and `mcp-authz approvers …`, over the real listener."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import ClassVar

import httpx2
import pytest
import typer
from approval_office import Office, asked
from click.testing import Result
from typer.testing import CliRunner

from authz.app.commands.approvals import client, run_watch
from authz.app.commands.approvals_cli import approvals, approvers
from authz.app.commands.approvals_client import Client, Refused, Unreachable
from authz.errors import AuthzError

app = typer.Typer()
app.add_typer(approvals)
app.add_typer(approvers)


@pytest.fixture
async def run(office: Office):
    """Type a command as `who`, against a listener that was started for it."""
    server = office.server()
    await server.start()

    async def typed(*words: str, who: str = "dana") -> Result:
        environ = {"MCP_AUTHZ_APPROVALS_URL": server.url, "MCP_AUTHZ_APPROVALS_TOKEN": office.tokens.get(who, who)}
        return await asyncio.to_thread(CliRunner(env={"COLUMNS": "200", **environ}).invoke, app, words)

    yield typed
    await server.stop()


async def test_a_list_is_a_table_of_what_waits(office: Office, run):
    assert (await run("approvals", "list")).output == "nothing\n"
    record = await office.file_request(asked(tool="flush_all\u202e[bold]"))
    found = await run("approvals", "list")
    assert found.exit_code == 0
    assert record.id in found.output
    assert "flush_all⟨U+202E⟩[bold]" in found.output
    assert "corp/alice" in found.output
    found = await run("approvals", "list", "--json", "--server", "valkey", "--status", "all")
    assert [one["id"] for one in json.loads(found.output)["requests"]] == [record.id]
    assert (await run("approvals", "list", "--tool", "other")).output == "nothing\n"


async def test_show_prints_everything_that_will_run_and_what_was_said(office: Office, run):
    arguments = {"a": [1, 2.50], "n": 9007199254740993, "s": 'x{,"\u202e\x1b]0;', "e": {}, "b": "\\"}
    record = await office.file_request(asked(arguments))
    found = await run("approvals", "show", record.id)
    assert found.exit_code == 0
    assert record.request.digest.hex() in found.output
    shown = found.output.partition("what will run (")[2].partition("\n")[2]
    assert "".join(line.strip() for line in shown.splitlines()) == record.request.params.replace("\u202e", "⟨U+202E⟩")
    assert "\x1b" not in found.output
    await run("approvals", "deny", record.id, "--comment", "not \u202etoday")
    found = await run("approvals", "show", record.id)
    assert "denied by dana at " in found.output
    assert "not ⟨U+202E⟩today" in found.output
    assert json.loads((await run("approvals", "show", record.id, "--json")).output)["status"] == "denied"


async def test_a_decision_is_taken_and_a_second_one_is_not(office: Office, run):
    record = await office.file_request()
    found = await run("approvals", "approve", record.id, "--comment", "fine")
    assert (found.exit_code, found.output) == (
        0,
        f"{record.id} granted corp/alice asks for delete_cache on valkey\n",
    )
    assert await office.status(record.id) == "granted"
    found = await run("approvals", "deny", record.id, who="erin")
    assert (found.exit_code, found.output) == (
        1,
        "The request has ended: somebody else decided it, or its time is over.\n",
    )
    other = await office.file_request(asked(tool="flush_all"))
    found = await run("approvals", "deny", other.id, "--json")
    assert json.loads(found.output)["status"] == "denied"


async def test_what_is_refused_says_why_with_exit_code_1(office: Office, run):
    record = await office.file_request()
    found = await run("approvals", "approve", record.id, who="alice")
    assert (found.exit_code, found.output) == (1, "Who asks for a call cannot approve it. Somebody else must.\n")
    found = await run("approvals", "approve", record.id, "--json", who="alice")
    assert (found.exit_code, json.loads(found.output)["cause"]) == (1, "self")
    for words in (("show", "x y"), ("show", record.id), ("approve", record.id)):
        found = await run("approvals", *words, who="frank")
        assert (found.exit_code, found.output.strip()) == (
            1,
            "There is no such request, or it is not yours to decide.",
        )
    found = await run("approvals", "list", "--status", "open")
    assert found.exit_code == 1
    assert found.output.startswith("Expected a status of pending, granted")


async def test_watch_prints_what_waits(office: Office, run):
    denied = await office.file_request(asked(tool="flush_all"))
    await run("approvals", "deny", denied.id)
    waiting = await office.file_request()
    found = await run("approvals", "watch", "--for", "0.1")
    assert found.exit_code == 0
    assert [line.split()[:2] for line in found.output.splitlines()] == [[waiting.id, "pending"]]
    found = await run("approvals", "watch", "--for", "0.1", "--json")
    assert [json.loads(line)["id"] for line in found.output.splitlines()] == [waiting.id]


def test_watch_prints_what_comes_and_what_becomes_of_it_and_each_once(capsys):
    def one(id_: str, status: str) -> dict[str, str]:
        return {"id": id_, "status": status, "principal": "corp/alice", "tool": "t", "server": "s"}

    class Telling:
        told: ClassVar = iter(
            (
                [one("a", "pending"), one("old", "denied")],
                [one("a", "pending"), one("old", "denied")],
                [one("c", "used"), one("b", "pending"), one("a", "granted"), one("old", "denied")],
                [one("c", "used"), one("b", "expired"), one("a", "used")],
            )
        )

        def requests(self, query):
            try:
                return next(self.told)
            except StopIteration:
                raise KeyboardInterrupt from None

    assert run_watch(Telling(), every=0.0, seconds=0.0, as_json=False) == 0  # type: ignore[arg-type]
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["a", "pending"],
        ["a", "granted"],
        ["b", "pending"],
        ["c", "used"],
        ["a", "used"],
        ["b", "expired"],
    ]


async def test_watching_ends_with_ctrl_c_and_with_a_refusal(capsys):
    class Interrupted:
        def requests(self, query):
            raise KeyboardInterrupt

    class Refusing:
        def requests(self, query):
            return Refused(400, "no", "")

    assert run_watch(Interrupted(), every=1.0, seconds=0.0, as_json=False) == 0  # type: ignore[arg-type]
    assert run_watch(Refusing(), every=1.0, seconds=0.0, as_json=False) == 1  # type: ignore[arg-type]
    assert capsys.readouterr().err == "no\n"


async def test_a_token_that_is_not_known_is_no_answer(office: Office, run):
    found = await run("approvals", "list", who="mcpa_wrong")
    assert isinstance(found.exception, Unreachable)
    assert str(found.exception).endswith(": Expected the bearer token of an approver.")


def test_the_token_may_be_in_a_file_and_must_be_somewhere(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("mcpa_x\n")
    with client("https://page.example", file, {}), client("unix:/a", None, {"MCP_AUTHZ_APPROVALS_TOKEN": "mcpa_x"}):
        pass
    for path, environ, says in (
        (None, {}, "expected your token in MCP_AUTHZ_APPROVALS_TOKEN or --token-file, got none"),
        (None, {"MCP_AUTHZ_APPROVALS_TOKEN": "é"}, "expected your token in MCP_AUTHZ_APPROVALS_TOKEN or --token-file"),
        (tmp_path / "none", {}, f"--token-file: {tmp_path}/none: cannot be read: no such file or directory"),
    ):
        with pytest.raises(Unreachable) as caught:
            client("https://page.example", path, environ)
        assert str(caught.value).startswith(says)
    file.write_bytes(b"\xff")
    with pytest.raises(Unreachable, match="cannot be read: no text"):
        client("https://page.example", file, {})


@pytest.mark.parametrize("url", ["http://page.example", "ftp://127.0.0.1", "page.example", ""])
def test_a_token_goes_nowhere_in_plain_text(url):
    with pytest.raises(Unreachable, match=r"^--url: expected https://HOST, http:// to this machine or unix:PATH, got "):
        Client(url, "mcpa_x")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx2.Response(200, text="<html>"), "https://page.example: expected the approvals API, got something else"),
        (httpx2.Response(200, json=[]), "https://page.example: expected the approvals API, got something else"),
        (httpx2.Response(302, headers={"location": "https://evil.example"}), "expected the approvals API, got someth"),
        (httpx2.Response(503, json={"detail": "later"}), "https://page.example: later"),
        (httpx2.Response(500, json={}), "https://page.example: status 500"),
        (httpx2.ConnectError("refused"), "https://page.example: cannot be asked: refused"),
    ],
)
def test_what_is_no_answer_of_the_api_is_said(answer, says):
    def answered(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer mcpa_x"
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx2.MockTransport(answered)
    with Client("https://page.example", "mcpa_x", transport=transport) as asked_, pytest.raises(AuthzError) as caught:
        asked_.requests({})
    assert says in str(caught.value)


async def test_a_unix_socket_can_be_asked(office: Office, tmp_path):
    from authz.app.settings.values import Address

    path = tmp_path / "page.sock"
    server = office.server(address=Address(path=str(path)), url="https://page.example")
    await server.start()
    record = await office.file_request()
    with client(f"unix:{path}", None, {"MCP_AUTHZ_APPROVALS_TOKEN": office.tokens["dana"]}) as asked_:
        found = await asyncio.to_thread(asked_.requests, {})
    await server.stop()
    assert not isinstance(found, Refused)
    assert [one["id"] for one in found] == [record.id]


def test_an_approver_is_added_listed_and_removed(tmp_path: Path):
    file = tmp_path / "approvers.yaml"
    runner = CliRunner()
    words = ["add", "dana", "--group", "dba", "--group", "ops", "--claim", "dana@example.com", "--file", str(file)]
    found = runner.invoke(approvers, words)
    assert found.exit_code == 0
    assert found.stdout.startswith("mcpa_")
    assert found.stdout.count("\n") == 1
    assert found.stderr == f"{file}: dana added; this is the token, which is shown this once:\n"
    listed = runner.invoke(approvers, ["list", "--file", str(file)]).output.split()
    assert listed == ["name", "groups", "claim", "dana", "dba,", "ops", "dana@example.com"]
    found = runner.invoke(approvers, ["list", "--json", "--file", str(file)])
    assert json.loads(found.output) == {
        "approvers": [{"name": "dana", "groups": ["dba", "ops"], "claim": "dana@example.com"}]
    }
    assert runner.invoke(approvers, ["remove", "dana", "--file", str(file)]).exit_code == 0
    found = runner.invoke(approvers, ["list", "--json", "--file", str(file)])
    assert json.loads(found.output) == {"approvers": []}
    found = runner.invoke(approvers, ["remove", "dana", "--file", str(file)])
    assert str(found.exception) == f"approvers: {file}: there is no 'dana'"
