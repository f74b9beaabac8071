"""Where catalogues are, and that a file is replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz.app.catalog.files import all_catalogs, policy_of, read_catalog, write_whole
from authz.errors import SettingsError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "catalog" / "x.yaml"
    write_whole(file, "one")
    write_whole(file, "two")
    assert file.read_text() == "two"
    assert [path.name for path in file.parent.iterdir()] == ["x.yaml"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"x\.yaml: cannot be written: file exists|not a directory"):
        write_whole(tmp_path / "file" / "x.yaml", "one")
    (tmp_path / "taken.yaml").mkdir()
    with pytest.raises(SettingsError, match=r"taken\.yaml: cannot be written: is a directory"):
        write_whole(tmp_path / "taken.yaml", "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.yaml"]


def test_what_no_reader_would_take_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not written: expected at most 1048576 bytes, got 1048577"):
        write_whole(tmp_path / "x.yaml", "x" * (1 << 20) + "x")
    assert not list(tmp_path.iterdir())


def test_policy_tests_are_no_policies(tmp_path: Path) -> None:
    (tmp_path / "x_test.yaml").write_text("version: 1\nserver: shop\n")
    assert policy_of(tmp_path, "shop") is None
    (tmp_path / "z.yaml").write_text("version: 1\nserver: shop\n")
    assert policy_of(tmp_path, "shop") == tmp_path / "z.yaml"


def test_a_catalogue_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    assert read_catalog(tmp_path, "x") is None
    (tmp_path / "catalog" / "x.yaml").mkdir()
    with pytest.raises(SettingsError, match=r"catalog/x\.yaml: cannot be read: is a directory"):
        read_catalog(tmp_path, "x")


def test_all_catalogues_are_found_those_of_teams_too(tmp_path: Path) -> None:
    for folder in ("catalog", "hr/catalog"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.yaml").write_text("version: 1\n")
    assert [one.server for one in all_catalogs(tmp_path)] == ["x", "hr/x"]
