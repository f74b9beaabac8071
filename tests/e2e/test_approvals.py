"""Real MCP clients, a real Envoy, and a person: from the first denial to the one execution."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from authz.app.approvals.enrol import add
from authz.app.demo import stack

ROOT = Path(__file__).parents[2]
OLD_PYTHON = ROOT / ".venv-mcp1" / "bin" / "python"
OLD_CLIENT = ROOT / "tests" / "support" / "old_approving_client.py"
_PROGRAMS = itertools.count(1)
PATIENCE = ("--timeout", "2s")


@dataclass(frozen=True)
class Office:
    """The port of Envoy, where people approve, and one of them."""

    port: int
    page: str
    token: str

    async def decide(self, id_: str, word: str = "approve") -> None:
        headers = {"authorization": f"Bearer {self.token}"}
        async with httpx2.AsyncClient(trust_env=False, headers=headers, base_url=self.page) as web:
            (await web.post(f"/api/v1/requests/{id_}/{word}", json={"comment": "seen"})).raise_for_status()


@pytest.fixture(scope="module")
def office(children, policies: Callable[[Path], Path]) -> Office:
    server = stack.start_server(children)
    approvers = children.directory / "approvers.yaml"
    token = add(approvers, "carol", ["payments"], "")
    service = stack.start_service(
        children,
        policies(Path(__file__).parent / "policies"),
        *("--audit", "none", *PATIENCE, "--approvals", "127.0.0.1:0"),
        *("--approvers", str(approvers), "--approve-unidentified"),
    )
    envoy = stack.start_envoy(children, stack.configure(server, service.socket))
    return Office(next(iter(envoy.ports.values())), service.approvals, token)


@asynccontextmanager
async def connected(port: int, mode: Any, callback: Any = None):
    # What a client declares is known by its program: each of these is one of its own.
    agent = {"user-agent": f"test/{next(_PROGRAMS)}"}
    async with httpx2.AsyncClient(trust_env=False, timeout=30, headers=agent) as web:
        transport = streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=web)
        async with Client(transport, mode=mode, read_timeout_seconds=15, elicitation_callback=callback) as client:
            yield client


async def test_a_modern_client_goes_through_the_whole_round_within_one_call(office: Office):
    opened = []

    async def open_url(context: Any, params: Any) -> ElicitResult:
        opened.append(params.url)
        await office.decide(params.url.rpartition("/")[2])
        return ElicitResult(action="accept")

    async with connected(office.port, "auto", open_url) as client:
        result = await client.call_tool("transfer_funds", {"to": "ACME", "amount": 1})
        assert (result.is_error, result.content[0].text) == (False, "1.00 EUR moved to ACME")
    (url,) = opened
    assert url.startswith(f"{office.page}/requests/")


async def test_a_modern_client_whose_user_only_opened_the_page_is_told_that_it_waits(office: Office):
    opened = []

    async def open_url(context: Any, params: Any) -> ElicitResult:
        opened.append(params.url)
        return ElicitResult(action="accept")

    async with connected(office.port, "auto", open_url) as client:
        for _ in range(2):
            result = await client.call_tool("transfer_funds", {"to": "ACME", "amount": 2})
            assert result.is_error
            assert "is pending" in result.content[0].text
        assert len(opened) == 1
        await office.decide(opened[0].rpartition("/")[2], "deny")
        denied = await client.call_tool("transfer_funds", {"to": "ACME", "amount": 2})
        assert denied.content[0].text.startswith("Denied by a person")
        assert not (await client.call_tool("get_value", {"key": "app:greeting"})).is_error


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_without_a_way_to_open_urls_is_told_in_text(office: Office, mode: str):
    amount = {"auto": 3, "legacy": 4}[mode]
    async with connected(office.port, mode) as client:
        result = await client.call_tool("transfer_funds", {"to": "ACME", "amount": amount})
        assert f"Page for the approver: {office.page}/requests/" in result.content[0].text
        reference = result.content[0].text.partition(f"{office.page}/requests/")[2].split()[0]
        await office.decide(reference)
        assert not (await client.call_tool("transfer_funds", {"to": "ACME", "amount": amount})).is_error


async def test_a_client_of_2025_11_25_gets_the_error_of_its_era_and_its_session_goes_on(office: Office):
    async def never(context: Any, params: Any) -> ElicitResult:
        raise AssertionError("nobody asks through the session")

    async with connected(office.port, "legacy", never) as client:
        with pytest.raises(MCPError) as required:
            await client.call_tool("transfer_funds", {"to": "ACME", "amount": 5})
        assert required.value.error.code == -32042
        (asked,) = required.value.error.data["elicitations"]
        await office.decide(asked["elicitationId"])
        result = await client.call_tool("transfer_funds", {"to": "ACME", "amount": 5})
        assert result.content[0].text == "5.00 EUR moved to ACME"


def test_the_last_client_of_1_x_goes_through_the_round(office: Office, tmp_path: Path):
    assert OLD_PYTHON.exists(), "`make test` creates .venv-mcp1"
    token = tmp_path / "token"
    token.write_text(office.token)
    program = (
        "import json,sys,urllib.request as u\n"
        "page,token=sys.argv[1:]\n"
        "h={'authorization':'Bearer '+open(token).read(),'content-type':'application/json'}\n"
        "o=u.build_opener(u.ProxyHandler({}))\n"
        "ids=[x['id'] for x in json.load(o.open(u.Request(page+'/api/v1/requests',headers=h)))['requests']"
        " if x['principal'] and x['tool']=='transfer_funds']\n"
        "o.open(u.Request(page+'/api/v1/requests/'+ids[0]+'/approve',data=b'{}',headers=h))\n"
    )
    asked = {
        "url": f"http://127.0.0.1:{office.port}/mcp",
        "tool": "transfer_funds",
        "arguments": {"to": "ACME", "amount": 6},
        "approve": [sys.executable, "-c", program, office.page, str(token)],
    }
    done = subprocess.run(  # noqa: S603 - our own script
        [OLD_PYTHON, OLD_CLIENT], input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["code"] == -32042
    assert seen["elicitations"][0]["url"].startswith(f"{office.page}/requests/")
    assert (seen["waiting"], seen["again"]) == (True, -32042)
    assert seen["result"] == {"error": False, "text": "6.00 EUR moved to ACME"}
