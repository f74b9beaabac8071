"""Test files are found beside policies, and nowhere else."""

from __future__ import annotations

import pytest

from authz.app.policies.directory import MAX_FILE
from authz.app.testing.discovery import find, names_of_tests, stamp
from authz.errors import PolicyError
from authz.identity import Identities
from authz.policy.compile.file import PolicyContext

POLICY = "version: 1\ntools: {get: allow}\n"
CASES = "version: 1\ncases: [{name: a, tool: get, expect: allow}]\n"


def test_they_stand_in_the_directory_or_one_below(policies, tmp_path):
    root = policies(
        {
            "bank_test.yaml": CASES,
            "team/shop_test.yaml": CASES,
            "bank.yaml": POLICY,
            "bank_test.yml": CASES,
            ".hidden_test.yaml": CASES,
            "..data/bank_test.yaml": CASES,
            "catalog/bank_test.yaml": CASES,
        }
    )
    (root / "folder_test.yaml").mkdir()
    assert names_of_tests(root) == ["bank_test.yaml", "team/shop_test.yaml"]
    assert [one[0] for one in stamp(root)] == ["bank_test.yaml", "team/shop_test.yaml"]
    assert stamp(tmp_path / "none") == ()


def test_a_policy_that_is_broken_and_a_test_file_that_is_too_long_are_told_together(policies):
    root = policies({"bank.yaml": "version: 2\n", "bank_test.yaml": CASES, "shop_test.yaml": "#" * (MAX_FILE + 1)})
    found = find(root, PolicyContext(), Identities())
    assert [str(problem) for problem in found.problems] == [
        "bank.yaml:1:10: version: expected 1, got 2",
        f"shop_test.yaml: expected at most {MAX_FILE} bytes, got {MAX_FILE + 1}",
    ]


def test_a_test_file_that_cannot_be_read_is_told(policies, monkeypatch):
    root = policies({"bank.yaml": POLICY})
    monkeypatch.setattr("authz.app.testing.discovery.names_of_tests", lambda _: ["gone_test.yaml"])
    with pytest.raises(PolicyError) as caught:
        find(root, PolicyContext(), Identities())
    assert str(caught.value) == f"{root}/gone_test.yaml: cannot be read: no such file or directory"


def test_what_has_not_changed_is_not_compiled_again(policies):
    root = policies({"bank.yaml": POLICY, "shop.yaml": POLICY})
    first = find(root, PolicyContext(), Identities())
    policies({"shop.yaml": POLICY + "# another\n"})
    second = find(root, PolicyContext(), Identities(), first.policies)
    assert second.policies.files["bank.yaml"] is first.policies.files["bank.yaml"]
    assert second.policies.files["shop.yaml"] is not first.policies.files["shop.yaml"]
