"""The platform's own folder beside the teams': whose file counts, what teams may not say, and how each file stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from authz.app.policies.reload import Loader
from authz.app.policies.standing import Standings
from authz.errors import PolicyError
from authz.model import HttpRequest, Reason
from authz.policy.compile.caps import Cap
from authz.policy.compile.file import PolicyContext
from authz.policy.rules import Policy
from authz.policy.selection import PolicySet

Write = Callable[[Mapping[str, str | None]], Path]
ALLOW = "version: 1\ntools:\n  get_value: allow\n"
DENY = "version: 1\ntools:\n  get_value: deny\n"
BASELINE = "version: 1\nserver: '*'\ntools:\n  delete_all: deny\n"
CATALOG = (
    "version: 1\nserver: {server}\ntools:\n  get_value: {{categories: [{category}], risk: Low, why: it says so}}\n"
)


@pytest.fixture
def platform(tmp_path: Path) -> Write:
    root = tmp_path / "platform"
    root.mkdir(mode=0o755)

    def write(files: Mapping[str, str | None]) -> Path:
        for name, text in files.items():
            path = root / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        return root

    return write


def decided_by(policies: PolicySet, server: str) -> str | Reason:
    """The digest of the policy of `server`, or why there is none."""
    found = policies.select(HttpRequest("POST", "/", "", {}, context={"mcp_server": server})).policy
    return found.digest[:12] if isinstance(found, Policy) else found


def problems(policies: PolicySet) -> list[str]:
    return [str(problem) for problem in policies.problems]


def test_a_team_cannot_name_a_server_outside_its_folder(policies: Write) -> None:
    root = policies(
        {
            "bank.yaml": ALLOW,
            "a/one.yaml": "server: bank\n" + DENY,
            "a/two.yaml": "server: b/valkey\n" + DENY,
            "a/three.yaml": "server: a/own\n" + DENY,
            "a/four.yaml": "server: ../bank\n" + DENY,
        }
    )
    found = Loader(root, PolicyContext()).first().policies
    assert sorted(found.policies) == ["a/b/valkey", "a/bank", "a/own", "bank"]
    assert decided_by(found, "bank") == found.files["bank.yaml"].digest[:12]
    assert [problem.path for problem in found.problems if problem.file == "a/four.yaml"] == ["server"]


def test_a_team_cannot_govern_every_server(policies: Write) -> None:
    root = policies({"bank.yaml": ALLOW, "a/baseline.yaml": BASELINE, "a/x.yaml": BASELINE})
    found = Loader(root, PolicyContext()).first().policies
    text = "server: only files named baseline*.yaml, in the directory itself, may govern every server ('*')"
    assert problems(found) == [f"a/baseline.yaml:2:1: {text}", f"a/x.yaml:2:1: {text}"]
    assert found.baselines == ()
    assert decided_by(found, "a/x") is Reason.POLICY_INVALID


def test_with_a_folder_of_the_platform_baselines_come_from_there_only(policies: Write, platform: Write) -> None:
    root, own = policies({"a/valkey.yaml": ALLOW}), platform({"baseline.yaml": BASELINE})
    loader = Loader(root, PolicyContext(), platform=own)
    first = loader.first().policies
    assert [one.file for one in first.baselines] == ["baseline.yaml"]
    # later it is a mistake, and the platform's own stays in force
    policies({"baseline.yaml": BASELINE.replace("deny", "allow"), "baseline-x.yaml": BASELINE})
    again = loader.again(first)
    assert again is not None
    assert again.policies.baselines == first.baselines
    text = "is not in force: baselines are read from the platform's own folder only (--baseline)"
    assert problems(again.policies) == [f"baseline-x.yaml: {text}", f"baseline.yaml: {text}"]
    # at a start nobody would know that it is not in force
    with pytest.raises(PolicyError) as caught:
        Loader(root, PolicyContext(), platform=own).first()
    assert str(caught.value).splitlines() == [f"baseline-x.yaml: {text}", f"baseline.yaml: {text}"]


def test_a_policy_of_the_platform_is_a_default_until_the_team_has_its_own(policies: Write, platform: Write) -> None:
    own = platform({"a/valkey.yaml": DENY, "shared.yaml": DENY})
    root = policies({"a/other.yaml": ALLOW})
    loader = Loader(root, PolicyContext(), platform=own)
    first = loader.first().policies
    assert sorted(first.policies) == ["a/other", "a/valkey", "shared"]
    denies = decided_by(first, "a/valkey")

    policies({"a/valkey.yaml": ALLOW})
    second = loader.again(first)
    assert second is not None
    assert problems(second.policies) == []
    assert decided_by(second.policies, "a/valkey") != denies

    policies({"a/valkey.yaml": "version: 1\ntols: {}\n"})  # a mistake does not bring the default back
    third = loader.again(second.policies)
    assert third is not None
    assert decided_by(third.policies, "a/valkey") == decided_by(second.policies, "a/valkey")

    policies({"a/valkey.yaml": None})
    last = loader.again(third.policies)
    assert last is not None
    assert decided_by(last.policies, "a/valkey") == denies


def test_a_catalogue_of_the_platform_is_final(policies: Write, platform: Write) -> None:
    own = platform({"a/catalog/valkey.yaml": CATALOG.format(server="a/valkey", category="Destructive")})
    root = policies({"a/valkey.yaml": ALLOW})
    loader = Loader(root, PolicyContext(), platform=own)
    first = loader.first().policies
    (root / "a/catalog").mkdir()
    (root / "a/catalog/valkey.yaml").write_text(CATALOG.format(server="a/valkey", category="Read"))
    again = loader.again(first)
    assert again is not None
    assert problems(again.policies) == [
        "a/catalog/valkey.yaml: is not in force: the platform's own folder (--baseline) has this catalogue"
    ]
    assert again.policies.catalogs == first.catalogs


def test_a_change_in_the_platforms_folder_is_noticed(policies: Write, platform: Write) -> None:
    root, own = policies({"bank.yaml": ALLOW}), platform({"baseline.yaml": BASELINE})
    loader = Loader(root, PolicyContext(), platform=own)
    first = loader.first().policies
    platform({"baseline-2.yaml": BASELINE})
    assert loader.changed()
    again = loader.again(first)
    assert again is not None
    assert len(again.policies.baselines) == 2


def test_a_folder_of_the_platform_that_cannot_be_read_stops_the_start_and_later_changes_nothing(
    policies: Write, platform: Write
) -> None:
    root, own = policies({"bank.yaml": ALLOW}), platform({"baseline.yaml": BASELINE})
    loader = Loader(root, PolicyContext(), platform=own)
    first = loader.first().policies
    own.rename(own.with_name("gone"))
    kept = loader.again(first)
    assert kept is not None
    assert kept.policies.baselines == first.baselines
    assert problems(kept.policies) == [f"{own}: cannot be read: no such file or directory"]
    with pytest.raises(PolicyError) as caught:
        Loader(root, PolicyContext(), platform=own).first()
    assert str(caught.value) == f"{own}: cannot be read: no such file or directory"
    own.write_text("")
    with pytest.raises(PolicyError) as caught:
        Loader(root, PolicyContext(), platform=own).first()
    assert str(caught.value) == f"{own}: expected a directory, such as {own.parent}, got a file"


# ------------------------------------------------------------------------------------------------ caps

SAID = {
    Cap.SHADOW: ("shadow: true\n" + ALLOW, "1:1: shadow"),
    Cap.DEFAULT_ALLOW: ("default: allow\n" + ALLOW, "1:1: default"),
    Cap.MATCH: ("match: [{host: bank.example, path: /}]\n" + ALLOW, "1:1: match"),
    Cap.IDENTITY: ("identity: default\n" + ALLOW, "1:1: identity"),
    Cap.STORE_ERROR_ALLOW: (
        "version: 1\nlimits: [{name: all, max: 1, window: 1, on_store_error: allow}]\n",
        "2:41: limits[0].on_store_error",
    ),
}


@pytest.mark.parametrize("cap", list(Cap))
def test_what_the_platform_forbids_is_refused_in_a_teams_folder_and_nowhere_else(cap: Cap, policies: Write) -> None:
    text, place = SAID[cap]
    files = {"bank.yaml": text.replace("bank.example", "other.example"), "a/bank.yaml": text, "a/good.yaml": ALLOW}
    root = policies(files)
    found = Loader(root, PolicyContext(forbid=frozenset({cap}))).first().policies
    assert problems(found) == [
        f"a/bank.yaml:{place}: the platform does not let teams say this (--forbid {cap})",
    ]
    assert decided_by(found, "a/good") != Reason.POLICY_INVALID
    others = frozenset(Cap) - {cap}
    assert Loader(root, PolicyContext(forbid=others)).first().policies.problems == ()


def test_a_limit_is_found_wherever_it_stands_and_nothing_else_is(policies: Write) -> None:
    limit = "{max: 1, window: 1, on_store_error: allow}"
    text = (
        "version: 1\ntools:\n"
        f"  arguments: {{action: allow, rate_limit: {limit}}}\n"
        f"  x: {{rules: [{{principals: ['*'], action: allow, rate_limit: [{limit}]}}]}}\n"
        "  y: {action: allow, arguments: {properties: {on_store_error: {const: allow}}}}\n"
        f"categories: {{Read: {{action: allow, rate_limit: {limit}}}}}\n"
    )
    root = policies({"a/bank.yaml": text, "b.yaml": ALLOW})
    found = Loader(root, PolicyContext(forbid=frozenset(Cap))).first().policies
    assert [problem.path for problem in found.problems if "--forbid" in problem.message] == [
        "tools.arguments.rate_limit.on_store_error",
        "tools.x.rules[0].rate_limit[0].on_store_error",
        "categories.Read.rate_limit.on_store_error",
    ]


# ------------------------------------------------------------------------------------------------ how files stand


def test_each_file_tells_how_it_stands_and_since_when(policies: Write) -> None:
    broken = "version: 1\ntols: {}\n"
    root = policies(
        {
            "bank.yaml": ALLOW,
            "baseline.yaml": BASELINE,
            "a/shop.yaml": broken,
            "next.yaml": "server: bank\nshadow: true\n" + DENY,
            "catalog/bank.yaml": CATALOG.format(server="bank", category="Read"),
        }
    )
    loader = Loader(root, PolicyContext())
    first = loader.first().policies
    standings = Standings(first, now=0)
    files = standings.describe()["files"]
    digest = first.files["bank.yaml"].digest[:12]
    assert files["bank.yaml"] == {
        "kind": "policy",
        "server": "bank",
        "state": "accepted",
        "since": "1970-01-01T00:00:00+00:00",
        "revision": digest,
        "found": digest,
        "problems": [],
        "warnings": [],
    }
    assert {file: (one["kind"], one["state"]) for file, one in files.items()} == {
        "a/shop.yaml": ("policy", "refused"),
        "bank.yaml": ("policy", "accepted"),
        "baseline.yaml": ("baseline", "accepted"),
        "catalog/bank.yaml": ("catalog", "accepted"),
        "next.yaml": ("shadow policy", "accepted"),
    }
    assert files["a/shop.yaml"]["problems"] == ["a/shop.yaml:2:1: tols: unknown key 'tols', did you mean 'tools'?"]
    assert files["a/shop.yaml"]["revision"] == ""

    policies({"bank.yaml": broken, "a/shop.yaml": ALLOW, "catalog/bank.yaml": "tols: 1\n"})
    second = loader.again(first)
    assert second is not None
    standings.loaded(second.policies, now=60)
    files = standings.describe()["files"]
    assert (files["bank.yaml"]["state"], files["bank.yaml"]["revision"]) == ("last good version", digest)
    assert files["bank.yaml"]["found"] == second.policies.files["bank.yaml"].digest[:12]
    assert files["a/shop.yaml"]["state"] == "accepted"
    assert files["catalog/bank.yaml"]["state"] == "last good version"
    assert [files[name]["since"][14:19] for name in sorted(files)] == ["01:00", "01:00", "00:00", "01:00", "00:00"]
    json.dumps(standings.describe())


def test_files_that_another_keeps_out_tell_so(policies: Write, platform: Write) -> None:
    root, own = policies({"bank.yaml": ALLOW}), platform({"baseline.yaml": BASELINE})
    loader = Loader(root, PolicyContext(), platform=own)
    first = loader.first().policies
    policies({"baseline-x.yaml": BASELINE, "bank2.yaml": "server: bank\n" + ALLOW})
    again = loader.again(first)
    assert again is not None
    described = Standings(again.policies, now=0).describe()
    assert described["others"]["baseline-x.yaml"]["problems"] == [
        "baseline-x.yaml: is not in force: baselines are read from the platform's own folder only (--baseline)"
    ]
    assert described["files"]["bank2.yaml"]["state"] == "refused"
    assert described["files"]["bank.yaml"]["problems"] == [
        "bank.yaml: server 'bank' is governed by bank2.yaml too; only one file may enforce for it"
    ]
