"""What the demo tells a person to type can be typed."""

import os
import sys
from pathlib import Path

import pytest

from authz.app.demo import show


@pytest.fixture
def installed(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "mcp-authz"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bin/mcp-authz", "demo"])
    return program


def test_a_program_that_the_shell_does_not_find_is_named_by_its_path(installed, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert show.program() == "bin/mcp-authz"
    monkeypatch.chdir("/")
    monkeypatch.setattr(sys, "argv", [str(installed), "demo"])
    assert show.program() == str(installed).removeprefix("/")


def test_a_program_that_the_shell_finds_is_named(installed, monkeypatch):
    monkeypatch.setenv("PATH", os.fspath(installed.parent))
    assert show.program() == "mcp-authz"


def test_a_module_is_named_as_one(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/cli.py"])
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / "bin" / "python"))
    assert show.program() == "bin/python -m authz.app.cli"
