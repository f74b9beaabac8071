"""The corpus through a real Envoy: what must be denied never reaches the server, what must pass does."""

from __future__ import annotations

import pytest
import wire
from corpus import Case, cases
from corpus import wire as as_bytes

CASES = [case for case in cases() if case.through_envoy]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_the_verdict_is_the_expected_one(recording, case: Case):
    data = as_bytes(case.http, ("X-Case", case.id))
    status, body = wire.send(recording.envoy.ports[case.policy], data)
    arrived = recording.upstream.case(case.id)
    assert status != 503, "a denial because the service did not answer proves nothing"
    if case.expect == "deny":
        assert arrived == [], case.why
        assert status != 404
    elif case.expect == "allow":
        assert [request.body for request in arrived] == [case.http.body], (case.why, status, body)
        assert status == 200
    else:
        assert len(arrived) == (1 if status == 200 and b'"content":[]' in body else 0)
