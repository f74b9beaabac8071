"""What a scrape says, and that nobody who sends calls can add to it."""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from authz.app import series
from authz.app.metrics import Metrics
from authz.app.series import label
from authz.app.store.failures import Cause
from authz.app.store.fallback import Outcome
from authz.audit import Record
from authz.errors import Problem
from authz.model import Decision, Effect, Era, Message, MessageKind, Reason, Shadowed

PROMETHEUS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
CALL = Message(MessageKind.REQUEST, "tools/call", 1)
ALLOWED = Decision("d", Effect.ALLOW, Reason.ALLOWED, CALL, server="valkey", target="read")
LIMITED = replace(ALLOWED, effect=Effect.DENY, reason=Reason.RATE_LIMITED, limits=("total",))


def record(decision: Decision = ALLOWED, **changes: Any) -> Record:
    return Record(time=0.0, decision=decision, **{"latency": 60e-6, "era": Era.LEGACY, **changes})


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.set_names({"valkey": frozenset({"read", "json_*"}), "bank": frozenset({"pay"})})
    return metrics


def scraped(metrics: Metrics, name: str, accept: str = PROMETHEUS) -> dict[tuple[str, ...], float]:
    """The samples of one name, by their label values in the order of the label names."""
    content_type, text = metrics.render(accept)
    parse = parse_openmetrics if content_type.startswith("application/openmetrics-text") else parse_text
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in parse(text.decode())
        for sample in family.samples
        if sample.name == name
    }


def test_decisions_are_counted_by_server_tool_effect_and_reason(metrics: Metrics) -> None:
    for decision in (ALLOWED, ALLOWED, LIMITED, replace(ALLOWED, target="json_*")):
        assert metrics.write(record(decision))
    assert scraped(metrics, "mcp_authz_decisions_total") == {
        # effect, reason, server, tool
        ("allow", "allowed", "valkey", "read"): 2,
        ("allow", "allowed", "valkey", "json_*"): 1,
        ("deny", "rate_limited", "valkey", "read"): 1,
    }


def test_hits_of_limits_are_counted_by_server_tool_and_limit(metrics: Metrics) -> None:
    metrics.write(record(LIMITED))
    metrics.write(record(replace(LIMITED, limits=("total", "spend"))))
    metrics.write(record(replace(LIMITED, target="")))
    assert scraped(metrics, "mcp_authz_rate_limit_hits_total") == {
        # limit, server, tool
        ("total", "valkey", "read"): 2,
        ("spend", "valkey", "read"): 1,
        ("total", "valkey", "other"): 1,
    }


def test_the_duration_is_in_seconds_and_told_once_for_a_batch(metrics: Metrics) -> None:
    for part in range(3):
        metrics.write(record(part=part, parts=3))
    buckets = scraped(metrics, "mcp_authz_decision_duration_seconds_bucket")
    assert buckets["allow", "2.5e-05"] == 0
    assert buckets["allow", "0.0001"] == 1
    assert buckets["allow", "1.0"] == 1
    assert scraped(metrics, "mcp_authz_decision_duration_seconds_sum")["allow",] == pytest.approx(60e-6)


def test_shadow_outcomes_stand_beside_what_was_done(metrics: Metrics) -> None:
    shadowed = (Shadowed("next.yaml", Effect.DENY, Reason.RULE_DENIED),)
    metrics.write(record(shadowed=shadowed))
    metrics.write(record(replace(ALLOWED, server="unknown"), shadowed=shadowed))
    assert scraped(metrics, "mcp_authz_shadow_decisions_total") == {
        # actual effect, effect, policy, server
        ("allow", "deny", "next.yaml", "valkey"): 1,
        ("allow", "deny", "other", "other"): 1,
    }


def test_calls_in_flight_and_malformed_requests_are_told(metrics: Metrics) -> None:
    metrics.in_flight.inc()
    metrics.in_flight.inc()
    metrics.in_flight.dec()
    unread = replace(ALLOWED, effect=Effect.DENY, reason=Reason.MALFORMED, detail="duplicate_key")
    metrics.write(record(unread, era=None))
    metrics.write(record(replace(unread, detail="a sentence of the policy")))
    metrics.write(record(replace(unread, detail="", reason=Reason.BUSY), era=None))
    assert scraped(metrics, "mcp_authz_calls_in_flight") == {(): 1}
    assert scraped(metrics, "mcp_authz_malformed_requests_total") == {("duplicate_key",): 1}


