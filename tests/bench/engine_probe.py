"""Engines with policies of several sizes take turns in one process: `Engine.check` timed call by call.

`python -m tests.bench.engine_probe SHAPE --size 10 --size 1000` prints a JSON list of timings. Every reply is looked
at: all must be allowed. No transport: what is timed is the decision, with its records written and counted or not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from authz.app.audit.file import AuditFile
from authz.app.metrics import Metrics
from authz.app.serve import loading
from authz.audit import AuditSink, Redaction
from authz.engine import Engine
from authz.envoy.codec import decode_check_request
from authz.model import HttpRequest
from authz.policy.compile.file import PolicyContext
from authz.policy.compile.policies import compile_policies
from authz.state.memory import MemoryStore
from tests.bench import policies
from tests.bench.load import percentile
from tests.bench.policies import Shape
from tests.bench.question import CALLERS, tool_call
from tests.bench.suites.engine import Timing

GAP = 0.002  # seconds between batches, in which the audit thread writes


def engine(shape: Shape, size: int, sinks: Callable[[Metrics], Sequence[AuditSink]]) -> Engine:
    """An engine with policies of this size, set up as the service does it."""
    files = {name: text.encode() for name, text in policies.policies(shape, size).items()}
    with loading():
        compiled = compile_policies(files, PolicyContext())
    metrics = Metrics()
    metrics.set_names(compiled.names)
    return Engine(compiled, MemoryStore(), sinks(metrics))


def requests(start: int, number: int) -> list[HttpRequest]:
    """Decoded requests of several callers, no two the same."""
    asked = [tool_call(subject=f"agent-{n:02}", session=f"session-{n:02}") for n in range(CALLERS)]
    return [decode_check_request(asked[n % CALLERS].fill(start + n), "unix") for n in range(number)]


async def time_calls(subject: Engine, number: int, start: int) -> list[float]:
    """Seconds of each call, ascending; in batches, so that what is off the path stays off it."""
    took = []
    for at in range(0, number, 250):
        batch = requests(start + at, min(250, number - at))
        await asyncio.sleep(GAP)
        for request in batch:
            before = time.perf_counter()
            reply = await subject.check(request)
            took.append(time.perf_counter() - before)
            if not reply.allowed:
                raise SystemExit(f"engine: expected every call to be allowed, got {reply}")
    return sorted(took)


async def probe(shape: Shape, sizes: Sequence[int], rounds: int, calls: int, audit: AuditFile) -> list[Timing]:
    """Every engine in turn, `rounds` times, the first pass not counted."""
    engines = {
        (size, recorded): engine(shape, size, lambda metrics: (audit, metrics) if recorded else ())  # noqa: B023
        for size in sizes
        for recorded in (True, False)
    }
    gc.freeze()
    timings, start = [], time.time_ns()
    for round_ in range(-1, rounds):
        for (size, recorded), subject in engines.items():
            took = await time_calls(subject, calls if round_ >= 0 else 300, start)
            start += calls
            p50, p99 = percentile(took, 0.5) * 1e6, percentile(took, 0.99) * 1e6
            if round_ >= 0:
                timings.append(Timing(shape.value, size, recorded, round_, p50, p99))
    return timings


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine_probe")
    parser.add_argument("shape", type=Shape, choices=list(Shape))
    parser.add_argument("--size", type=int, action="append", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=4000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        audit = AuditFile(str(Path(directory) / "audit"), redaction=Redaction())
        try:
            timings = asyncio.run(probe(options.shape, options.size, options.rounds, options.calls, audit))
        finally:
            audit.close()
    sys.stdout.buffer.write(msgspec.json.encode(timings) + os.linesep.encode())


if __name__ == "__main__":
    main()
