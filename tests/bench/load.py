"""Questions -> calls/s, latencies and CPU time of the watched processes: a program of its own, on a core of its own.

`python -m tests.bench.load` prints one JSON object, at its end or after SIGTERM. Every answer is compared with the
verdict that is right; the first wrong one ends the run with exit code 1.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from authz.envoy.pb import ext_authz_pb2 as pb
from tests.bench import question
from tests.bench.client import Connection, LoadError
from tests.bench.processes import cpu_seconds
from tests.bench.question import Verdict


class Load(msgspec.Struct, frozen=True):
    """What one run measured. Latencies are in µs, CPU in seconds: of each watched process, and of this one.

    `all_allowed` counts the allowed calls of the warm-up, too: as many as the service must have counted.
    """

    calls: int
    all_allowed: int
    seconds: float
    p50: float
    p99: float
    worst: float
    cpu: dict[int, float]
    own_cpu: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    def cpu_per_call(self, pid: int) -> float:
        """Microseconds."""
        return self.cpu[pid] / self.calls * 1e6


def verify(message: bytes, right: Verdict) -> None:
    """Raises LoadError where the CheckResponse in `message` is not what the verdict says."""
    answer = pb.CheckResponse.FromString(message)
    allowed = answer.status.code == 0
    if right.allowed is not None and allowed is not right.allowed:
        raise LoadError(f"expected allowed={right.allowed}, got {answer}")
    if answer.WhichOneof("http_response") != ("ok_response" if allowed else "denied_response"):
        raise LoadError(f"expected a response that fits its status, got {answer}")
    if right.status >= 0 and not allowed and answer.denied_response.status.code != right.status:
        raise LoadError(f"expected status {right.status}, got {answer}")
    if right.reason and (not allowed or "reason" in answer.dynamic_metadata.fields):
        reason = answer.dynamic_metadata.fields["reason"].string_value
        if reason != right.reason:
            raise LoadError(f"expected the reason {right.reason}, got {reason!r}: {answer}")


class Caller:
    """Asks with so many calls in flight, the next one as soon as one is answered."""

    def __init__(self, connection: Connection, calls: Iterator[tuple[bytes, Verdict]], in_flight: int) -> None:
        self._connection = connection
        self._calls = calls
        self._in_flight = in_flight
        self._open: dict[int, tuple[float, Verdict]] = {}
        self.latencies: list[float] = []
        self.all_allowed = 0
        self._ended = False

    def end(self) -> None:
        """Ask no more; `run` returns when all is answered."""
        self._ended = True

    def run(self, *, seconds: float = 0.0, calls: int = 0, pause: float = 0.0) -> float:
        """For so long or so many; waits `pause` seconds before each batch. Gives the seconds from first to last."""
        self.latencies.clear()
        started = now = time.perf_counter()
        end = started + (seconds or 1e9)
        left = calls or 1 << 62
        free, flying, receive = self._in_flight, self._open, self._connection.receive
        while True:
            if now < end and left > 0 and free and not self._ended:
                if pause:
                    time.sleep(pause)
                batch = [next(self._calls) for _ in range(min(free, left))]
                now = time.perf_counter()
                for stream, (_, right) in zip(self._connection.send(one for one, _ in batch), batch, strict=True):
                    flying[stream] = (now, right)
                left -= len(batch)
                free -= len(batch)
            if not flying:
                return time.perf_counter() - started
            answers = receive()
            now = time.perf_counter()
            for stream, message in answers:
                since, right = flying.pop(stream)
                self.latencies.append(now - since)
                self.all_allowed += right.allowed is True
                verify(message, right)
            free += len(answers)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ordered values lie; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def measure(options: argparse.Namespace) -> Load:
    """One run by the options of the command line. Raises LoadError."""
    questions = question.load(options.questions)
    with Connection(options.socket) as connection:
        caller = Caller(connection, question.numbered(questions, options.start), options.in_flight)
        signal.signal(signal.SIGTERM, lambda *_: caller.end())
        if options.warm:
            caller.run(seconds=options.warm)
        before = {pid: cpu_seconds(pid) for pid in options.watch}
        own = time.process_time()
        took = caller.run(seconds=options.seconds, calls=options.calls, pause=options.pause)
        own = time.process_time() - own
        cpu = {pid: cpu_seconds(pid) - before[pid] for pid in options.watch}
    ordered = sorted(caller.latencies)
    p50, p99 = percentile(ordered, 0.5) * 1e6, percentile(ordered, 0.99) * 1e6
    return Load(len(ordered), caller.all_allowed, took, p50, p99, ordered[-1] * 1e6, cpu, own)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load")
    parser.add_argument("socket", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--warm", type=float, default=0.0, help="seconds before it counts")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before each batch")
    parser.add_argument("--start", type=int, default=time.time_ns(), help="the first number")
    parser.add_argument("--watch", type=int, action="append", default=[], metavar="PID")
    try:
        load = measure(parser.parse_args())
    except (LoadError, OSError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(load) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
