"""Which demos there are, and what is told where one cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authz.app.demo import stack, valkey
from authz.app.demo.play import play
from authz.app.demo.processes import DemoError
from authz.app.demo.scenes import SCENES


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_files_of_a_demo_ship_with_the_program(scene: Any) -> None:
    for name in scene.files:
        assert (stack.example_policies() / name).exists()


def test_an_unknown_demo_is_refused() -> None:
    with pytest.raises(DemoError) as caught:
        play(server="bank")
    assert str(caught.value) == "demo --server: expected one of demo, valkey, got 'bank'"


def test_a_program_that_is_missing_is_named_with_the_way_to_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(valkey.resources, "files", lambda _: tmp_path / "authz")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoError) as caught:
        valkey.find(valkey.BRIDGE)
    assert str(caught.value) == (
        "demo --server valkey: no program mcp-proxy: `make .venv-mcp1/ready` installs it, or pipx install mcp-proxy"
    )
    (tmp_path / "mcp-proxy").write_text("#!/bin/sh\n")
    (tmp_path / "mcp-proxy").chmod(0o755)
    assert valkey.find(valkey.BRIDGE) == str(tmp_path / "mcp-proxy")


def test_a_store_is_one_of_the_system_or_of_a_package(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert valkey._store_program().endswith("/valkey-server")
    monkeypatch.setattr(valkey.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DemoError, match="no program valkey-server or redis-server"):
        valkey._store_program()
    (tmp_path / "redis-server").write_text("#!/bin/sh\n")
    (tmp_path / "redis-server").chmod(0o755)
    assert valkey._store_program() == str(tmp_path / "redis-server")


def test_only_routes_that_name_a_server_are_renamed() -> None:
    configuration = stack.configure(1, Path("/s"), governed="awslabs-valkey")
    assert "mcp_server': 'awslabs-valkey'" in str(configuration)
    assert "mcp_server': 'demo'" not in str(configuration)
    assert "mcp_server': 'demo'" in str(stack.configure(1, Path("/s")))
