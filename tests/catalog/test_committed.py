"""The catalogues that ship with the program: made by `scan`, reviewed, each with a policy that loads and its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz.policy.catalog.entry import Catalog, Category, Risk
from authz.policy.catalog.load import parse_catalog
from authz.policy.catalog.starter import starter_policy
from authz.policy.catalog.write import write_catalog
from authz.policy.compile.file import PolicyContext, compile_file

POLICIES = Path(__file__).parent.parent.parent / "policies"
FILES = sorted((POLICIES / "catalog").glob("*.yaml"))
PINNED = {
    "awslabs-valkey": ("awslabs.valkey-mcp-server", "1.1.1"),
    "awslabs-healthlake": ("awslabs.healthlake-mcp-server", "0.0.20"),
    "awslabs-healthomics": ("awslabs.aws-healthomics-mcp-server", "0.1.5"),
}
REFERENCE = {"everything", "filesystem", "git", "memory", "time", "fetch"}


def catalogue(path: Path) -> Catalog:
    return parse_catalog(path.read_bytes(), f"catalog/{path.name}")


def test_the_promised_servers_are_there_and_six_more() -> None:
    found = {path.stem for path in FILES}
    assert found >= PINNED.keys() | REFERENCE
    assert len(found - PINNED.keys() - REFERENCE) >= 6


@pytest.mark.parametrize(("server", "package"), PINNED.items())
def test_the_pinned_ones_are_of_the_promised_version(server: str, package: tuple[str, str]) -> None:
    source = catalogue(POLICIES / "catalog" / f"{server}.yaml").source
    assert (source["registry"], source["package"], source["version"]) == ("pypi", *package)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_tool_is_reviewed_and_has_all_that_a_page_shows(path: Path) -> None:
    catalog = catalogue(path)
    assert catalog.server == path.stem
    assert catalog.tools
    for tool in catalog.tools.values():
        assert tool.reviewed, tool.name
        assert tool.why.startswith(tool.categories[0]), tool.name
        assert tool.why.endswith("."), tool.name
        assert tool.digest.startswith("sha256:"), tool.name
        assert tool.recommended, tool.name
        assert tool.input_schema is not None, tool.name
        assert Category.READ not in tool.categories or tool.categories == (Category.READ,), tool.name
        if set(tool.categories) & {Category.DESTRUCTIVE, Category.EXECUTE, Category.FINANCIAL}:
            assert tool.risk >= Risk.MEDIUM, tool.name
            assert tool.recommended != "allow", tool.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_written_as_it_was_read(path: Path) -> None:
    assert write_catalog(catalogue(path)) == path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recommended_rule_loads(path: Path) -> None:
    catalog = catalogue(path)
    text = starter_policy(catalog, path.name)
    found = compile_file(f"{path.stem}.yaml", text.encode(), PolicyContext())
    assert not found.problems
    assert found.server == catalog.server


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_has_a_policy_and_tests_of_it(path: Path) -> None:
    assert (POLICIES / path.name).exists()
    assert (POLICIES / f"{path.stem}_test.yaml").exists()


def test_the_tool_of_the_first_document_is_what_it_says() -> None:
    tool = catalogue(POLICIES / "catalog" / "awslabs-healthomics.yaml").tools["StartAHOReferenceImportJob"]
    assert (tool.categories, tool.risk) == ((Category.EXECUTE,), Risk.HIGH)
    assert tool.recommended == {"action": "allow", "rate_limit": {"max": 10, "window": 60}}


def test_the_tool_of_the_second_document_is_what_it_says() -> None:
    tool = catalogue(POLICIES / "catalog" / "awslabs-healthlake.yaml").tools["start_fhir_export_job"]
    assert (tool.categories, tool.risk) == ((Category.EXECUTE,), Risk.HIGH)
    assert tool.recommended == {"action": "allow", "rate_limit": {"max": 10, "window": 60}}
