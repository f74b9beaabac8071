"""Verifiers and fetchers -> metrics, read at each scrape from another thread. Sources are named by the settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from authz.app.series import label
from authz.app.tokens.tokens import Tokens


class TokenMetrics(Collector):
    """What becomes of tokens and of the keys that verify them; of nothing where no token is verified here."""

    def __init__(self, tokens: Tokens, registry: CollectorRegistry) -> None:
        self._tokens = tokens
        if tokens.verifiers:
            registry.register(self)

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        keys = GaugeMetricFamily("mcp_authz_identity_keys", "Keys of the issuer that are known.", labels=["source"])
        name = "mcp_authz_identity_keys_fetched_timestamp_seconds"
        fetched = GaugeMetricFamily(name, "When the issuer's keys were last fetched, 0: never.", labels=["source"])
        name = "mcp_authz_identity_key_fetch_failures_total"
        failures = CounterMetricFamily(name, "Times that the issuer's keys could not be fetched.", labels=["source"])
        name = "mcp_authz_tokens_verified_total"
        verified = CounterMetricFamily(
            name, "Tokens that counted: known already (cached) or verified anew (new).", labels=["source", "how"]
        )
        name = "mcp_authz_tokens_refused_total"
        refused = CounterMetricFamily(name, "Tokens that did not count, by why.", labels=["source", "cause"])
        name = "mcp_authz_tokens_busy_total"
        text = "Tokens that nobody could verify then: no keys are known, or too many forged ones came."
        busy = CounterMetricFamily(name, text, labels=["source"])
        for source, (verifier, fetcher) in self._tokens.states.items():
            named = label(source)
            keys.add_metric([named], len(fetcher.keys))
            fetched.add_metric([named], fetcher.fetched_at)
            failures.add_metric([named], fetcher.failures)
            verified.add_metric([named, "cached"], verifier.known)
            verified.add_metric([named, "new"], verifier.verified)
            for cause, count in verifier.refused.copy().items():
                refused.add_metric([named, cause], count)
            busy.add_metric([named], verifier.busy)
        yield from (keys, fetched, failures, verified, refused, busy)
