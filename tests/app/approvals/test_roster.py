"""The approvers file: what it may say, how it changes, and that it gives no token away."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from authz.app.approvals.enrol import add, remove
from authz.app.approvals.roster import Named, Roster, read
from authz.errors import SettingsError
from authz.model import Approver

DIGEST = "ab" * 32


def problem(call, *given) -> str:
    with pytest.raises(SettingsError) as caught:
        call(*given)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "approvers.yaml"


def test_a_token_is_given_once_and_only_its_digest_is_kept(file):
    token = add(file, "dana", ["dba", "ops"], "dana@example.com")
    assert token.startswith("mcpa_")
    assert len(token) == len("mcpa_") + 43  # 256 bits in base64
    text = file.read_text()
    assert token not in text
    assert token.removeprefix("mcpa_") not in text
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert read(file) == (Named("dana", digest, frozenset({"dba", "ops"}), "dana@example.com"),)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert add(file, "erin", [], "") != token


def test_what_people_wrote_around_the_entries_and_the_mode_stay(file):
    add(file, "dana", ["dba"], "")
    file.write_text(file.read_text().replace("- name: dana", "# on call\n- name: dana  # until May") + "# the rest\n")
    file.chmod(0o640)
    add(file, "erin", [], "erin@example.com")
    add(file, "frank", [], "")
    remove(file, "erin")
    assert [one.name for one in read(file)] == ["dana", "frank"]
    text = file.read_text()
    for kept in ("# on call\n- name: dana  # until May\n", "# the rest\n"):
        assert kept in text
    assert "erin" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    remove(file, "frank")
    remove(file, "dana")
    assert read(file) == ()
    assert add(file, "dana", [], "")


def test_a_name_is_added_once_and_removed_once(file):
    add(file, "dana", [], "")
    assert problem(add, file, "dana", [], "") == (
        f"approvers: {file}: expected a new name, got 'dana': remove it first for a new token"
    )
    assert problem(remove, file, "erin") == f"approvers: {file}: there is no 'erin'"


@pytest.mark.parametrize("name", ["", " dana", "group:dba", "a\nb", "x" * 201, "\u202e"])
def test_a_name_that_could_be_misread_is_refused(file, name):
    assert problem(add, file, name, [], "").startswith("approvers: expected printable characters without ':' in a name")
    assert problem(add, file, "dana", [name], "").startswith("approvers: expected printable characters")


def test_a_file_in_another_style_is_changed_by_hand(file):
    file.write_text(f"[{{name: dana, token_sha256: {DIGEST}}}]\n")
    assert problem(add, file, "erin", [], "").endswith("expected one approver per '- ', got [ … ]: add it by hand")
    assert problem(remove, file, "dana").endswith("expected one approver per '- ', got [ … ]: remove it by hand")


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    file = tmp_path / "none" / "approvers.yaml"
    assert problem(add, file, "dana", [], "") == (f"approvers: {file}: cannot be written: no such file or directory")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\n", ":1:1: expected a list of approvers"),
        ("- dana\n", ":1:3: [0]: expected an approver such as {name: dana, token_sha256: …}, got 'dana'"),
        ("- name: dana\n", ":1:3: [0]: expected the key token_sha256"),
        (f"- token_sha256: {DIGEST}\n", ":1:3: [0]: expected the key name"),
        (
            f"- {{name: a, token_sha256: {DIGEST}, group: [b]}}\n",
            ":1:93: [0].group: expected one of name, groups, claim, token_sha256, did you mean 'groups'?",
        ),
        (
            "- {name: a, token_sha256: abc}\n",
            ":1:13: [0].token_sha256: expected 64 lower-case hex digits, as `mcp-authz approvers add` writes them",
        ),
        (f"- {{name: a, token_sha256: {DIGEST.upper()}}}\n", "expected 64 lower-case hex digits"),
        (f"- {{name: 'a:b', token_sha256: {DIGEST}}}\n", ":1:4: [0].name: expected a name of printable characters"),
        (f"- {{name: a, token_sha256: {DIGEST}, groups: x}}\n", "[0].groups: expected a list of group names, got 'x'"),
        (f"- {{name: a, token_sha256: {DIGEST}, claim: ''}}\n", "[0].claim: expected text, got ''"),
        (
            f"- {{name: a, token_sha256: {DIGEST}}}\n- {{name: a, token_sha256: {DIGEST}}}\n",
            ":2:4: [1].name: the name 'a' is used twice",
        ),
        ("- {", ""),
        ("- {name: a, name: b}\n", "[0].name"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant_is_refused_with_the_place(file, text, says):
    file.write_text(text)
    found = problem(read, file)
    assert found.startswith(f"approvers: {file}")
    assert says in found


def test_a_file_that_is_not_there_is_said(file):
    assert problem(Roster, file) == f"approvers: {file}: cannot be read: no such file or directory"


def test_a_token_finds_its_approver_and_no_other(file):
    tokens = {name: add(file, name, ["dba"], "") for name in ("dana", "erin")}
    roster = Roster(file)
    for name, token in tokens.items():
        found = roster.by_token(token)
        assert found is not None
        assert found.name == name
    for wrong in (
        "",
        tokens["dana"] + "x",
        tokens["dana"].upper(),
        hashlib.sha256(tokens["dana"].encode()).hexdigest(),
    ):
        assert roster.by_token(wrong) is None


def test_the_claim_of_who_has_none_is_the_name_where_ids_are_compared():
    named = Named("dana", DIGEST, frozenset({"dba"}))
    roster = Roster(Path(os.devnull), claim_is_id=True)
    assert roster.approver(named) == Approver("dana", frozenset({"dba"}), "dana")
    assert Roster(Path(os.devnull)).approver(named) == Approver("dana", frozenset({"dba"}), "")


def test_a_changed_file_counts_at_once_and_a_broken_one_not_at_all(file, caplog):
    add(file, "dana", [], "")
    roster = Roster(file)
    token = add(file, "erin", [], "")
    assert roster.by_token(token) is not None
    file.write_text("- {")
    assert roster.by_name("erin") is not None
    assert "the approvers read before stay in force" in caplog.text
    file.unlink()
    assert roster.by_name("erin") is not None
    assert "cannot be read: no such file or directory" in caplog.text
    file.write_text("# nobody\n")
    assert roster.by_name("erin") is None
