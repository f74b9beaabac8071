"""What was decided stands in Envoy's access log, and the decision id joins it with the audit record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import wire
from corpus import Http, cases, sequences
from corpus import wire as as_bytes

BY_ID = {case.id: case for case in cases()}
LIMITED = next(raw for raw in sequences("ratelimit") if raw["id"] == "seq-rate-clock-forward")["steps"][0]["http"]


def eventually(find: Callable[[], Any], what: str) -> Any:
    """What `find` gives once it gives something: logs are written in their own time."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {what}")


def logged(front, policy: str, http: Http) -> dict[str, Any]:
    """Send a request, give its line of the access log."""
    before = front.envoy.child.output.read_text().count("\n")
    wire.send(front.envoy.ports[policy], as_bytes(http))

    def line() -> str | None:
        text = front.envoy.child.output.read_text()
        return text.splitlines()[before] if text.count("\n") > before else None

    return json.loads(eventually(line, "line in the access log"))


def audited(front, decision: str) -> dict[str, Any]:
    """The audit record of a decision."""

    def record() -> dict[str, Any] | None:
        lines = front.audit.read_text().splitlines()
        found = [line for line in lines if decision in line]
        return json.loads(found[0]) if found else None

    return eventually(record, f"audit record of {decision}")


def test_an_allowed_call_is_logged_with_its_decision(recording):
    case = BY_ID["ok-call-get-2025-06-18"]
    line = logged(recording, case.policy, case.http)
    assert line["status"] == 200
    assert {"effect": "allow", "server": case.policy, "tool": "get_value"}.items() <= line["authz"].items()
    record = audited(recording, line["authz"]["decision_id"])
    assert record["effect"] == "allow"
    assert record["rule"] == line["authz"]["rule"]
    assert record["revision"] == line["authz"]["revision"]
    assert int(line["authz_us"]) > 0


def test_a_denied_call_is_logged_with_its_decision(recording):
    case = BY_ID["ct-delete-upper"]
    line = logged(recording, case.policy, case.http)
    assert line["details"] == "ext_authz_denied"
    authz = line["authz"]
    assert {
        "effect": "deny",
        "reason": "rule_denied",
        "server": case.policy,
        "tool": "delete_cache",
    }.items() <= authz.items()
    assert audited(recording, authz["decision_id"])["reason"] == "rule_denied"


def test_a_malformed_request_is_logged_with_what_is_wrong(recording):
    case = BY_ID["ce-gzip-get"]
    authz = logged(recording, case.policy, case.http)["authz"]
    assert authz["effect"] == "deny"
    assert authz["reason"] == "malformed"
    assert audited(recording, authz["decision_id"])["request_id"]


def test_the_quota_that_is_left_is_logged(recording):
    left = [logged(recording, "rate-3", Http.parse(LIMITED))["authz"] for _ in range(4)]
    assert [authz.get("quota_left") for authz in left] == [2, 1, 0, 0]
    assert [authz["effect"] for authz in left] == ["allow"] * 3 + ["deny"]


def test_names_that_the_caller_invents_are_not_in_the_log(recording):
    case = BY_ID["log-name-json"]
    line = logged(recording, case.policy, case.http)
    assert line["authz"]["tool"] in ("", "other")
