"""What the TLS listener tells of itself -> metrics, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_EXPIRY = "mcp_authz_tls_certificate_expiry_timestamp_seconds"


class TlsState(Protocol):
    """The certificates in force, and who was turned away."""

    @property
    def expiries(self) -> Mapping[str, float]: ...
    @property
    def problem(self) -> str: ...
    @property
    def refused(self) -> int: ...


class TlsMetrics(Collector):
    """To be registered where there is a TLS listener, and only there."""

    def __init__(self, state: TlsState) -> None:
        self._state = state

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        text = "When the certificate in force expires, and the last of the clients' authorities."
        expiry = GaugeMetricFamily(_EXPIRY, text, labels=["file"])
        for name, when in self._state.expiries.items():
            expiry.add_metric([name], when)
        yield expiry
        text = "1 while the certificates in force are not what the files hold now."
        yield GaugeMetricFamily("mcp_authz_tls_reload_problem", text, value=float(bool(self._state.problem)))
        text = "Checks of callers that are not listed."
        yield CounterMetricFamily("mcp_authz_refused_callers_total", text, value=self._state.refused)
