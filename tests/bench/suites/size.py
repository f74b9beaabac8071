"""A large set of policies: how long it takes to load, until a changed file is in force, and what calls feel of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from authz.envoy.pb import ext_authz_pb2 as pb
from tests.bench import policies
from tests.bench.client import Connection
from tests.bench.lab import Lab, Subject
from tests.bench.load import Load
from tests.bench.processes import ProgramError, rss
from tests.bench.question import mixed, tool_call
from tests.support.many_policies import SERVERS, TOOLS, policy_text, server_name

SUITE = "size"
VARIANT = f"{SERVERS} policies × {TOOLS} tools"
READY, RSS, PER_RULE = "start to ready s", "RSS MiB", "KiB/rule"
LIVE, ALL_LIVE = "one changed: live ms", "all changed: live s"
WORST, WORST_ONE, WORST_ALL = "longest call µs", "longest call, one changes µs", "longest call, all change µs"
CHANGES = 10  # of one file, in a round
PATIENCE = 60.0  # seconds until a change must be in force
FLIPPED = "flipped"  # a tool that a change allows and the next one forbids
PAUSE = 0.001


def run(lab: Lab) -> None:
    """One service; each round changes one file again and again, and then all."""
    servers = SERVERS // 10 if lab.quick else SERVERS
    variant = f"{servers} policies × {TOOLS} tools"
    files = {f"{server_name(number)}.yaml": policy_text(number) for number in range(servers)}
    began = time.perf_counter()
    subject = lab.service("size", {**files, "bench.yaml": _bench(allowed=False)})
    ready = time.perf_counter() - began
    memory = rss(subject.child.pid)
    small = lab.service("small", {"bench.yaml": _bench(allowed=False)})
    per_rule = (memory - rss(small.child.pid)) * 1024 / (servers * TOOLS)
    small.child.stop()
    lab.record(SUITE, variant, 0, {READY: ready, RSS: memory, PER_RULE: per_rule})
    lab.say(f"{variant}: ready after {ready:.2f} s, {memory:.0f} MiB, {per_rule:.2f} KiB a rule")
    directory = lab.children.directory / f"{subject.child.name}.policies"
    allowed = False
    with Connection(subject.socket) as connection:
        for round_ in range(lab.rounds):
            calm = calls(lab, subject, 2.0)
            lives: list[float] = []
            with ThreadPoolExecutor(1) as pool:
                beside = pool.submit(calls, lab, subject, 2.0 + CHANGES * 0.5)
                time.sleep(1)
                for _ in range(CHANGES):
                    allowed = not allowed
                    lives.append(change(connection, directory, {}, allowed=allowed) * 1e3)
                    time.sleep(0.3)
                one = beside.result()
                beside = pool.submit(calls, lab, subject, 2.0 + ready)
                time.sleep(1)
                allowed = not allowed
                changed = {name: policy_text(number, version=round_ + 1) for number, name in enumerate(files)}
                everything = change(connection, directory, changed, allowed=allowed)
                every = beside.result()
            figures = {LIVE: max(lives), ALL_LIVE: everything}
            figures |= {WORST: calm.worst, WORST_ONE: one.worst, WORST_ALL: every.worst}
            lab.record(SUITE, variant, round_, figures)
            longest = ", ".join(f"{load.worst / 1e3:.1f}" for load in (calm, one, every))
            lab.say(f"one file: live after {max(lives):.0f} ms, all: {everything:.1f} s; longest call {longest} ms")
    subject.child.stop()


def calls(lab: Lab, subject: Subject, seconds: float) -> Load:
    """What a caller gets who asks once in a millisecond."""
    return lab.ask(subject, mixed()[:1], in_flight=1, seconds=seconds, flags=["--pause", str(PAUSE)])


def change(connection: Connection, directory: Path, files: dict[str, str], *, allowed: bool) -> float:
    """Write these files and flip one verdict; gives the seconds from the last write until the flip is in force.

    Raises ProgramError where it never is.
    """
    for name, text in {**files, "bench.yaml": _bench(allowed=allowed)}.items():
        fresh = directory / f".{name}.new"
        fresh.write_text(text)
        fresh.rename(directory / name)
    written = time.perf_counter()
    asked = tool_call(FLIPPED)
    while (now := time.perf_counter()) - written < PATIENCE:
        connection.send([asked.fill(time.time_ns())])
        answers = connection.receive()
        while not answers:
            answers = connection.receive()
        if (pb.CheckResponse.FromString(answers[0][1]).status.code == 0) is allowed:
            return now - written
        time.sleep(0.002)
    raise ProgramError(f"policies: expected a change in force within {PATIENCE:g} s")


def _bench(*, allowed: bool) -> str:
    """The policy of the calls, which says one thing or another of one tool."""
    action = "allow" if allowed else "deny"
    return policies.policies(number=1)["bench.yaml"] + f"  {FLIPPED}: {action}\n"
