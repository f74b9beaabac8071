"""Which lists a server is asked for, and what becomes of those that it does not have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import ListToolsResult, Tool

from authz.app.catalog.reading import read_all


class Listing:
    """As much of a client as is read from."""

    def __init__(self, capabilities: Any, error: MCPError | None = None) -> None:
        self.server_info = None
        self.protocol_version = "2025-11-25"
        self.server_capabilities = capabilities
        self.asked: list[str] = []
        self._error = error

    def __getattr__(self, name: str) -> Any:
        async def ask(cursor: str | None = None) -> Any:
            self.asked.append(name)
            if self._error is not None:
                raise self._error
            return ListToolsResult(tools=[Tool(name="get_it", input_schema={"type": "object"})])

        return ask


def having(**lists: Any) -> Any:
    return SimpleNamespace(**{"tools": None, "prompts": None, "resources": None, **lists})


async def test_a_server_is_asked_only_for_what_it_says_it_has() -> None:
    client: Any = Listing(having(tools=object()))
    found = await read_all(client)
    assert client.asked == ["list_tools"]
    assert [tool.name for tool in found.tools] == ["get_it"]
    nothing: Any = Listing(having())
    assert (await read_all(nothing)).tools == []
    assert nothing.asked == []


async def test_a_server_that_refuses_its_tools_cannot_be_catalogued() -> None:
    client: Any = Listing(having(tools=object()), MCPError(code=-32603, message="no"))
    with pytest.raises(MCPError):
        await read_all(client)


async def test_lists_that_a_server_does_not_know_are_empty_without_a_word() -> None:
    client: Any = Listing(having(prompts=object(), resources=object()), MCPError(code=-32601, message="no"))
    found = await read_all(client)
    assert (found.prompts, found.resources, found.notes) == ([], [], [])
