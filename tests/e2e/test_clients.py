"""Real MCP clients: a session survives each kind of denial, and its next call works."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client, ClientSession, MCPDeprecationWarning, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from authz.app.demo import stack

ROOT = Path(__file__).parents[2]
OLD_PYTHON = ROOT / ".venv-mcp1" / "bin" / "python"
OLD_CLIENT = ROOT / "tests" / "support" / "old_client.py"

# what is called, and the reason that it must be denied with
DENIED_CALLS = [
    ("delete_cache", {}, "rule_denied"),
    ("drop_tables", {}, "default_denied"),
    ("set_value", {"key": "sys:root", "value": "x", "ttl": 60}, "arguments_invalid"),
    ("set_value", {"key": "app:a", "value": "x", "ttl": "60"}, "arguments_invalid"),
    ("set_value", {"key": "app:a", "value": "x"}, "arguments_invalid"),
    ("transfer_funds", {"to": "ACME", "amount": 1}, "approval_required"),
    ("Delete_Cache", {}, "ambiguous_name"),
]
MODES = ["auto", "legacy"]
MAX_IMPORTS = 2  # policies/clients.yaml


@asynccontextmanager
async def connected(port: int, mode: str) -> AsyncIterator[Client]:
    """A client of the current SDK through Envoy."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as web:
        transport = streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=web)
        async with Client(transport, mode=mode, read_timeout_seconds=15) as client:
            yield client


async def assert_alive(client: Client) -> None:
    """The same session goes on."""
    result = await client.call_tool("get_value", {"key": "app:greeting"})
    assert not result.is_error
    assert [part.text for part in result.content] == ["hello"]


def reason_of(meta: dict) -> str:
    (decision,) = [value for key, value in meta.items() if key.endswith("/decision")]
    return decision["reason"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("tool", "arguments", "reason"), DENIED_CALLS)
async def test_a_denied_call_is_a_tool_error_and_the_session_goes_on(mcp_front, mode, tool, arguments, reason):
    async with connected(mcp_front.port, mode) as client:
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        assert reason_of(result.meta) == reason
        assert all(part.text for part in result.content)
        await assert_alive(client)


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_over_its_limit_is_a_tool_error_that_says_when_to_retry(mcp_front, mode):
    async with connected(mcp_front.port, mode) as client:
        results = [await client.call_tool("start_import_job", {}) for _ in range(MAX_IMPORTS + 1)]
        assert [result.is_error for result in results] == [False] * MAX_IMPORTS + [True]
        assert reason_of(results[-1].meta) == "rate_limited"
        await assert_alive(client)


async def test_sessions_have_limits_of_their_own(mcp_front):
    for _ in range(2):
        async with connected(mcp_front.port, "legacy") as client:
            assert not (await client.call_tool("start_import_job", {})).is_error


@pytest.mark.parametrize("mode", MODES)
async def test_a_denied_prompt_is_an_error_with_a_code_of_its_own(mcp_front, mode):
    async with connected(mcp_front.port, mode) as client:
        with pytest.raises(MCPError) as denied:
            await client.get_prompt("review", {"code": "x"})
        assert denied.value.error.code == 40301
        await assert_alive(client)


@pytest.mark.parametrize("mode", MODES)
async def test_a_denied_resource_is_an_error_with_a_code_of_its_own(mcp_front, mode):
    async with connected(mcp_front.port, mode) as client:
        read = await client.read_resource("file:///project/readme.md")
        assert read.contents[0].text == "# Demo"
        for uri in ("file:///etc/passwd", "file:///project/../etc/passwd"):
            with pytest.raises(MCPError) as denied:
                await client.read_resource(uri)
            assert denied.value.error.code == 40301
        await assert_alive(client)


async def test_a_denied_method_is_an_error_and_the_session_goes_on(mcp_front):
    async with connected(mcp_front.port, "legacy") as client:
        with pytest.raises(MCPError) as denied, pytest.warns(MCPDeprecationWarning):
            await client.session.set_logging_level("debug")
        assert denied.value.error.code == 40301
        await assert_alive(client)


