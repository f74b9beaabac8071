"""The sequences of the corpus that an engine alone can play: limits, clocks, reloads, latency."""

from __future__ import annotations

import time
from typing import Any

import pytest
from corpus import Http, cases, policy_files, sequences

BY_ID = {raw["id"]: raw for raw in sequences("ratelimit", "policy-reload", "availability")}
PLAYED = sequences("ratelimit")


async def play(bench, sequence: dict[str, Any]) -> None:
    """Every step of `sequence` in order."""
    start = bench.monotonic
    for step in sequence["steps"]:
        match step["op"]:
            case "request":
                await expect(bench, step, sequence["policy"])
            case "advance_monotonic":
                bench.monotonic = start + step["to"] if "to" in step else bench.monotonic + step["seconds"]
            case "set_wall_clock":
                bench.wall += step["delta"]
            case "break_limiter_store":
                await bench.store.close()
            case "delete_policy_file":
                bench.load({})
            case other:
                pytest.fail(f"no such step: {other}")


async def expect(bench, step: dict[str, Any], policy: str) -> None:
    answer = await bench.ask(Http.parse(step["http"]), policy, identity=step["identity"])
    reasons = {record.decision.reason.value for record in answer.records}
    match step["expect"]:
        case "allow":
            assert answer.allowed, reasons
        case "ratelimit":
            assert not answer.allowed
            assert "rate_limited" in reasons
        case "deny" | "deny-or-ratelimit":
            assert not answer.allowed


@pytest.mark.parametrize("sequence", [pytest.param(raw, id=raw["id"]) for raw in PLAYED])
async def test_limits_hold(bench, sequence: dict[str, Any]):
    await play(bench, sequence)


async def test_the_last_good_policies_stay_when_their_files_are_gone(bench):
    await play(bench, BY_ID["seq-reload-missing"])


BAD_REGEX = """\
version: 1
server: deny-delete
default: allow
tools:
  get_value: {{action: allow, arguments: {{properties: {{key: {{type: string, pattern: '{pattern}'}}}}}}}}
"""
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
UNUSABLE = {
    "seq-reload-bad-regex lookahead": BAD_REGEX.format(pattern="(?=a)b"),
    "seq-reload-bad-regex back-reference": BAD_REGEX.format(pattern=r"(a)\1"),
    "seq-reload-bad-regex too many repeats": BAD_REGEX.format(pattern="a{1001}"),
    "seq-reload-deep": "[" * 2000,
    "seq-reload-deep, 200,000 levels": "[" * 200_000,
    "seq-reload-billion-laughs": BOMB,
    "seq-reload-octal-sexagesimal": "limits: {a: 0777, b: 12:30:45, c: 1e3, d: .inf, e: .nan, f: -1}",
    "seq-reload-tag": '!!python/object/apply:os.system ["touch pwned"]',
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in UNUSABLE.items()])
async def test_an_unusable_file_is_refused_and_the_last_good_version_stays(bench, text: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = bench.policies.policies["deny-delete"]
    started = time.perf_counter()
    after = bench.load({**policy_files(), "deny-delete.yaml": text.encode()})
    assert time.perf_counter() - started < 5.0
    assert after.policies["deny-delete"] is before
    assert {problem.file for problem in after.problems} == {"deny-delete.yaml"}
    assert after.degraded
    assert list(tmp_path.iterdir()) == [], "nothing was executed"


def test_a_refused_pattern_is_reported_at_its_place(bench):
    text = UNUSABLE["seq-reload-bad-regex lookahead"]
    (problem,) = bench.load({**policy_files(), "deny-delete.yaml": text.encode()}).problems
    assert problem.line == 5
    assert problem.path == "tools.get_value.arguments.properties.key.pattern"


async def test_no_call_is_decided_by_half_of_a_policy(bench):
    steps = BY_ID["seq-reload-atomic"]["steps"][0]
    files = policy_files()
    as_deny_delete = files["allow-get.yaml"].replace(b"server: allow-get", b"server: deny-delete")
    others = {"other.yaml": files["deny-delete.yaml"]}, {"other.yaml": as_deny_delete}
    sets = [bench.load(other) for other in others]
    by_id = {case.id: case.http for case in cases()}
    delete, unnamed = by_id["ct-delete-upper"], by_id["log-cardinality-0"]
    for turn in range(steps["times"]):
        bench.engine.swap(sets[turn % 2])
        for _ in range(5):
            assert not (await bench.ask(delete, "deny-delete")).allowed
            answer = await bench.ask(unnamed, "deny-delete")
            assert answer.allowed == (turn % 2 == 0)
            assert {record.decision.revision for record in answer.records} == {sets[turn % 2].revision}


async def test_a_pattern_that_is_a_trap_for_backtracking_costs_nothing(bench):
    """The best of three, for other programs use these cores too; a backtracking engine is slow each time."""
    body = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"set_value","arguments":{"key":"app:'
        + b"a" * 26
        + b'!","ttl":60}}}'
    )
    headers = (("Content-Type", "application/json"), ("MCP-Protocol-Version", "2025-06-18"))
    http = Http("POST", "/mcp", (*headers, ("Accept", "application/json, text/event-stream")), body)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        assert not (await bench.ask(http, "set-evil-regex")).allowed
        took.append(time.perf_counter() - started)
    assert min(took) < BY_ID["seq-avail-slow-rule"]["steps"][0]["expect_ms_max"] / 1000
