"""`mcp-authz test`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from authz.app import cli
from authz.app.commands import test as command
from authz.app.settings.settings import Settings, table
from authz.app.testing.discovery import find
from authz.identity import Identities
from authz.policy.compile.file import PolicyContext

ROOT = Path(__file__).parents[3]
POLICY = "version: 1\ntools:\n  get: allow\n  drop: {action: deny, reason: never}\n"
CASES = """version: 1
cases:
  - {name: reading, tool: get, expect: allow}
  - {name: dropping, tool: drop, expect: deny, text: never}
  - {name: anything else, tool: zap, expect: deny, reason: default_denied}
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `mcp-authz test`: exit code, stdout and stderr."""
    for setting in table().values():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*argv: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mcp-authz", "test", *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_cases_that_pass_exit_with_0(run, policies):
    code, out, err = run(policies({"bank.yaml": POLICY, "bank_test.yaml": CASES}))
    assert (code, err) == (0, "")
    assert out.startswith("bank_test.yaml ...\n\n3 passed in 0.")


def test_a_team_tests_its_policies_beside_the_platforms_and_is_not_asked_to_cover_those(run, policies, tmp_path):
    own = tmp_path / "platform"
    own.mkdir()
    rules = "tools:\n  drop: {action: deny, reason: never}\n  x: deny\n"
    (own / "baseline.yaml").write_text(f"version: 1\nserver: '*'\n{rules}")
    root = policies({"bank.yaml": POLICY.replace("{action: deny, reason: never}", "allow"), "bank_test.yaml": CASES})
    assert run(root)[0] == 1
    config = tmp_path / "settings.yaml"
    config.write_text(f"baseline: {own}\n")
    code, out, _ = run(root, "--config", config, "--coverage")
    assert (code, "3 passed" in out, "baseline.yaml" in out) == (0, True, False)
    config.write_text(f"baseline: {own}/none\n")
    code, out, _ = run(root, "--config", config)
    assert (code, out) == (2, f"{own}/none: cannot be read: no such file or directory\n")


def test_a_case_that_fails_exits_with_1_and_says_why(run, policies):
    root = policies({"bank.yaml": POLICY.replace("{action: deny, reason: never}", "allow"), "bank_test.yaml": CASES})
    code, out, _ = run(root, "--mutate")
    assert code == 1
    assert "\nbank_test.yaml:4:5: dropping\n  expected deny, got allow: allowed by tools.drop\ntried:\n" in out
    assert (
        "FAILED bank_test.yaml::dropping - expected deny, got allow: allowed by tools.drop\n1 failed, 2 passed" in out
    )
    assert out.endswith("no mutants: expected cases that pass on the policies as they are\n")


def test_a_file_that_cannot_be_used_exits_with_2_and_nothing_is_played(run, policies):
    root = policies({"bank.yaml": "version: 1\ntols: {}\n", "bank_test.yaml": "version: 1\ncases: {}\n"})
    code, out, err = run(root)
    assert code == 2
    assert out.splitlines() == [
        "bank.yaml:2:1: tols: unknown key 'tols', did you mean 'tools'?",
        "bank_test.yaml:2:8: cases: expected a list of cases, got an empty mapping",
    ]
    assert err == "2 problems, nothing was played\n"


def test_a_directory_that_is_not_there_exits_with_2(run, tmp_path):
    code, out, _ = run(tmp_path / "none")
    assert (code, out) == (2, f"{tmp_path / 'none'}: cannot be read: no such file or directory\n")


def test_no_cases_exit_with_5(run, policies):
    root = policies({"bank.yaml": POLICY})
    code, _, err = run(root)
    assert (code, err) == (
        5,
        f"{root}: no cases to play: expected test files (*_test.yaml) beside the policies\n",
    )
    policies({"bank_test.yaml": CASES})
    assert run(root, "-k", "nothing") == (5, "", f"{root}: no cases to play: 3 deselected\n")


def test_an_expression_chooses_cases_and_each_has_its_line(run, policies):
    root = policies({"bank.yaml": POLICY, "bank_test.yaml": CASES})
    code, out, _ = run(root, "-v", "-k", "reading or 'anything else'")
    assert code == 0
    assert out.splitlines()[:2] == ["bank_test.yaml::reading PASSED", "bank_test.yaml::anything else PASSED"]
    assert "2 passed, 1 deselected" in out
    code, _, err = run(root, "-k", "a b")
    assert (code, err) == (2, "-k: expected and, or, or the end, got 'b': quote text with spaces\n")


def test_reports_are_written(run, policies, tmp_path):
    root = policies({"bank.yaml": POLICY, "bank_test.yaml": CASES})
    junit, html = tmp_path / "junit.xml", tmp_path / "coverage.html"
    code, out, _ = run(root, "--junit", junit, "--coverage-html", html)
    assert code == 0
    assert "coverage" not in out
    assert '<testsuite tests="3"' in junit.read_text()
    assert "Policy test coverage: 100.0 %" in html.read_text()
    code, _, err = run(root, "--junit", tmp_path / "none" / "junit.xml")
    assert (code, err) == (2, f"--junit: {tmp_path / 'none' / 'junit.xml'}: no such file or directory\n")


def test_coverage_may_have_a_floor(run, policies):
    root = policies({"bank.yaml": POLICY, "bank_test.yaml": CASES})
    assert run(root, "--min-coverage", "100")[0] == 0
    code, out, _ = run(root, "--min-coverage", "90", "-k", "reading")
    assert code == 1
    assert out.endswith("coverage: expected at least 90 %, got 33.3 %\n")


def test_mutants_that_survive_exit_with_1_unless_the_floor_is_lower(run, policies):
    root = policies({"bank.yaml": POLICY, "bank_test.yaml": CASES})
    code, out, _ = run(root, "--mutate")
    assert (code, out.splitlines()[-1].startswith("mutation score 100.0 % in 0.")) == (0, True)
    code, out, _ = run(root, "--mutate", "-k", "not dropping")
    assert code == 1
    assert "SURVIVED bank.yaml:4:10: tools.drop.action: deny made allow (no case at it)\n" in out
    assert run(root, "--mutate", "-k", "not dropping", "--min-score", "50")[0] == 0


def test_it_watches_until_it_is_told_to_stop(run, policies, monkeypatch):
    root = policies({"bank.yaml": POLICY, "bank_test.yaml": CASES})

    def twice_and_stop(directory: Path):
        assert directory == root
        yield
        policies({"bank.yaml": POLICY.replace("never", "nope")})
        yield
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "changes", twice_and_stop)
    code, out, _ = run(root, "--watch")
    assert code == 0
    assert out.index("3 passed") < out.index("1 failed, 2 passed")


# ------------------------------------------------------------------------------------------- what the house ships


def test_the_example_policies_are_tested_and_their_tests_notice_every_mistake(run):
    code, out, err = run(ROOT / "policies", "--mutate", "--min-coverage", "100")
    assert (code, err) == (0, ""), out


@pytest.mark.parametrize("file", sorted((ROOT / "policies").glob("*_test.yaml")), ids=lambda file: file.name)
def test_their_tests_name_the_schema_for_editors(file):
    first = file.read_text().partition("\n")[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve() == ROOT / "authz/policy/test_schema.json"


def test_a_thousand_cases_take_less_than_two_seconds(policies):
    cases = "\n".join(
        f"  - {{name: case {at}, tool: drop, principal: {{id: bob, groups: [dba]}}, expect: deny, text: never}}"
        for at in range(1000)
    )
    root = policies({"bank.yaml": POLICY, "bank_test.yaml": f"version: 1\ncases:\n{cases}\n"})
    started = time.process_time()
    assert command.run(command.Wanted(root), Settings()) == 0
    assert time.process_time() - started < 2.0
    found = find(root, PolicyContext(), Identities())
    assert sum(len(file.cases) for file in found.files) == 1000