def test_a_load_tells_the_revision_when_it_was_and_the_problems_of_each_file(metrics: Metrics) -> None:
    problem = Problem("bank.yaml", 3, 1, "tools", "expected a mapping")
    metrics.policy_loaded(
        "abc", [problem, problem, dataclasses.replace(problem, file="b\udcff.yaml")], when=1763716800.0
    )
    assert scraped(metrics, "mcp_authz_policy_info") == {("abc",): 1}
    assert scraped(metrics, "mcp_authz_policy_last_load_timestamp_seconds") == {(): 1763716800.0}
    assert scraped(metrics, "mcp_authz_policy_load_problems") == {("bank.yaml",): 2, ("b\\udcff.yaml",): 1}
    before = time.time()
    metrics.policy_loaded("def", [])
    assert scraped(metrics, "mcp_authz_policy_info") == {("def",): 1}
    assert scraped(metrics, "mcp_authz_policy_load_problems") == {}
    assert scraped(metrics, "mcp_authz_policy_last_load_timestamp_seconds")[()] >= before


@dataclass
class Store:
    size: int = 7
    anonymous_size: int = 2
    repeats_size: int = 1
    overflows: dict[str, int] = field(default_factory=lambda: {"total": 3})


@dataclass
class Audit:
    written: int = 5
    dropped: dict[Effect, int] = field(default_factory=lambda: {Effect.ALLOW: 0, Effect.DENY: 4})
    errors: int = 1


def test_store_and_audit_file_are_asked_at_each_scrape(metrics: Metrics) -> None:
    store, audit = Store(), Audit()
    metrics.observe(store=store)
    metrics.observe(audit=audit)
    assert scraped(metrics, "mcp_authz_store_entries") == {("verified",): 7, ("anonymous",): 2, ("repeats",): 1}
    assert scraped(metrics, "mcp_authz_store_overflows_total") == {("total",): 3}
    assert scraped(metrics, "mcp_authz_audit_records_written_total") == {(): 5}
    assert scraped(metrics, "mcp_authz_audit_records_dropped_total") == {("allow",): 0, ("deny",): 4}
    assert scraped(metrics, "mcp_authz_audit_errors_total") == {(): 1}
    store.size = 8
    assert scraped(metrics, "mcp_authz_store_entries")["verified",] == 8


@pytest.mark.parametrize("accept", ["", "*/*", PROMETHEUS, "text/plain;version=1.0.0;escaping=allow-utf-8"])
def test_every_format_can_be_parsed_and_has_the_process_too(metrics: Metrics, accept: str) -> None:
    metrics.write(record(LIMITED))
    for _ in range(2):  # collectors may give the same value each time
        assert scraped(metrics, "mcp_authz_decisions_total", accept)
        assert scraped(metrics, "process_resident_memory_bytes", accept)
        assert scraped(metrics, "python_info", accept)
        assert b"_created" not in metrics.render(accept)[1]


@pytest.mark.parametrize("version", ["1.x", "9" * 5000, "", "-1"])
def test_a_version_that_is_none_gets_the_oldest_format_or_the_first(metrics: Metrics, version: str) -> None:
    content_type, text = metrics.render(f"application/openmetrics-text; version={version}")
    assert b"mcp_authz_build_info" in text
    assert len(content_type) < 100


# --------------------------------------------------------------------------------------------------- what agents try


def test_a_flood_of_invented_names_adds_no_series_and_no_memory(metrics: Metrics) -> None:
    metrics.write(record(replace(LIMITED, target="")))
    metrics.write(record(replace(LIMITED, server="", target="")))
    before = metrics.render()[1].count(b"\n")
    for number in range(100_000):
        metrics.write(record(replace(LIMITED, target=f"tool-{number}")))
        if number % 10 == 0:
            metrics.write(record(replace(LIMITED, server=f"server-{number}", target="read", limits=(f"l-{number}",))))
    assert metrics.render()[1].count(b"\n") == before
    assert scraped(metrics, "mcp_authz_decisions_total") == {
        ("deny", "rate_limited", "valkey", "other"): 100_001,
        ("deny", "rate_limited", "other", "other"): 10_001,
    }
    assert scraped(metrics, "mcp_authz_rate_limit_hits_total")["other", "other", "other"] == 10_001


def test_a_known_tool_of_another_server_is_other(metrics: Metrics) -> None:
    metrics.write(record(replace(ALLOWED, server="bank", target="read")))
    assert scraped(metrics, "mcp_authz_decisions_total") == {("allow", "allowed", "bank", "other"): 1}


