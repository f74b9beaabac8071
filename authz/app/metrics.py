"""Audit records and the state of the service -> metrics in Prometheus's and OpenMetrics' text format.

Labels are names that the policies spell, and words of this program; everything else is `other`, so that no agent can
add a series (a tool name as a label: 200,000 invented names cost 145 MB and 4.5 s a scrape). Knows no HTTP.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from authz import COMPILED, __version__
from authz.app.durations import Durations
from authz.app.series import OTHER, Family, Paced, label
from authz.app.store.failures import Cause
from authz.app.store.fallback import Outcome
from authz.audit import Record
from authz.errors import Problem
from authz.model import Effect

# Seconds. A decision takes tens of microseconds; above a second Envoy's own timeout has long ended the call.
BUCKETS = (25e-6, 50e-6, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0)


class StoreState(Protocol):
    """What a store tells of itself, read at each scrape from another thread."""

    @property
    def size(self) -> int: ...
    @property
    def anonymous_size(self) -> int: ...
    @property
    def repeats_size(self) -> int: ...
    @property
    def overflows(self) -> Mapping[str, int]: ...


class SharedState(Protocol):
    """What a store that replicas share tells of itself."""

    @property
    def up(self) -> bool: ...
    @property
    def replicas(self) -> int | None: ...
    @property
    def outcomes(self) -> Mapping[Outcome, int]: ...
    @property
    def failures(self) -> Mapping[Cause, int]: ...


class AuditState(Protocol):
    """What an audit file tells of itself."""

    @property
    def written(self) -> int: ...
    @property
    def dropped(self) -> Mapping[Effect, int]: ...
    @property
    def errors(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Load:
    revision: str
    when: float
    problems: Mapping[str, int]


class Metrics:
    """An AuditSink that counts, with what else there is to tell of the service.

    One thread writes; `render` may be called from another. `in_flight` is a gauge for who answers the calls.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._names: Mapping[str, frozenset[str]] = {}
        self._decisions = Family(
            "mcp_authz_decisions_total",
            "Decisions; tool is the tool, prompt or resource as the policy spells it.",
            ("server", "tool", "effect", "reason"),
            names=2,
            vet=self._vet_target,
        )
        self._hits = Family(
            "mcp_authz_rate_limit_hits_total",
            "Calls that were denied because a rate limit was exhausted.",
            ("server", "tool", "limit"),
            names=3,
            vet=self._vet_target,
        )
        self._approvals = Family(
            "mcp_authz_approvals_total",
            "Requests for approval that calls have filed, and grants that calls have claimed.",
            ("server", "tool", "event"),
            names=2,
            vet=self._vet_target,
        )
        self._shadows = Family(
            "mcp_authz_shadow_decisions_total",
            "What shadow policies would have decided, beside what was done.",
            ("server", "policy", "effect", "actual_effect"),
            names=2,
            vet=lambda names: names if names[0] in self._names else None,
        )
        self._malformed = Family(
            "mcp_authz_malformed_requests_total",
            "Requests that could not be read without doubt.",
            ("kind",),
            names=1,
            vet=lambda names: names,
            most=100,
        )
        self._durations = Durations(
            "mcp_authz_decision_duration_seconds", "How long it took to decide an HTTP request.", BUCKETS
        )
        # In no registry until there is a shared store: an empty histogram would say that there is one.
        self.store_duration = Histogram(
            "mcp_authz_store_duration_seconds",
            "How long the shared store took to judge an attempt.",
            buckets=BUCKETS,
            registry=None,
        )
        self._families = (self._decisions, self._hits, self._approvals, self._shadows, self._malformed)
        self.in_flight = Gauge("mcp_authz_calls_in_flight", "Checks not yet answered.", registry=self.registry)
        self._state = _State()
        self.registry.register(_Counted(self._families, self._durations))
        self.registry.register(self._state)

    def write(self, record: Record) -> bool:
        """Count one decision. Always True: a number is never the reason to deny."""
        decision = record.decision
        effect = decision.effect
        server, target = decision.server, decision.target
        self._decisions.count((server, target, effect, decision.reason))
        if record.part == 0:
            self._durations.observe(effect, record.latency, record.trace_id)
        if record.era is None and decision.detail:
            self._malformed.count((decision.detail,))
        for limit in decision.limits:
            self._hits.count((server, target, limit))
        if decision.approval is not None and (decision.approval.filed or effect is Effect.ALLOW):
            event = "claimed" if effect is Effect.ALLOW else "requested"
            self._approvals.count((server, target, event))
        for shadowed in record.shadowed:
            self._shadows.count((server, shadowed.policy, shadowed.effect.value, effect.value))
        return True

    def set_names(self, servers: Mapping[str, frozenset[str]]) -> None:
        """The names that may be labels from now on, by server. The series of names that are gone go with them."""
        self._names = servers
        for family in self._families:
            family.forget()

    def policy_loaded(self, revision: str, problems: Sequence[Problem], when: float | None = None) -> None:
        """Policies were loaded at `when` (epoch seconds, default now): what is in force and what was wrong."""
        counts = Counter(problem.file for problem in problems)
        self._state.load = _Load(revision, time.time() if when is None else when, dict(counts.most_common(1000)))

    def observe(
        self,
        *,
        store: StoreState | None = None,
        shared: SharedState | None = None,
        audit: AuditState | None = None,
    ) -> None:
        """Tell at each scrape what these say of themselves; beside `shared`, `store` is this replica's own."""
        self._state.store = store or self._state.store
        if shared and not self._state.shared:
            self._state.shared = shared
            self.registry.register(self.store_duration)
        self._state.audit = audit or self._state.audit

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """The content type that suits an Accept header, and all metrics in it.

        Meant for a thread of its own: it pauses often, so that no other thread waits long for the interpreter.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # what the library makes of a version that is no number
            encode, content_type = choose_encoder("")
        return content_type, encode(Paced(self.registry))

    def _vet_target(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        server, target, *limit = names  # a limit was named by the policy that the server's name stands for
        known = self._names.get(server)
        if known is None or target in known:
            return None if known is None else names
        return (server, OTHER, *limit)


class _Counted(Collector):
    """What was counted decision by decision."""

    def __init__(self, families: Sequence[Family], durations: Durations) -> None:
        self._families = families
        self._durations = durations

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            yield family.metric()
        yield self._durations.metric()


class _State(Collector):
    """What is not counted but read when somebody asks."""

    def __init__(self) -> None:
        self.load: _Load | None = None
        self.store: StoreState | None = None
        self.shared: SharedState | None = None
        self.audit: AuditState | None = None

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        build = {"version": __version__, "compiled": str(COMPILED).lower()}
        yield InfoMetricFamily("mcp_authz_build", "Which program this is.", build)
        if self.load is not None:
            yield from _load_metrics(self.load)
        if self.store is not None:
            yield from _store_metrics(self.store)
        if self.shared is not None:
            yield from _shared_metrics(self.shared)
        if self.audit is not None:
            yield from _audit_metrics(self.audit)


def _load_metrics(load: _Load) -> Iterator[Metric]:
    yield InfoMetricFamily("mcp_authz_policy", "The policies in force.", {"revision": label(load.revision)})
    when = "mcp_authz_policy_last_load_timestamp_seconds"
    yield GaugeMetricFamily(when, "When policies were last loaded, with or without problems.", value=load.when)
    name = "mcp_authz_policy_load_problems"
    problems = GaugeMetricFamily(name, "Mistakes found by the last load, by file.", labels=["file"])
    for file, count in load.problems.items():
        problems.add_metric([label(file)], count)
    yield problems


def _store_metrics(store: StoreState) -> Iterator[Metric]:
    entries = GaugeMetricFamily("mcp_authz_store_entries", "What the store keeps, by table.", labels=["table"])
    entries.add_metric(["verified"], store.size)
    entries.add_metric(["anonymous"], store.anonymous_size)
    entries.add_metric(["repeats"], store.repeats_size)
    yield entries
    name = "mcp_authz_store_overflows_total"
    overflows = CounterMetricFamily(name, "Charges that found their table full and shared a counter.", labels=["limit"])
    for limit, count in store.overflows.items():
        overflows.add_metric([label(limit)], count)
    yield overflows


def _shared_metrics(shared: SharedState) -> Iterator[Metric]:
    yield GaugeMetricFamily("mcp_authz_store_up", "1 while the shared store judges calls.", value=float(shared.up))
    if shared.replicas is not None:
        name = "mcp_authz_store_replicas"
        yield GaugeMetricFamily(name, "Replicas that share the store, as last known.", value=shared.replicas)
    name = "mcp_authz_store_attempts_total"
    attempts = CounterMetricFamily(name, "Attempts to pay, by who judged them.", labels=["outcome"])
    for outcome, count in shared.outcomes.items():
        attempts.add_metric([outcome.value], count)
    yield attempts
    name = "mcp_authz_store_failures_total"
    failures = CounterMetricFamily(name, "Times that the shared store could not tell.", labels=["cause"])
    for cause, count in shared.failures.items():
        failures.add_metric([cause.value], count)
    yield failures


def _audit_metrics(audit: AuditState) -> Iterator[Metric]:
    name = "mcp_authz_audit_records_written_total"
    yield CounterMetricFamily(name, "Audit records written.", value=audit.written)
    name = "mcp_authz_audit_records_dropped_total"
    dropped = CounterMetricFamily(name, "Audit records lost for want of room.", labels=["effect"])
    for effect, count in audit.dropped.items():
        dropped.add_metric([effect.value], count)
    yield dropped
    yield CounterMetricFamily("mcp_authz_audit_errors_total", "Failed writes of the audit log.", value=audit.errors)
