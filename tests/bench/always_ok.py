"""The least that any decision service does: a CheckRequest is parsed, and the answer is OK.

`python -m tests.bench.always_ok SOCKET native|grpcio`: on the transports of this service, with its listening and its
limits, so that what is between the two is the decision alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from authz.app import loop
from authz.app.settings.values import Address
from authz.envoy.pb import ext_authz_pb2 as pb
from authz.envoy.transport import GrpcServer, Transport


def _ok() -> bytes:
    answer = pb.CheckResponse()
    answer.status.code = 0
    answer.ok_response.SetInParent()
    return answer.SerializeToString()


OK = _ok()


async def check(data: bytes, caller: str) -> bytes:
    """Parsed, and allowed."""
    pb.CheckRequest.FromString(data)
    return OK


async def serve(path: str, transport: str) -> None:
    """Until SIGTERM."""
    server = GrpcServer([Address(path=path)], check, transport=Transport(transport))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await server.start()
    try:
        await ended.wait()
    finally:
        await server.stop(1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop.factory()) as runner:
        runner.run(serve(str(Path(sys.argv[1])), sys.argv[2]))
