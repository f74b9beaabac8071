"""What the command line takes, prints and gives as its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from authz import __version__
from authz.app import cli, demo
from authz.app.commands import serve
from authz.app.settings.settings import table

GOOD = "version: 1\nserver: bank\ntools:\n  get_value: allow\n"
BROKEN = "version: 1\ntols: {}\n"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout and stderr."""
    for setting in table().values():
        monkeypatch.delenv(setting.variable, raising=False)

    def call(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mcp-authz", *argv])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_version_is_for_people_or_for_scripts(run):
    code, out, _ = run("version")
    assert (code, out.startswith(f"mcp-authz {__version__} (Python ")) == (0, True)
    assert json.loads(run("version", "--format", "json")[1])["version"] == __version__


def test_the_help_of_serve_has_every_setting_that_a_flag_can_give(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("serve", "--help")
    assert code == 0
    out = " ".join(out.split())
    for setting in table().values():
        assert setting.flag in out
        if setting.variable:
            assert f"env: {setting.variable}" in out


def test_what_is_mistyped_is_a_usage_error(run):
    assert run("sreve")[0] == 2
    assert run("validate")[0] == 2
    assert run("serve", "--port", "1")[0] == 2


def test_serve_passes_its_flags_on_as_settings(run, monkeypatch):
    seen = []
    monkeypatch.setattr(serve, "run", lambda settings: seen.append(settings) or 0)
    code, _, _ = run(
        *("serve", "--policies", "p", "--listen", "unix:/run/a", "--listen", "127.0.0.1:1", "--plaintext-ok"),
        *("--no-audit-values", "--max-body-bytes", "1MiB"),
    )
    assert code == 0
    assert [str(address) for address in seen[0].listen] == ["unix:/run/a", "127.0.0.1:1"]
    assert (seen[0].plaintext_ok, seen[0].audit_values, seen[0].max_body_bytes) == (True, False, 1 << 20)


def test_mistakes_in_the_settings_are_said_without_a_traceback(run):
    code, out, err = run("serve", "--sessions", "many")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "--sessions: expected a whole number from 1 to 10000, got 'many'",
        "--policies: expected a value (also MCP_AUTHZ_POLICIES or policies: in --config)",
        "--listen: expected a value (also MCP_AUTHZ_LISTEN or listen: in --config)",
    ]


def test_the_demo_is_run_with_its_flag(run, monkeypatch):
    monkeypatch.setattr(demo, "run", lambda *, keep, server: (7 if keep else 0) + len(server))
    assert run("demo")[0] == 4
    assert run("demo", "--keep")[0] == 11
    assert run("demo", "--server", "valkey")[0] == 6


@pytest.mark.parametrize("files", [1, 300])
def test_a_reader_that_has_gone_gets_no_traceback(policies, files):
    root = policies({f"s{number}.yaml": BROKEN for number in range(files)})
    argv = [sys.executable, "-m", "authz.app.cli", "validate", str(root)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
        process.stdout.close()
        assert b"Error" not in process.stderr.read()
    assert process.returncode in (1, 2)


def test_explain_passes_its_options_on_and_gives_1_for_a_denial(run, policies):
    root = policies({"bank.yaml": GOOD})
    asked = ("explain", "--policies", str(root), "--format", "json", "--tool")
    who = ("--principal", "alice", "--group", "a", "--group", "b", "--scope", "s", "--client", "c", "--claim", "x=1")
    code, out, _ = run(*asked, "get_value", "--args", "{}", "--server", "bank", "--header", "x-a: 1", *who)
    said = json.loads(out)
    assert (code, said["principal"]["groups"], said["principal"]["client_id"]) == (0, ["a", "b"], "c")
    assert run(*asked, "other")[0] == 1


def test_explain_says_what_is_wrong_with_other_files_and_goes_on(run, policies):
    root = policies({"bank.yaml": GOOD, "shop.yaml": BROKEN})
    code, _, err = run("explain", "--policies", str(root), "--server", "bank", "--tool", "get_value")
    assert (code, err) == (0, "shop.yaml:2:1: tols: unknown key 'tols', did you mean 'tools'?\n")


def test_explain_without_policies_that_load_is_an_error_without_a_traceback(run, policies):
    root = policies({"shop.yaml": BROKEN})
    code, out, err = run("explain", "--policies", str(root), "--tool", "get_value")
    assert (code, out, err) == (2, "", "shop.yaml:2:1: tols: unknown key 'tols', did you mean 'tools'?\n")
    assert run("explain", "--policies", str(root))[2] == "expected --tool NAME or --request FILE\n"


# --------------------------------------------------------------------------------------------------------- validate


def test_validate_finds_nothing_to_say_of_good_policies(run, policies):
    root = policies({"bank.yaml": GOOD})
    code, out, err = run("validate", str(root))
    assert (code, err) == (0, "")
    assert out.startswith(f"{root}: 1 policy file, nothing to say (revision ")


def test_validate_shows_every_problem_in_the_words_of_the_log(run, policies):
    root = policies({"bank.yaml": GOOD, "shop.yaml": BROKEN, "toys.yaml": BROKEN, "x.yml": GOOD})
    code, out, err = run("validate", str(root))
    assert code == 2
    assert out.splitlines() == [
        "shop.yaml:2:1: tols: unknown key 'tols', did you mean 'tools'?",
        "toys.yaml:2:1: tols: unknown key 'tols', did you mean 'tools'?",
        "x.yml: is not read: the name of a policy file ends in .yaml (warning)",
    ]
    assert err == "2 problems, 1 warning\n"


def test_validate_knows_the_platforms_folder_and_what_it_forbids(run, policies, tmp_path):
    own = tmp_path / "platform"
    own.mkdir()
    (own / "baseline.yaml").write_text('version: 1\nserver: "*"\n')
    root = policies({"baseline.yaml": 'version: 1\nserver: "*"\n', "a/bank.yaml": "version: 1\nshadow: true\n"})
    code, out, _ = run("validate", str(root), "--baseline", str(own), "--forbid", "shadow")
    assert code == 2
    assert out.splitlines()[:2] == [
        "a/bank.yaml:2:1: shadow: the platform does not let teams say this (--forbid shadow)",
        "baseline.yaml: is not in force: baselines are read from the platform's own folder only (--baseline)",
    ]
    assert run("validate", str(root))[0] < 2


def test_validate_gives_1_for_warnings_alone(run, policies):
    assert run("validate", str(policies({"bank.yaml": GOOD, "x.yml": GOOD})))[0] == 1


def test_validate_gives_2_where_nothing_loads(run, policies):
    root = policies({"bank.yaml": BROKEN})
    code, out, _ = run("validate", str(root))
    assert (code, out) == (2, "bank.yaml:2:1: tols: unknown key 'tols', did you mean 'tools'?\n")
    code, out, _ = run("validate", str(root / "no"))
    assert (code, out) == (2, f"{root}/no: cannot be read: no such file or directory\n")
    code, out, _ = run("validate", str(root / "bank.yaml"))
    assert (code, out) == (2, f"{root}/bank.yaml: expected a directory, such as {root}, got a file\n")


def test_validate_for_scripts_has_the_places_apart(run, policies):
    code, out, _ = run("validate", "--format", "json", str(policies({"bank.yaml": BROKEN, "shop.yaml": GOOD})))
    found = json.loads(out)
    assert code == 2
    assert found["problems"] == [
        {
            "file": "bank.yaml",
            "line": 2,
            "column": 1,
            "path": "tols",
            "message": "unknown key 'tols', did you mean 'tools'?",
        }
    ]
    assert found["warnings"] == []
    assert len(found["revision"]) == 12


def test_validate_knows_the_identity_sources_of_a_settings_file(run, policies, tmp_path):
    root = policies({"bank.yaml": GOOD + "identity: corp\n"})
    config = tmp_path / "settings.yaml"
    config.write_text("identity: [{name: corp, from: jwt_authn}]\n")
    assert run("validate", str(root))[0] == 2
    assert run("validate", "--config", str(config), str(root))[0] == 0


def test_a_server_is_scanned_and_its_catalogue_shown(run, tmp_path):
    listed = tmp_path / "listed.json"
    listed.write_text(json.dumps({"tools": [{"name": "get_it", "inputSchema": {"type": "object"}}]}))
    server = Path(__file__).parents[1] / "support" / "listing_server.py"
    flags = ("--dir", str(tmp_path / "p"), "--server", "srv", "--source", "registry=none")
    command = ("--", sys.executable, str(server), str(listed))
    code, out, _ = run("scan", *flags, *command)
    assert (code, "1 tool: 1 Read; risk 1 Low" in out) == (0, True)
    assert run("scan", *flags, "--check", *command)[0] == 0
    listed.write_text(json.dumps({"tools": []}))
    code, out, err = run("scan", *flags, "--check", *command)
    assert (code, out, err) == (1, "gone: tool get_it\n", "srv: 1 change since it was catalogued\n")
    code, out, _ = run("catalog", "show", "srv", "get_it", "--policies", str(tmp_path / "p"))
    assert (code, out.startswith("get_it of Listing Server\n")) == (0, True)
    assert run("catalog", "show", "srv", "--policies", str(tmp_path))[2].startswith(
        f"{tmp_path}: no catalogue of 'srv'"
    )
