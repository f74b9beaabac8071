"""Directories of policies that tests change as people and the kubelet do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


def policy(action: str = "allow", **more: str) -> str:
    """A policy whose only tool is get_value; `more` are further lines."""
    lines = ["version: 1", *(f"{key}: {value}" for key, value in more.items()), "tools:", f"  get_value: {action}"]
    return "\n".join(lines) + "\n"


@pytest.fixture
def policies(tmp_path: Path) -> Callable[..., Path]:
    """Write files into the directory of policies, by name; a name with None is removed. Gives the directory."""
    root = tmp_path / "policies"
    root.mkdir(mode=0o755)

    def write(files: Mapping[str, str | None]) -> Path:
        for name, text in files.items():
            path = root / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(exist_ok=True)
            # Written beside and renamed, so that nobody reads half a file.
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_text(text)
            fresh.chmod(0o644)
            fresh.rename(path)
        return root

    return write


@pytest.fixture
def config_map(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Lay files out as the kubelet does: links into `..data`, which each call swaps by one rename."""
    root = tmp_path / "mounted"
    root.mkdir(mode=0o755)
    generations = iter(range(1000))

    def swap(files: Mapping[str, str]) -> Path:
        data = root / f"..2026_{next(generations)}"
        for name, text in files.items():
            path = data / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o644)
        fresh = root / "..data_tmp"
        fresh.symlink_to(data.name)
        fresh.rename(root / "..data")
        for name in files:
            top = name.split("/")[0]
            if not (root / top).is_symlink():
                (root / top).symlink_to(f"..data/{top}")
        return root

    return swap