def test_more_names_than_there_is_room_for_are_other(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    monkeypatch.setattr(metrics._decisions, "_most", 3)
    metrics.set_names({"s": frozenset(f"t{number}" for number in range(10))})
    for number in range(10):
        metrics.write(record(replace(ALLOWED, server="s", target=f"t{number}")))
    assert scraped(metrics, "mcp_authz_decisions_total") == {
        ("allow", "allowed", "s", "t0"): 1,
        ("allow", "allowed", "s", "t1"): 1,
        ("allow", "allowed", "s", "t2"): 1,
        ("allow", "allowed", "other", "other"): 7,
    }


def test_names_of_malformed_kinds_are_bounded(metrics: Metrics) -> None:
    for number in range(1000):
        metrics.write(record(replace(ALLOWED, detail=f"kind-{number}"), era=None))
    kinds = scraped(metrics, "mcp_authz_malformed_requests_total")
    assert len(kinds) == 101
    assert kinds["other",] == 900


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('quote"back\\slash\nline', 'quote"back\\slash\nline'),
        ("lone\ud800", "lone\\ud800"),
        ("nul\x00esc\x1b", "nul\\x00esc\\x1b"),
        ("é\u2028", "é\u2028"),
        ("n" * 500, "n" * 200),
    ],
)
@pytest.mark.parametrize("accept", ["", PROMETHEUS])
def test_no_name_breaks_a_scrape(name: str, shown: str, accept: str) -> None:
    metrics = Metrics()
    metrics.set_names({name: frozenset({name})})
    metrics.write(record(replace(LIMITED, server=name, target=name, limits=(name,))))
    assert label(name) == shown
    assert scraped(metrics, "mcp_authz_decisions_total", accept) == {("deny", "rate_limited", shown, shown): 1}


# ------------------------------------------------------------------------------------------------------------ reloads


def test_names_that_are_gone_take_their_series_with_them_and_others_keep_counting(metrics: Metrics) -> None:
    bank = replace(LIMITED, server="bank", target="pay")
    for decision in (ALLOWED, bank, replace(ALLOWED, target="x"), replace(ALLOWED, server="", target="")):
        metrics.write(record(decision, shadowed=(Shadowed("next.yaml", Effect.DENY, Reason.RULE_DENIED),)))
    metrics.set_names({"valkey": frozenset({"read"})})
    metrics.write(record())
    metrics.write(record(bank))
    assert scraped(metrics, "mcp_authz_decisions_total") == {
        ("allow", "allowed", "valkey", "read"): 2,
        ("allow", "allowed", "valkey", "other"): 1,
        ("allow", "allowed", "other", "other"): 1,
        ("deny", "rate_limited", "other", "other"): 1,
    }
    assert scraped(metrics, "mcp_authz_rate_limit_hits_total") == {("other", "other", "other"): 1}
    assert set(scraped(metrics, "mcp_authz_shadow_decisions_total")) == {
        ("allow", "deny", "next.yaml", "valkey"),
        ("allow", "deny", "other", "other"),
    }


def test_reloads_with_ever_new_names_keep_the_number_of_series(metrics: Metrics) -> None:
    for number in range(200):
        metrics.set_names({f"s{number}": frozenset({"t"})})
        metrics.write(record(replace(LIMITED, server=f"s{number}", target="t")))
    assert len(scraped(metrics, "mcp_authz_decisions_total")) == 1


# ------------------------------------------------------------------------------------------------------------- pacing


def test_a_scrape_lets_other_threads_have_their_turn(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics.set_names({"s": frozenset(f"t{number}" for number in range(1000))})
    for number in range(1000):
        metrics.write(record(replace(ALLOWED, server="s", target=f"t{number}")))
    pauses: list[float] = []
    monkeypatch.setattr(series.time, "sleep", pauses.append)
    metrics.render()
    assert len(pauses) >= 10


def test_calls_may_be_counted_while_a_scrape_is_rendered(metrics: Metrics) -> None:
    metrics.set_names({"s": frozenset(f"t{number}" for number in range(3000))})
    failed: list[BaseException] = []

    def scrape() -> None:
        try:
            for _ in range(5):
                metrics.render()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    for number in range(3000):
        metrics.write(record(replace(ALLOWED, server="s", target=f"t{number}")))
    metrics.set_names({})
    thread.join()
    assert not failed


def test_a_shared_store_tells_how_it_stands(metrics: Metrics) -> None:
    @dataclass
    class Shared:
        up: bool = True
        replicas: int | None = None
        outcomes: dict[Outcome, int] = field(default_factory=lambda: {Outcome.SHARED: 5, Outcome.LOCAL: 2})
        failures: dict[Cause, int] = field(default_factory=lambda: {Cause.TIMEOUT: 3})

    assert b"mcp_authz_store_up" not in metrics.render()[1]
    assert b"mcp_authz_store_duration" not in metrics.render()[1]
    shared = Shared()
    metrics.observe(shared=shared)
    metrics.observe()
    metrics.store_duration.observe(0.0003)
    assert scraped(metrics, "mcp_authz_store_up") == {(): 1}
    assert scraped(metrics, "mcp_authz_store_replicas") == {}
    assert scraped(metrics, "mcp_authz_store_attempts_total") == {("shared",): 5, ("local",): 2}
    assert scraped(metrics, "mcp_authz_store_failures_total") == {("timeout",): 3}
    assert scraped(metrics, "mcp_authz_store_duration_seconds_count") == {(): 1}
    shared.up, shared.replicas = False, 7
    assert scraped(metrics, "mcp_authz_store_up") == {(): 0}
    assert scraped(metrics, "mcp_authz_store_replicas") == {(): 7}
