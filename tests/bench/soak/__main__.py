"""`python -m tests.bench.soak`: exit code 1 where a verdict was wrong, memory grew, or anything was left behind."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from authz.app.demo.processes import Children, DemoError
from tests.bench import policies
from tests.bench.lab import Lab, Subject
from tests.bench.processes import Cores, ProgramError, descriptors, open_files, rss, threads
from tests.bench.samples import Samples
from tests.bench.soak import steady
from tests.bench.soak.disturb import Disturbance
from tests.bench.soak.steady import Rest
from tests.bench.soak.traffic import Crowd
from tests.bench.suites.transport import metrics
from tests.support.corpus import policy_files

TICK = 0.5  # seconds between two looks
PATIENCE = 30.0  # seconds after which what is still there is left behind
QUIET = 12.0  # seconds after which the store has forgotten repeats, and closed connections are gone
FLAGS = ("--audit-max-bytes", "16777216", "--audit-keep", "1", "--timeout", "5s", "--state-timeout", "100ms")


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--transport", default="auto", choices=("auto", "native", "grpcio"))
    options = parser.parse_args()
    console = Console(highlight=False)
    with (
        tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp") as name,  # sockets need a short path
        Children(Path(name)) as children,
        contextlib.ExitStack() as cleanup,
    ):
        cores = Cores.shared_out(frozenset(os.sched_getaffinity(0)))
        lab = Lab(children, cores, Samples(), 1, 1.0, quick=False, say=console.print, cleanup=cleanup)
        try:
            faults = soak(lab, options.minutes * 60, options.transport)
        except (ProgramError, DemoError) as error:
            faults = [str(error)]
    for fault in faults:
        console.print(fault, style="bold red", markup=False)
    console.print("failed" if faults else "nothing grew, nothing was left behind, no verdict was wrong")
    return 1 if faults else 0


def soak(lab: Lab, seconds: float, transport: str) -> list[str]:
    """One run; gives what is wrong. Raises ProgramError at the first wrong verdict."""
    files = {**policies.policies(), **{name: text.decode() for name, text in policy_files().items()}}
    store = lab.valkey()
    told = lab.children.directory / "tasks"
    flags = (*FLAGS, "--transport", transport, "--state", store.unix_url)
    subject = lab.service("soak", files, *flags, program=("-m", "tests.bench.soak.watched", str(told)))
    directory = lab.children.directory / f"{subject.child.name}.policies"
    disturbance = Disturbance(directory, files, store)
    crowd = Crowd(lab, subject)
    try:
        crowd.tend()
        _pass(crowd, disturbance, min(20.0, seconds / 4), [])
        before = _at_rest(subject, crowd, disturbance, told)
        lab.say(f"at rest before: {before}")
        readings: list[float] = []
        _pass(crowd, disturbance, seconds, readings, subject, lab)
        after = _at_rest(subject, crowd, disturbance, told)
        patience = time.monotonic() + PATIENCE
        while steady.left_behind(before, after) and time.monotonic() < patience:
            time.sleep(TICK)
            after = _holds(subject, told)
        lab.say(f"at rest after: {after}")
        if after.files > before.files:
            lab.say("\n".join(descriptors(subject.child.pid)))
    finally:
        crowd.end()
    grown, allowed = steady.memory_grown(readings)
    done = ", ".join(f"{count} {what}" for what, count in disturbance.counts.items())
    lab.say(f"{crowd.calls:,} calls with the right verdict, {crowd.hung_up} crowds that hung up, {done}")
    lab.say(f"memory: {grown:+.1f} MiB after the warm-up, at most {allowed:.1f} allowed; {max(readings):.1f} at most")
    faults = steady.left_behind(before, after)
    if grown > allowed:
        faults.append(f"memory: expected at most {allowed:.1f} MiB more after the warm-up, got {grown:.1f}")
    return faults


def _pass(
    crowd: Crowd,
    disturbance: Disturbance,
    seconds: float,
    readings: list[float],
    subject: Subject | None = None,
    lab: Lab | None = None,
) -> None:
    """Traffic and trouble for so long, with a reading of the memory at each tick."""
    end = time.monotonic() + seconds
    rude = said = time.monotonic()
    while (now := time.monotonic()) < end:
        crowd.tend()
        disturbance.tend()
        if now >= rude:
            rude = now + 5
            crowd.misbehave()
        if subject:
            readings.append(rss(subject.child.pid))
            if lab and now >= said:
                said = now + 30
                lab.say(f"{end - now:4.0f} s left: {crowd.calls:,} calls, {readings[-1]:.1f} MiB")
        time.sleep(TICK)


def _at_rest(subject: Subject, crowd: Crowd, disturbance: Disturbance, told: Path) -> Rest:
    """What the service holds when nobody has called for a while."""
    crowd.leave()
    disturbance.settle()
    time.sleep(QUIET)
    return _holds(subject, told)


def _holds(subject: Subject, told: Path) -> Rest:
    told.unlink(missing_ok=True)
    subject.child.signal(signal.SIGUSR1)
    subject.child.until(told.exists)
    pid = subject.child.pid
    files = open_files(pid)  # before the metrics are asked for, by one connection more
    in_flight = int(metrics(subject)["mcp_authz_calls_in_flight"])
    return Rest(files, threads(pid), int(told.read_text()), in_flight)


if __name__ == "__main__":
    sys.exit(main())
