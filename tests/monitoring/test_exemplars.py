"""Traces behind the latency: only of calls that have one, and only where the scrape's format can say it."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from authz.app.metrics import Metrics
from authz.audit import Record
from authz.model import Decision, Effect, Era, Message, MessageKind, Reason

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
TRACE = "0af7651916cd43dd8448eb211c80319c"
ALLOWED = Decision("d", Effect.ALLOW, Reason.ALLOWED, Message(MessageKind.REQUEST, "tools/call", 1), server="bank")


def exemplars(metrics: Metrics) -> dict[str, str]:
    """The trace of each bucket that has one."""
    _, text = metrics.render(OPENMETRICS)
    return {
        sample.labels["le"]: sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.exemplar
    }


def write(metrics: Metrics, latency: float, trace: str, part: int = 0) -> None:
    metrics.write(Record(time=0.0, decision=ALLOWED, latency=latency, era=Era.LEGACY, trace_id=trace, part=part))


def test_a_call_with_a_trace_is_the_exemplar_of_its_bucket() -> None:
    metrics = Metrics()
    write(metrics, 60e-6, TRACE)
    write(metrics, 2e-3, "")
    assert exemplars(metrics) == {"0.0001": TRACE}


def test_the_latest_call_with_a_trace_stays_and_calls_without_one_leave_it() -> None:
    metrics = Metrics()
    write(metrics, 60e-6, "1" * 32)
    write(metrics, 70e-6, TRACE)
    write(metrics, 80e-6, "")
    write(metrics, 90e-6, "2" * 32, part=1)
    assert exemplars(metrics) == {"0.0001": TRACE}


@pytest.mark.parametrize("accept", ["", "text/plain;version=0.0.4", "*/*"])
def test_the_plain_format_has_no_place_for_them(accept: str) -> None:
    metrics = Metrics()
    write(metrics, 60e-6, TRACE)
    content_type, text = metrics.render(accept)
    assert content_type.startswith("text/plain")
    assert TRACE.encode() not in text
