"""Standing before a server changes none of the checks of the official suite."""

from __future__ import annotations

from collections.abc import Iterator

import conformance_suite as suite
import pytest


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    with suite.servers() as found:
        yield found


@pytest.mark.parametrize("leg", suite.LEGS, ids=lambda leg: leg.name)
def test_the_suite_finds_the_same_through_the_service(ports: tuple[int, int], leg: suite.Leg) -> None:
    server, proxy = ports
    directly, through = suite.run(leg, server), suite.run(leg, proxy)
    assert (directly.code, directly.passed, directly.failed) == (0, leg.passed, 0)
    assert through.checks == directly.checks
    assert (through.code, through.passed, through.failed) == (0, leg.passed, 0)
