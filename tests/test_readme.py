"""What the README says of the program is what the program says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from authz.app.commands import test as testing
from authz.app.metrics import Metrics
from authz.app.settings.settings import Settings, markdown
from authz.model import Reason
from authz.policy.catalog.load import parse_catalog
from authz.policy.compile.file import PolicyContext, compile_file
from authz.policy.matching import Way

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
LANGUAGE = (ROOT / "policies" / "README.md").read_text()  # the reference of the policy language


def test_the_table_of_settings_is_the_one_the_program_has() -> None:
    assert README.split("<!-- settings -->")[1].split("<!-- /settings -->")[0].strip() == markdown().strip()


def test_every_reason_is_named() -> None:
    missing = {reason for reason in Reason if f"`{reason}`" not in README} - {Reason.ALLOWED}
    assert not missing


def test_every_metric_is_named() -> None:
    registered = {metric.name for metric in Metrics().registry.collect() if metric.name.startswith("mcp_authz")}
    named = set(re.findall(r"mcp_authz_\w+", README))
    assert {name for name in registered if not any(one.startswith(name) for one in named)} <= {"mcp_authz_build"}


def test_the_policy_that_it_shows_loads() -> None:
    examples = [text for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "version: 1" in text]
    assert examples
    for text in examples:
        assert yaml.safe_load(text)
        found = compile_file("readme.yaml", text.encode(), PolicyContext())
        assert not found.problems, found.problems


def test_the_files_that_it_links_to_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#:]+)\)", README) if "://" not in link]
    assert links
    for link in links:
        assert (Path(__file__).parent.parent / link).exists(), link


# ------------------------------------------------------------------------------------------- policies/README.md

CONTEXT = PolicyContext(claims={"corp": {}}, select_by=(Way.HOST,))
BLOCKS = re.findall(r"```yaml\n(.*?)```", LANGUAGE, re.DOTALL)
CATALOGS = [text for text in BLOCKS if "catalog_schema.json" in text]
WHOLE = [text for text in BLOCKS if "version: 1" in text and text not in CATALOGS]


@pytest.mark.parametrize("text", WHOLE)
def test_every_policy_in_the_reference_loads(text: str) -> None:
    name = "baseline.yaml" if 'server: "*"' in text else "policy.yaml"
    found = compile_file(name, text.encode(), CONTEXT)
    assert found.policy is not None
    assert not found.problems


def test_the_reference_has_a_policy_and_a_baseline() -> None:
    assert len(WHOLE) >= 2


@pytest.mark.parametrize("text", CATALOGS)
def test_every_catalogue_in_the_reference_loads(text: str) -> None:
    assert parse_catalog(text.encode(), "catalog/server.yaml").tools


def test_the_reference_explains_every_reason() -> None:
    table = LANGUAGE.split("## Reasons")[1]
    assert [reason for reason in Reason if f"\n| `{reason}` |" not in table] == []


def test_the_reference_names_every_key() -> None:
    nodes = json.loads((ROOT / "authz" / "policy" / "schema.json").read_text())
    places = [nodes, *(nodes["$defs"][name] for name in ("ruled_block", "single_block", "rule", "limit", "approval"))]
    keys = {key for place in places for key in place["properties"]}
    assert {key for key in keys if not re.search(rf"(?<![\w.]){re.escape(key)}(?!\w)", LANGUAGE)} == set()


def test_links_in_the_reference_lead_somewhere() -> None:
    heads = re.findall(r"^## (.*)$", LANGUAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
    links = [link for link in re.findall(r"\]\(([^)]+)\)", LANGUAGE) if "://" not in link]
    assert {link for link in links if link.startswith("#") and link[1:] not in anchors} == set()
    assert all((ROOT / "policies" / link).exists() for link in links if not link.startswith("#"))


def test_the_policy_tests_that_it_shows_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cases,) = [text for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if text.startswith("cases:")]
    (tmp_path / "demo.yaml").write_bytes((ROOT / "policies" / "demo.yaml").read_bytes())
    (tmp_path / "demo_test.yaml").write_text(f"version: 1\n{cases}")
    assert testing.run(testing.Wanted(tmp_path), Settings()) == 0, capsys.readouterr().out
