"""A change of a policy or a test file is noticed once it has settled."""

from __future__ import annotations

from authz.app.policies.reload import INTERVAL, SETTLE
from authz.app.testing.watching import changes

POLICY = "version: 1\n"


def test_there_is_something_at_once_and_again_for_each_change(policies):
    root = policies({"bank.yaml": POLICY, "bank_test.yaml": "version: 1\n"})
    slept: list[float] = []
    edits = iter(
        [
            {"bank_test.yaml": "version: 1 # a change\n"},
            None,
            {"bank.yaml": "version: 1 # a longer change\n"},
            {"bank.yaml": None, "bank_test.yaml": None},
        ]
    )

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if seconds == INTERVAL:
            edit = next(edits)
            if edit:
                policies(edit)

    looking = changes(root, sleep=sleep)
    for _ in range(4):
        next(looking)
    assert slept == [SETTLE, INTERVAL, SETTLE, INTERVAL, INTERVAL, SETTLE, INTERVAL, SETTLE]


def test_what_is_being_written_is_waited_for(policies):
    root = policies({"bank.yaml": POLICY})
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) < 3:
            policies({"bank.yaml": POLICY + "#" * len(slept)})

    next(changes(root, sleep=sleep))
    assert slept == [SETTLE] * 3


def test_a_directory_that_comes_later_is_a_change(tmp_path):
    root = tmp_path / "later"

    def sleep(seconds: float) -> None:
        if seconds == INTERVAL:
            root.mkdir(exist_ok=True)
            (root / "bank.yaml").write_text(POLICY)

    looking = changes(root, sleep=sleep)
    next(looking)
    assert not root.exists()
    next(looking)
    assert root.exists()
