"""When the request that has waited longest was filed, which the alert of long waits reads."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from approval_office import Office, asked
from prometheus_client import CollectorRegistry

from authz.app.approvals.metrics import ApprovalMetrics
from authz.app.approvals.watch import Watch
from authz.model import Ruling

NAME = "mcp_authz_approvals_oldest_request_timestamp_seconds"


async def test_the_oldest_request_that_waits_is_told_and_nothing_once_none_does(tmp_path: Path) -> None:
    office = Office(tmp_path)
    registry = CollectorRegistry()
    metrics = ApprovalMetrics(registry)
    watch = Watch(office.store, metrics.pending.set, metrics.expired, oldest=metrics.oldest.set)

    async def told() -> float:
        await watch._look()
        value = registry.get_sample_value(NAME)
        assert value is not None
        return value

    assert math.isnan(await told())
    first = await office.file_request()
    office.now += 60
    second = await office.file_request(asked(tool="flush_all"))
    assert second.requested_at == first.requested_at + 60
    assert await told() == first.requested_at
    await office.store.submit(first.id, Ruling("dana", True, (0,)))
    assert await told() == second.requested_at
    office.now += 900
    assert math.isnan(await told())
    await office.close()


@pytest.mark.parametrize("verdict", ["granted", "denied"])
def test_the_first_decision_of_a_kind_is_an_increase(verdict: str) -> None:
    registry = CollectorRegistry()
    ApprovalMetrics(registry)
    assert registry.get_sample_value("mcp_authz_approvals_decided_total", {"verdict": verdict}) == 0
    assert registry.get_sample_value("mcp_authz_approval_decision_seconds_count", {"verdict": verdict}) == 0
