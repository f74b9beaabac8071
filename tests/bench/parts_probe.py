"""CPU time of the steps of one decision, each alone in a loop: which part of a call costs what.

`python -m tests.bench.parts_probe` prints a JSON object of microseconds a call, by part. What is neither of them
(HTTP/2, gRPC, the event loop) is the rest of what the whole service uses.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from authz.app.audit.file import AuditFile
from authz.audit import Redaction
from authz.engine import Engine
from authz.envoy.codec import decode_check_request, encode
from authz.mcp.message import BodyLimits, decode
from authz.model import HttpRequest
from tests.bench.engine_probe import engine, requests
from tests.bench.policies import Shape
from tests.bench.question import tool_call
from tests.bench.suites.parts import ANSWER, MESSAGE, POLICY, READ, RECORDS

CALLS = 4000
LAPS = 4  # the quickest counts: a shared machine is slow for a while and quick again
BATCH = 200  # calls after which the audit thread gets its turn: its queue must not overflow


def each(step: Callable[[int], object]) -> float:
    """CPU µs of one call of `step`, which gets a number."""
    for number in range(CALLS // 10):
        step(number)
    began = time.process_time()
    for number in range(CALLS):
        step(number)
    return (time.process_time() - began) / CALLS * 1e6


async def checks(subject: Engine, asked: Sequence[HttpRequest], audit: AuditFile | None = None) -> float:
    """CPU µs of one `Engine.check`, and of writing its record where there is an audit file."""
    began, written = time.process_time(), audit.written if audit else 0
    for number, request in enumerate(asked, 1):
        await subject.check(request)
        while audit and number % BATCH == 0 and audit.written < written + number:
            await asyncio.sleep(0.001)
    return (time.process_time() - began) / len(asked) * 1e6


async def probe(audit: AuditFile) -> dict[str, float]:
    """Microseconds of CPU by part."""
    bare = engine(Shape.TOOLS, 100, lambda metrics: ())
    recorded = engine(Shape.TOOLS, 100, lambda metrics: (audit, metrics))
    wire, start = tool_call(), time.time_ns()
    asked = [requests(start + lap * CALLS, CALLS) for lap in range(2 * LAPS)]
    reply = await bare.check(requests(start - 1, 1)[0])
    limits = BodyLimits()
    read = each(lambda number: decode_check_request(wire.fill(number), "unix")) - each(wire.fill)
    message = each(lambda number: decode(asked[0][number], limits))
    answer = each(lambda number: encode(reply))
    laps = [(await checks(bare, asked[lap]), await checks(recorded, asked[LAPS + lap], audit)) for lap in range(LAPS)]
    decided, whole = (min(took) for took in zip(*laps, strict=True))
    return {READ: read, MESSAGE: message, POLICY: decided - message, RECORDS: whole - decided, ANSWER: answer}


def main() -> None:
    """The program."""
    with tempfile.TemporaryDirectory() as directory:
        audit = AuditFile(str(Path(directory) / "audit"), redaction=Redaction())
        try:
            found = asyncio.run(probe(audit))
        finally:
            audit.close()
    sys.stdout.buffer.write(msgspec.json.encode(found) + os.linesep.encode())


if __name__ == "__main__":
    main()
