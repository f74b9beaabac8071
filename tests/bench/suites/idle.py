"""What the service costs when nobody calls: memory, CPU, and the time from its start until it is ready."""

from __future__ import annotations

import time

from tests.bench import policies
from tests.bench.lab import Lab
from tests.bench.processes import cpu_seconds, open_files, rss, threads

SUITE = "idle"
SERVICE = "service"
RSS, READY, CPU = "RSS MiB", "ready s", "CPU %"


def run(lab: Lab) -> None:
    """Start it `rounds` times and look."""
    for round_ in range(lab.rounds):
        began = time.perf_counter()
        subject = lab.service(f"idle-{round_}", policies.policies())
        ready = time.perf_counter() - began
        pid = subject.child.pid
        before, since = cpu_seconds(pid), time.perf_counter()
        time.sleep(lab.seconds)
        cpu = 100 * (cpu_seconds(pid) - before) / (time.perf_counter() - since)
        figures = {RSS: rss(pid), READY: ready, CPU: cpu, "threads": threads(pid), "open files": open_files(pid)}
        lab.record(SUITE, SERVICE, round_, figures)
        lab.say(f"ready after {ready:.2f} s, {figures[RSS]:.1f} MiB, {cpu:.2f} % CPU")
        subject.child.stop()
