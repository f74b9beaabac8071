"""`mcp-authz import`: files in, policies, tests and a table out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from imported import written

from authz.app.commands import import_ as command
from authz.app.importing.choices import From, Per, Windows
from authz.errors import AuthzError

INTERCEPT = """\
version: "1"
default: deny
hide: [drop_all]
tools:
  create_charge:
    rules:
      - {name: cap, conditions: [{path: args.amount, op: lte, value: 500}], on_deny: At most 500}
      - {name: currency, conditions: [{path: args.currency, op: in, value: [usd, eur]}]}
      - name: spend
        conditions: [{path: state.create_charge.spend, op: lte, value: 1000}]
        state: {counter: spend, window: day, increment_from: args.amount}
  branch:
    rules:
      - {name: names, conditions: [{path: args.to.name, op: regex, value: feat/}]}
      - {name: no force, conditions: [{path: args.force, op: neq, value: true}]}
      - {name: labels, conditions: [{path: args.labels, op: contains, value: safe}]}
      - {name: no admin, conditions: [{path: args.role, op: not_in, value: [admin, 7]}]}
      - {name: no debug, conditions: [{path: args.debug, op: exists, value: false}]}
      - {name: some, conditions: [{path: args.why, op: exists, value: true}]}
      - {name: odd, conditions: [{path: args.odd, op: regex, value: '\\pL{3}'}]}
      - {name: rate, rate_limit: 5/minute}
  ask:
    rules: [{name: ask, action: require_approval, approval_timeout: 1h}]
  list: {rules: []}
  "*":
    rules: [{name: all, rate_limit: 60/minute}]
"""
NEVER_FULL = """\
version: "1"
tools:
  rare:
    rules:
      - name: rare
        conditions: [{path: state.rare.calls, op: lte, value: 2}]
        state: {counter: calls, window: day, increment: 3}
  often:
    rules: [{name: often, rate_limit: 5000/day}]
  "*":
    rules: [{name: all, rate_limit: 60/minute}]
