"""Calls/s and CPU of a call over a unix socket: the service in each of its modes, and the least that any would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from authz.app.demo.stack import get
from tests.bench import policies
from tests.bench.lab import Lab, Subject
from tests.bench.load import Load
from tests.bench.processes import ProgramError
from tests.bench.question import Question, Verdict, mixed

SUITE = "transport"
MEMORY, GRPCIO = "memory", "memory, grpcio"
CEL, VALKEY, APPROVALS = "CEL rule", "Valkey", "approval pending"
OK_NATIVE, OK_GRPCIO = "always OK", "always OK, grpcio"
IN_FLIGHT = 64
RATE, CPU, P50, P99 = "calls/s", "CPU µs/call", "p50 µs", "p99 µs"


def run(lab: Lab) -> None:
    """All variants in turn, `rounds` times."""
    subjects = start(lab)
    allowed = Counter[str]()
    for round_ in range(lab.rounds):
        for subject, questions in subjects:
            loaded = lab.ask(subject, questions, in_flight=IN_FLIGHT)
            allowed[subject.name] += loaded.all_allowed
            lab.record(SUITE, subject.name, round_, figures(loaded, subject))
            lab.say(f"{subject.name}: {loaded.rate:,.0f} calls/s")
    for subject, _ in subjects:
        if subject.admin:
            agree(lab, subject, allowed[subject.name])
        subject.child.stop()


def start(lab: Lab, only: Sequence[str] = ()) -> list[tuple[Subject, list[Question]]]:
    """Every variant, or `only` these, each with what it is asked."""
    pending = Verdict(False, "approval_required", 200)
    ordinary = policies.policies()
    makers: dict[str, Callable[[], tuple[Subject, list[Question]]]] = {
        MEMORY: lambda: (lab.service(MEMORY, ordinary), mixed()),
        GRPCIO: lambda: (lab.service(GRPCIO, ordinary, "--transport", "grpcio"), mixed()),
        CEL: lambda: (lab.service(CEL, policies.with_condition()), mixed()),
        VALKEY: lambda: (lab.service(VALKEY, ordinary, "--state", lab.valkey().unix_url), mixed()),
        APPROVALS: lambda: (lab.service(APPROVALS, policies.with_approval()), mixed(pending)),
        OK_NATIVE: lambda: (lab.always_ok(OK_NATIVE, "native"), mixed(always=True)),
        OK_GRPCIO: lambda: (lab.always_ok(OK_GRPCIO, "grpcio"), mixed(always=True)),
    }
    return [make() for name, make in makers.items() if not only or name in only]


def figures(loaded: Load, subject: Subject) -> dict[str, float]:
    """What one run of the load generator says of a subject."""
    return {RATE: loaded.rate, CPU: loaded.cpu_per_call(subject.child.pid), P50: loaded.p50, P99: loaded.p99}


def agree(lab: Lab, subject: Subject, allowed: int) -> None:
    """The service has allowed as many calls as were allowed; keeps what became of its audit records.

    Raises ProgramError where its own count is another.
    """
    counted = metrics(subject)
    decisions = {name: value for name, value in counted.items() if name.startswith("mcp_authz_decisions_total")}
    found = sum(value for name, value in decisions.items() if 'effect="allow"' in name)
    if found != allowed:
        raise ProgramError(f"{subject.name}: expected {allowed} allowed calls in its metrics, got {found:g}")
    lost = sum(value for name, value in counted.items() if name.startswith("mcp_authz_audit_records_dropped_total"))
    lab.record(SUITE, subject.name, 0, {"audit records lost %": 100 * lost / sum(decisions.values())})


def metrics(subject: Subject) -> dict[str, float]:
    """The service's own counters, by name with labels."""
    status, body = get(subject.admin, "/metrics")
    if status != 200:
        raise ProgramError(f"{subject.name}: expected metrics, got status {status}")
    lines = (line for line in body.decode().splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
