"""`mcp-authz catalog show`: a server's tools, and the page of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from authz.app.commands.catalog import run
from authz.errors import PolicyError, SettingsError
from authz.policy.compile.file import PolicyContext, compile_file

POLICIES = Path(__file__).parents[3] / "policies"


def test_the_page_of_a_tool_says_what_the_document_says(capsys: Any) -> None:
    assert run(POLICIES, "awslabs-healthomics", "StartAHOReferenceImportJob", as_json=False) == 0
    page = capsys.readouterr().out
    assert page.startswith("StartAHOReferenceImportJob of ")
    assert "Execute · High risk · reviewed by a person" in page
    assert "Start a reference import job" in page
    assert "Execute tools should be rate-limited and have their arguments validated" in page
    assert "Envoy asks this service about every call before it reaches" in page
    assert "role_arn: {const: YOURS}" in page
    assert "Other Execute tools of this server" in page
    assert "StartAHORun, " in page
    rule = page.split("Recommended rule\n")[1].split("\n\n")[0]
    assert yaml.safe_load(rule) == {
        "tools": {"StartAHOReferenceImportJob": {"action": "allow", "rate_limit": {"max": 10, "window": 60}}}
    }


@pytest.mark.parametrize("server", [path.stem for path in sorted((POLICIES / "catalog").glob("*.yaml"))])
def test_what_a_page_has_to_paste_loads(server: str, capsys: Any) -> None:
    run(POLICIES, server, None, as_json=True)
    tools = json.loads(capsys.readouterr().out)["tools"]
    for name in list(tools)[:5]:
        run(POLICIES, server, name, as_json=False)
        page = capsys.readouterr().out
        rule = page.split("Recommended rule\n")[1].split("\nWhy it needs one")[0]
        head = "version: 1\n"
        assert not compile_file("x.yaml", (head + _dedent(rule)).encode(), PolicyContext()).problems, name
        others = page.split("\nInstead\n")[1].split("\nArguments to consider")[0].split("\nOther ")[0]
        for one in _blocks(_dedent(others)):
            text = f"{head}tools:\n" + "".join(f"  {line}\n" for line in one.splitlines())
            assert not compile_file("x.yaml", text.encode(), PolicyContext()).problems, text


def _dedent(text: str) -> str:
    return "".join(line.removeprefix("    ") for line in text.splitlines(keepends=True))


def _blocks(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_a_servers_tools_come_with_the_most_dangerous_first(capsys: Any) -> None:
    run(POLICIES, "awslabs-valkey", None, as_json=False)
    out = capsys.readouterr().out
    assert "awslabs.valkey-mcp-server 1.1.1" in out
    assert out.index("valkey_admin") < out.index("valkey_write") < out.index("json_get")


def test_all_servers_are_listed_with_their_counts(capsys: Any) -> None:
    run(None, None, None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list((POLICIES / "catalog").glob("*.yaml")))
    assert any(line.startswith("time: 2 tools: 2 Read; risk 2 Low") for line in lines)
    run(None, None, None, as_json=True)
    assert {"server": "time", "title": "mcp-time", "tools": 2} in json.loads(capsys.readouterr().out)


def test_a_tool_is_data_for_scripts(capsys: Any) -> None:
    run(POLICIES, "awslabs-valkey", "valkey_admin", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["categories"], found["risk"]) == (["Destructive", "Execute"], "Critical")


def test_a_name_with_a_slip_gets_a_suggestion() -> None:
    with pytest.raises(SettingsError, match=r"no catalogue of 'awslabs-valkay', did you mean 'awslabs-valkey'"):
        run(POLICIES, "awslabs-valkay", None, as_json=False)
    with pytest.raises(SettingsError, match=r"no tool 'valkey_reed' in its catalogue, did you mean 'valkey_read'"):
        run(POLICIES, "awslabs-valkey", "valkey_reed", as_json=False)


def test_where_there_is_none_the_way_to_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is none: make one with `mcp-authz scan`"):
        run(tmp_path, "x", None, as_json=False)
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "y.yaml").write_text("version: 1\n")
    with pytest.raises(SettingsError, match="there are y"):
        run(tmp_path, "x", None, as_json=False)


def test_a_catalogue_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "x.yaml").write_text("version: 1\ntools: {a: {categories: [Reed], risk: Low}}\n")
    with pytest.raises(PolicyError, match="Reed"):
        run(tmp_path, "x", None, as_json=False)
    (tmp_path / "catalog" / "d.yaml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: is a directory"):
        run(tmp_path, "d", None, as_json=False)
