"""Health, and the table of what is served."""

from __future__ import annotations

import asyncio

import pytest

from authz.envoy.service import Health, methods

CHECKED = b"\x0a\x23envoy.service.auth.v3.Authorization"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


async def test_the_table_has_the_check_and_health() -> None:
    async def check(request: bytes, caller: str) -> bytes:
        return request + caller.encode()

    served = methods(check, Health())
    assert sorted(served.unary) == ["envoy.service.auth.v3.Authorization/Check", "grpc.health.v1.Health/Check"]
    assert sorted(served.streams) == ["grpc.health.v1.Health/Watch"]
    assert await served.unary["envoy.service.auth.v3.Authorization/Check"](b"a", "b") == b"ab"


@pytest.mark.parametrize("request_", [b"", b"\x0a\x00", CHECKED, b"\x0a\x15grpc.health.v1.Health"])
async def test_health_is_not_serving_until_told_so(request_: bytes) -> None:
    health = Health()
    assert health.check(request_, "") == NOT_SERVING
    health.set_serving(True)
    assert health.check(request_, "") == SERVING
    health.set_serving(False)
    assert health.check(request_, "") == NOT_SERVING


async def test_a_service_that_is_not_here_is_unknown() -> None:
    health = Health()
    health.set_serving(True)
    for request in (b"\x0a\x05other", b"\xff\xff"):
        assert health.check(request, "") == SERVICE_UNKNOWN


async def test_a_watcher_hears_of_each_change_and_goes_when_the_service_stops() -> None:
    health = Health()
    heard: list[bytes] = []

    async def watch() -> None:
        async for status in health.watch(b"", ""):
            heard.append(status)  # noqa: PERF401 - heard as it comes

    watcher = asyncio.create_task(watch())
    for serving in (False, True, True, False, True):
        await asyncio.sleep(0)
        health.set_serving(serving)
    await asyncio.sleep(0)
    health.close()
    await watcher
    assert heard == [NOT_SERVING, SERVING, NOT_SERVING, SERVING, NOT_SERVING]
    health.set_serving(True)
    assert health.check(b"", "") == NOT_SERVING
