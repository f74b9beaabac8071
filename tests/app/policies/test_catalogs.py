"""Catalogues beside policies: read, watched and reloaded like them, and never policies themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from authz.app.policies.directory import read_directory, stamp
from authz.app.policies.reload import Loader
from authz.errors import PolicyError
from authz.policy.compile.file import PolicyContext

POLICY = "version: 1\ncategories: {Read: allow}\n"
CATALOG = "version: 1\ntools: {a: {categories: [Read], risk: Low}}\n"


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_catalogues_of_the_directory_and_of_teams_are_read(tmp_path: Path) -> None:
    for name in ("bank.yaml", "catalog/bank.yaml", "team/shop.yaml", "team/catalog/shop.yaml"):
        write(tmp_path, name, POLICY)
    for name in ("catalog/.bank.yaml", "catalog/bank.md", "catalog/deep/x.yaml", "a/b/catalog/x.yaml"):
        write(tmp_path, name, "no")
    directory = read_directory(tmp_path)
    expected = ["bank.yaml", "catalog/bank.yaml", "team/catalog/shop.yaml", "team/shop.yaml"]
    assert sorted(directory.files) == expected
    assert not directory.empty


def test_a_directory_of_catalogues_has_no_policy(tmp_path: Path) -> None:
    write(tmp_path, "catalog/bank.yaml", CATALOG)
    assert read_directory(tmp_path).empty
    with pytest.raises(PolicyError) as caught:
        Loader(tmp_path, PolicyContext()).first()
    assert str(caught.value) == f"{tmp_path}: expected policy files (*.yaml), got none"


def test_a_catalogue_that_anybody_may_write_is_refused_like_a_policy(tmp_path: Path) -> None:
    write(tmp_path, "bank.yaml", POLICY)
    write(tmp_path, "catalog/bank.yaml", CATALOG)
    os.chmod(tmp_path / "catalog/bank.yaml", 0o666)  # noqa: S103 - which is the point
    with pytest.raises(PolicyError) as caught:
        Loader(tmp_path, PolicyContext()).first()
    assert [str(problem) for problem in caught.value.problems] == [
        "bank.yaml:2:1: categories: needs the catalogue catalog/bank.yaml, which does not load",
        "catalog/bank.yaml: may be written by anybody (mode 0666), expected no write permission for others",
    ]


def test_a_change_of_a_catalogue_is_seen_and_loaded(tmp_path: Path) -> None:
    write(tmp_path, "bank.yaml", POLICY)
    write(tmp_path, "catalog/bank.yaml", CATALOG)
    loader = Loader(tmp_path, PolicyContext())
    first = loader.first().policies
    before = stamp(tmp_path)
    write(tmp_path, "catalog/bank.yaml", CATALOG.replace("{a:", "{b:"))
    assert stamp(tmp_path) != before
    loaded = loader.again(first)
    assert loaded is not None
    assert loaded.kept == ""
    assert list(loaded.policies.policies["bank"].catalog.tools) == ["b"]
    write(tmp_path, "catalog/bank.yaml", "version: 2\n")
    broken = loader.again(loaded.policies)
    assert broken is not None
    assert [str(problem) for problem in broken.policies.problems] == [
        "catalog/bank.yaml:1:10: version: expected 1, got 2"
    ]
    assert list(broken.policies.policies["bank"].catalog.tools) == ["b"]
