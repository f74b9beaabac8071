"""What the README says of the program is what the program says of itself."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from authz.app.metrics import Metrics
from authz.app.settings.settings import markdown
from authz.model import Reason
from authz.policy.compile.file import PolicyContext, compile_file

README = (Path(__file__).parent.parent / "README.md").read_text()


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