@pytest.mark.parametrize("mode", MODES)
async def test_lists_pass_and_name_what_will_be_denied_too(mcp_front, mode):
    async with connected(mcp_front.port, mode) as client:
        assert "delete_cache" in {tool.name for tool in (await client.list_tools()).tools}
        assert (await client.list_resources()).resources
        assert (await client.list_prompts()).prompts
        await assert_alive(client)


@pytest.mark.parametrize("mode", MODES)
async def test_both_eras_are_really_spoken(mcp_front, mode):
    async with connected(mcp_front.port, mode) as client:
        assert client.protocol_version == {"auto": "2026-07-28", "legacy": "2025-11-25"}[mode]


# ------------------------------------------------------------------------------------- the last client of 1.x


@pytest.fixture(scope="module")
def old_client(mcp_front) -> dict[str, dict]:
    """What `mcp` 1.30 saw, by what it did: each thing in one and the same session."""
    assert OLD_PYTHON.exists(), "`make test` creates .venv-mcp1"
    steps = [*DENIED_CALLS, *[("start_import_job", {}, "")] * (MAX_IMPORTS + 1)]
    asked = json.dumps({"url": f"http://127.0.0.1:{mcp_front.port}/mcp", "calls": [step[:2] for step in steps]})
    done = subprocess.run(  # noqa: S603 - our own script
        [OLD_PYTHON, OLD_CLIENT], input=asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_older_client_survives_every_denied_call(old_client):
    assert old_client["version"] == "1.30.0"
    denied = old_client["calls"][: len(DENIED_CALLS)]
    assert [call["error"] for call in denied] == [True] * len(DENIED_CALLS)
    assert [reason_of(call["meta"]) for call in denied] == [reason for _, _, reason in DENIED_CALLS]
    assert [call["alive"] for call in old_client["calls"]] == ["hello"] * len(old_client["calls"])


def test_the_older_client_survives_a_call_over_its_limit(old_client):
    imports = old_client["calls"][len(DENIED_CALLS) :]
    assert [call["error"] for call in imports] == [False] * MAX_IMPORTS + [True]
    assert reason_of(imports[-1]["meta"]) == "rate_limited"


def test_the_older_client_survives_denials_that_are_no_tool_results(old_client):
    for name in ("prompt", "resource", "method"):
        assert old_client[name] == {"code": 40301, "alive": "hello"}


# ------------------------------------------------------------------------------------------------ HTTP+SSE


@pytest.fixture(scope="module")
def sse_port(mcp_front) -> int:
    """The same service before a server that speaks the transport of 2024-11-05."""
    server = stack.start_server(mcp_front.children, "sse-server", transport="sse")
    configuration = stack.configure(server, mcp_front.service.socket)
    (listener,) = configuration["static_resources"]["listeners"]
    (host,) = stack.connection_manager(listener)["route_config"]["virtual_hosts"]
    host["routes"][0]["match"] = {"prefix": "/"}
    return stack.start_envoy(mcp_front.children, configuration, "sse-envoy").ports["mcp"]


async def test_the_oldest_transport_works_and_what_it_may_not_call_does_not_run(sse_port):
    async with (
        sse_client(f"http://127.0.0.1:{sse_port}/sse", timeout=5, sse_read_timeout=10) as (read, write),
        ClientSession(read, write, read_timeout_seconds=5) as session,
    ):
        await session.initialize()
        result = await session.call_tool("get_value", {"key": "app:greeting"})
        assert [part.text for part in result.content] == ["hello"]
        with pytest.raises(
            MCPError
        ):  # nobody can answer on this transport but the server: the caller waits or gives up
            await session.call_tool("delete_cache", {}, read_timeout_seconds=1)
    async with (
        sse_client(f"http://127.0.0.1:{sse_port}/sse", timeout=5, sse_read_timeout=10) as (read, write),
        ClientSession(read, write, read_timeout_seconds=5) as session,
    ):
        await session.initialize()
        result = await session.call_tool("list_keys", {})
        assert "app:greeting" in str(result.content), "nothing was deleted"
