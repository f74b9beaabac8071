"""What is read again and what is not: files that look as they did are known, and no doubt is taken for certainty."""

import os
import time
from pathlib import Path

import pytest

from authz.app.policies import directory as module
from authz.app.policies.directory import Known, read_directory

PAST = 1_700_000_000_000_000_000  # ns


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The names of the files that were opened, in order."""
    names: list[str] = []
    real = os.open

    def note(path, *rest, **more):
        names.append(Path(path).name)
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", note)
    return names


@pytest.fixture
def old() -> Known:
    """To which every file is old enough to be known by its looks."""
    return Known(young=0)


def contents(root: Path, known: Known) -> dict[str, bytes]:
    found = read_directory(root, known=known)
    assert found.refused == {}
    return dict(found.files)


def test_only_a_file_that_has_changed_is_read_again(policies, old, opened):
    root = policies({"bank.yaml": "one", "shop.yaml": "two", "team/post.yaml": "three"})
    assert contents(root, old) == {"bank.yaml": b"one", "shop.yaml": b"two", "team/post.yaml": b"three"}
    opened.clear()
    policies({"shop.yaml": "new"})
    assert contents(root, old) == {"bank.yaml": b"one", "shop.yaml": b"new", "team/post.yaml": b"three"}
    assert opened == ["shop.yaml"]


def test_a_file_of_the_same_size_and_time_in_the_place_of_another_is_read(policies, old, opened):
    root = policies({"bank.yaml": "one"})
    os.utime(root / "bank.yaml", ns=(PAST, PAST))
    contents(root, old)
    policies({"bank.yaml": "two"})
    os.utime(root / "bank.yaml", ns=(PAST, PAST))
    opened.clear()
    assert contents(root, old) == {"bank.yaml": b"two"}


def test_a_young_file_is_read_again_until_it_is_old(policies, opened, monkeypatch):
    root = policies({"bank.yaml": "one"})
    known = Known(young=2_000_000_000)
    contents(root, known)
    contents(root, known)
    assert opened == ["bank.yaml"] * 2
    later = time.time_ns() + 3_000_000_000
    monkeypatch.setattr(module.time, "time_ns", lambda: later)
    contents(root, known)
    contents(root, known)
    assert opened == ["bank.yaml"] * 3


def test_equal_content_that_was_read_again_is_the_same_object(policies):
    root = policies({"bank.yaml": "one"})
    known = Known(young=2_000_000_000)
    first, second = contents(root, known), contents(root, known)
    assert first["bank.yaml"] is second["bank.yaml"]


def test_a_file_that_is_gone_is_forgotten(policies, old, opened):
    root = policies({"bank.yaml": "one", "shop.yaml": "two"})
    contents(root, old)
    policies({"bank.yaml": None})
    assert contents(root, old) == {"shop.yaml": b"two"}
    policies({"bank.yaml": "one"})
    opened.clear()
    contents(root, old)
    assert opened == ["bank.yaml"]


def test_the_swap_of_a_config_map_is_read_and_its_neighbour_in_a_directory_is_not(config_map, old, opened):
    root = config_map({"bank.yaml": "one", "shop.yaml": "two"})
    contents(root, old)
    opened.clear()
    contents(root, old)
    assert opened == []
    config_map({"bank.yaml": "new", "shop.yaml": "two"})
    assert contents(root, old) == {"bank.yaml": b"new", "shop.yaml": b"two"}
    assert opened == ["bank.yaml", "shop.yaml"]  # the kubelet writes all files anew


def test_a_known_file_in_a_directory_that_anybody_may_write_by_now_is_refused(policies, old):
    root = policies({"bank.yaml": "one"})
    contents(root, old)
    root.chmod(0o777)
    refused = read_directory(root, known=old).refused["bank.yaml"]
    assert refused.message == (
        "its directory policies/ may be written by anybody (mode 0777), expected no write permission for others"
    )


def test_a_known_file_that_anybody_may_write_by_now_is_refused(policies, old):
    root = policies({"bank.yaml": "one"})
    contents(root, old)
    (root / "bank.yaml").chmod(0o666)
    assert [str(one) for one in read_directory(root, known=old).refused.values()] == [
        "bank.yaml: may be written by anybody (mode 0666), expected no write permission for others"
    ]


def test_a_file_that_only_its_mount_protects_is_looked_at_each_time(policies, old, opened, monkeypatch):
    root = policies({"bank.yaml": "one"})
    (root / "bank.yaml").chmod(0o666)
    mounted = os.statvfs(root)

    class ReadOnly:
        f_flag = mounted.f_flag | os.ST_RDONLY

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstatvfs", lambda _: ReadOnly)
        contents(root, old)
        contents(root, old)
    assert opened == ["bank.yaml"] * 2
    assert list(read_directory(root, known=old).refused) == ["bank.yaml"]


def test_a_link_whose_target_moved_away_is_followed_anew(tmp_path, old):
    for name in ("old", "root"):
        (tmp_path / name).mkdir(mode=0o755)
    (tmp_path / "old" / "bank.yaml").write_text("one")
    (tmp_path / "root" / "bank.yaml").symlink_to(tmp_path / "way" / "bank.yaml")
    (tmp_path / "way").symlink_to("old")
    contents(tmp_path / "root", old)
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "way").unlink()
    (tmp_path / "way").symlink_to("new")
    (tmp_path / "new").chmod(0o777)
    assert list(read_directory(tmp_path / "root", known=old).refused) == ["bank.yaml"]