"""
PAGE = "tools:\n  search:\n    rules:\n      - {action: allow, reason: ok, rate_limit: {max: 10, window: 60}}\n"
GRANT = """{"version": "1", "default": "allow", "tools": {"t": {"require": ["args.why"], "deny_if": [
 {"conditions": [{"path": "args.env", "op": "eq", "value": "prod"}, {"path": "args.n", "op": "gt", "value": 3}]},
 {"conditions": [{"path": "args.sql", "op": "regex", "value": "(?i)drop"}]}]},
 "u": {"deny_if": [{"conditions": [{"path": "args.a", "op": "exists", "value": true},
  {"path": "args.b", "op": "exists", "value": true}]}]},
 "v": {"deny_if": [{"conditions": [{"path": "args.a", "op": "neq", "value": "x"},
  {"path": "args.a", "op": "neq", "value": "y"}]}]}}}"""


def run(*files: Path, out: Path | None = None, source: From = From.AUTO, force: bool = False) -> int:
    return command.run(files, source, out, Per.SOURCE, Windows.SLIDING, force=force)


def test_what_is_written_passes_its_own_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        written(name, text, tmp_path)
        for name, text in (("stripe.yaml", INTERCEPT), ("page.yaml", PAGE), ("grant.json", GRANT))
    ]
    out = tmp_path / "policies"
    assert run(*files, out=out) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {f"{stem}{end}.yaml" for stem in ("stripe", "page", "grant") for end in ("", "_test")}
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["place", "effect", "there", "here"]
    assert any(line.startswith(f"{files[0]}:7:34") and "same" in line for line in table)
    for path in out.iterdir():
        path.chmod(0o600)
    program = [sys.executable, "-m", "authz.app.cli"]
    # Every mistake that could be made in what is written is noticed by some case.
    for arguments in (["test", str(out), "--mutate"], ["validate", str(out)]):
        done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == (0 if arguments[0] == "test" else 1), done.stdout + done.stderr
    assert "0 problems" in done.stderr


def test_tests_pin_values_types_hazards_and_limits(tmp_path: Path) -> None:
    out = tmp_path / "policies"
    run(written("stripe.yaml", INTERCEPT, tmp_path), written("full.yaml", NEVER_FULL, tmp_path), out=out)
    text = (out / "stripe_test.yaml").read_text() + (out / "full_test.yaml").read_text()
    for line in (
        "      - {name: amount is 501, arguments: {amount: 501}}",
        "      - {name: no amount, without: [amount]}",
        '      - {name: amount as text, arguments: {amount: "250"}}',
        "      - {name: currency in a list, arguments: {currency: [usd]}}",
        "      - {repeat: 4, expect: allow}",
        "      - {address: 192.0.2.2, arguments: {amount: 1, currency: usd}, expect: deny, reason: rate_limited}",
        "      - {name: amount is 0, arguments: {amount: 0}}",
        "rare passes 0 times",
        "owes: [often/often, all/all]",
        "ask waits for a person",
    ):
        assert line in text, line
    assert "to.name with more around the match passes" in text


@pytest.mark.parametrize("per", list(Per))
def test_tests_pin_whose_calls_count_together(tmp_path: Path, per: Per) -> None:
    out = tmp_path / "policies"
    file = written("x.yaml", "tools:\n  a:\n    rules: [{rate_limit: 3/hour}]\n", tmp_path)
    assert command.run([file], From.AUTO, out, per, Windows.FIXED, force=False) == 0
    program = [sys.executable, "-m", "authz.app.cli", "test", str(out), "--mutate"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr


def test_where_no_sample_is_found_there_is_no_case_of_it(tmp_path: Path) -> None:
    pattern = r"^\\pL{12}-\\pN{7}$"
    rule = f'{{name: r, conditions: [{{path: args.id, op: regex, value: "{pattern}"}}]}}'
    out = tmp_path / "policies"
    assert run(written("x.yaml", f'version: "1"\ntools:\n  t:\n    rules: [{rule}]\n', tmp_path), out=out) == 0
    text = (out / "x_test.yaml").read_text()
    assert "t passes" not in text
    assert "t denies other arguments" in text


def test_without_a_directory_policies_are_printed_and_the_table_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(written("page.yaml", PAGE, tmp_path)) == 0
    out, err = capsys.readouterr()
    assert out.startswith("# imported from ")
    assert "cases:" not in out
    assert err.startswith("place")


def test_if_one_file_cannot_be_carried_over_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = written("page.yaml", PAGE, tmp_path)
    bad = written("bad.yaml", 'version: "1"\ndefualt: deny\n', tmp_path)
    out = tmp_path / "policies"
    assert run(good, bad, tmp_path / "none.yaml", out=out) == 2
    assert not out.exists()
    assert capsys.readouterr().err.splitlines() == [
        (
            f"{bad}:2:1: defualt: a policy of Intercept has no key 'defualt', which has no effect there, "
            "did you mean 'default'?"
        ),
        f"{tmp_path}/none.yaml: cannot be read: no such file or directory",
        "2 problems, nothing is written",
    ]


def test_what_never_ends_is_not_read_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run([Path("/dev/zero")], From.AUTO, None, Per.SOURCE, Windows.SLIDING, force=False) == 2
    assert capsys.readouterr().err == (
        "/dev/zero: expected at most 1048576 bytes, got 1048577\n1 problem, nothing is written\n"
    )


def test_what_would_not_load_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "yaml_text", lambda *_: "version: 1\ntols: {}\n")
    file = written("page.yaml", PAGE, tmp_path)
    assert run(file, out=tmp_path / "policies") == 2
    assert capsys.readouterr().err.startswith(
        f"{file}: what it becomes does not load: page.yaml:2:1: tols: unknown key"
    )
    assert not (tmp_path / "policies").exists()


def test_arguments_that_are_nested_too_deep_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = "args" + ".a" * 40
    rule = f"{{name: r, conditions: [{{path: {path}, op: eq, value: 1}}]}}"
    file = written("deep.yaml", f'version: "1"\ntools:\n  t:\n    rules: [{rule}]\n', tmp_path)
    assert run(file) == 2
    assert capsys.readouterr().err.startswith(f"{file}:3:3: tools.t: its conditions cannot be written together: ")


def test_a_file_that_exists_is_replaced_only_with_force(tmp_path: Path) -> None:
    file, out = written("page.yaml", PAGE, tmp_path), tmp_path / "policies"
    out.mkdir()
    written("page.yaml", "mine", out)
    with pytest.raises(AuthzError, match=r"page\.yaml exists; --force replaces it"):
        run(file, out=out)
    assert run(file, out=out, force=True) == 0
    assert (out / "page.yaml").read_text().startswith("# imported")


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(AuthzError, match="cannot be written: "):
        run(written("page.yaml", PAGE, tmp_path), out=written("occupied", "", tmp_path) / "below")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("my policy.yaml", "my-policy"),
        ("baseline.yaml", "imported-baseline"),
        ("x_test.yaml", "x_test-imported"),
        ("!.yaml", "policy"),
    ],
)
def test_the_name_of_the_file_becomes_that_of_the_server(tmp_path: Path, name: str, stem: str) -> None:
    out = tmp_path / "policies"
    assert run(written(name, PAGE, tmp_path), out=out) == 0
    assert (out / f"{stem}.yaml").exists()
    assert len(list(out.iterdir())) == 2


def test_two_files_for_one_server_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [written(name, PAGE, tmp_path) for name in ("a.yaml", "a.yml")]
    assert run(*files) == 2
    assert "a.yml: another file would be written to a.yaml too: rename one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "text", "problem"),
    [
        (From.INTERCEPT, PAGE, "4:25: tools.search.rules[0].reason: no part of Intercept looks like this: see --from"),
        (
            From.POLICYLAYER,
            INTERCEPT,
            (
                "7:21: tools.create_charge.rules[0].conditions: no part of PolicyLayer pages or PolicyLayer grants "
                "looks like this: see --from"
            ),
        ),
    ],
)
def test_whose_file_it_is_can_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: From, text: str, problem: str
) -> None:
    file = written("x.yaml", text, tmp_path)
    assert run(file, source=source) == 2
    assert capsys.readouterr().err.startswith(f"{file}:{problem}")


def test_a_file_that_could_be_anybodys_is_read_as_is_said(tmp_path: Path) -> None:
    file = written("x.yaml", 'version: "1"\ntools: {a: {rules: []}}\n', tmp_path)
    for source, default in ((From.AUTO, "allow"), (From.INTERCEPT, "allow"), (From.POLICYLAYER, "deny")):
        assert run(file, source=source, out=tmp_path / source) == 0
        assert f"default: {default}" in (tmp_path / source / "x.yaml").read_text()


def test_the_command_line_takes_them(tmp_path: Path) -> None:
    file = str(written("page.yaml", PAGE, tmp_path))
    program = [sys.executable, "-m", "authz.app.cli", "import", file, "--windows", "fixed", "--per", "client"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0
    assert "rate_limit: {name: search/60, max: 10, window: 60, per: client, algorithm: fixed_window}" in done.stdout
