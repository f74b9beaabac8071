"""What counts as a policy file, and which files are refused before anybody reads what they say."""

import os
from pathlib import Path

import pytest

from authz.app.policies.directory import MAX_FILE, owners_for_service, read_directory, stamp


def write(path: Path, text: str = "version: 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def refusals(root: Path, owners: frozenset[int] | None = None) -> list[str]:
    return [str(problem) for problem in read_directory(root, owners=owners).refused.values()]


def test_policies_are_the_yaml_files_of_the_directory_and_one_below(tmp_path):
    for name in ("bank.yaml", "team/shop.yaml", "team/deep/no.yaml", "readme.md"):
        write(tmp_path / name)
    assert sorted(read_directory(tmp_path).files) == ["bank.yaml", "team/shop.yaml"]


@pytest.mark.parametrize(
    "name", ["catalog/deep/bank.yaml", "bank_test.yaml", "team/a_test.yaml", ".hidden.yaml", "..x/a.yaml"]
)
def test_catalogues_tests_and_hidden_names_are_not_policies(tmp_path, name):
    write(tmp_path / "bank.yaml")
    write(tmp_path / name)
    directory = read_directory(tmp_path)
    assert list(directory.files) == ["bank.yaml"]
    assert directory.refused == {}


def test_a_config_map_is_read_through_its_links_and_each_file_once(config_map):
    root = config_map({"bank.yaml": "one", "team/shop.yaml": "two"})
    assert read_directory(root).files == {"bank.yaml": b"one", "team/shop.yaml": b"two"}


def test_a_swap_of_a_config_map_changes_the_stamp(config_map):
    root = config_map({"bank.yaml": "one"})
    before = stamp(root)
    assert stamp(root) == before
    config_map({"bank.yaml": "two"})
    assert stamp(root) != before
    assert read_directory(root).files == {"bank.yaml": b"two"}


def test_a_rename_over_a_file_changes_the_stamp(tmp_path):
    write(tmp_path / "bank.yaml", "one")
    before = stamp(tmp_path)
    write(tmp_path / "new", "two").rename(tmp_path / "bank.yaml")
    assert stamp(tmp_path) != before


def test_a_name_that_ends_in_yml_is_told_of_and_not_read(tmp_path):
    write(tmp_path / "bank.yml")
    write(tmp_path / "team" / "shop.yml")
    directory = read_directory(tmp_path)
    assert directory.files == {}
    assert [str(warning) for warning in directory.warnings] == [
        "bank.yml: is not read: the name of a policy file ends in .yaml",
        "team/shop.yml: is not read: the name of a policy file ends in .yaml",
    ]


def test_a_file_that_anybody_may_write_is_refused(tmp_path):
    write(tmp_path / "bank.yaml").chmod(0o666)
    write(tmp_path / "shop.yaml")
    assert refusals(tmp_path) == [
        "bank.yaml: may be written by anybody (mode 0666), expected no write permission for others"
    ]
    assert list(read_directory(tmp_path).files) == ["shop.yaml"]


def test_every_file_of_a_directory_that_anybody_may_write_is_refused(tmp_path):
    write(tmp_path / "team" / "shop.yaml")
    (tmp_path / "team").chmod(0o1777)  # the sticky bit stops nobody from adding files
    said = "its directory team/ may be written by anybody (mode 1777), expected no write permission for others"
    assert refusals(tmp_path) == [f"team/shop.yaml: {said}"]


def test_a_link_into_a_directory_that_anybody_may_write_is_refused(tmp_path):
    target = write(tmp_path / "open" / "bank.yaml")
    target.parent.chmod(0o777)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "bank.yaml").symlink_to(target)
    assert refusals(tmp_path / "policies") == [
        "bank.yaml: its directory open/ may be written by anybody (mode 0777), expected no write permission for others"
    ]


def test_a_file_of_another_user_is_refused_where_owners_count(tmp_path):
    write(tmp_path / "bank.yaml")
    me, other = os.geteuid(), os.geteuid() + 1
    assert refusals(tmp_path, frozenset((other,))) == [
        f"bank.yaml: belongs to user {me}, expected user {other}, or a directory that is mounted read-only"
    ]
    assert refusals(tmp_path, owners_for_service()) == []
    assert refusals(tmp_path, None) == []


def test_a_world_writable_file_on_a_read_only_mount_is_read_as_in_a_config_map(tmp_path, monkeypatch):
    write(tmp_path / "bank.yaml").chmod(0o666)
    real = os.statvfs(tmp_path)
    read_only = os.statvfs_result((*real[:8], real.f_flag | os.ST_RDONLY, real[9]))
    monkeypatch.setattr(os, "fstatvfs", lambda _: read_only)
    assert refusals(tmp_path) == []


def test_a_link_that_leads_nowhere_a_pipe_and_a_directory_are_refused_without_waiting(tmp_path):
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "tree.yaml").mkdir()
    assert refusals(tmp_path) == [
        "gone.yaml: cannot be read: the link leads nowhere",
        "pipe.yaml: expected a regular file",
        "tree.yaml: cannot be read: is a directory",
    ]
    assert [seen[0] for seen in stamp(tmp_path)] == ["gone.yaml", "pipe.yaml", "tree.yaml"]


def test_a_file_over_the_bound_is_refused(tmp_path):
    write(tmp_path / "bank.yaml", "#" * (MAX_FILE + 1))
    assert refusals(tmp_path) == [f"bank.yaml: expected at most {MAX_FILE} bytes, got more"]


def test_more_files_than_the_bound_are_a_problem_and_not_silence(tmp_path, monkeypatch):
    monkeypatch.setattr("authz.app.policies.directory.MAX_FILES", 2)
    for name in ("a.yaml", "b.yaml", "c.yaml", "d.yaml"):
        write(tmp_path / name)
    directory = read_directory(tmp_path)
    assert list(directory.files) == ["a.yaml", "b.yaml"]
    assert [str(problem) for problem in directory.refused.values()] == [
        "c.yaml: expected at most 2 policy files, got more: this one and those after it are not read"
    ]


def test_a_name_that_no_log_can_show_is_refused(tmp_path):
    write(tmp_path / "a\nb.yaml")
    assert refusals(tmp_path) == ["a\\nb.yaml: expected a printable file name"]


def test_a_team_directory_that_cannot_be_listed_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "team").mkdir()

    def listdir(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert refusals(tmp_path) == ["team/: cannot be read: permission denied"]


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_directory(tmp_path / "no")
