"""Names -> time series, so that nothing anybody sends can add one, break a scrape, or make it felt elsewhere."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.samples import Sample

OTHER = "other"
MAX_SERIES = 10_000  # of one family: a policy may spell more names, and every one may have every outcome
MAX_LABEL = 200  # characters
_STRIDE = 100  # samples, about 0.3 ms, that a scrape formats before it lets other threads have their turn
# The text format has an escape for \n alone; Prometheus's lexer takes NUL for the end of the text.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code != 10}

Labels: TypeAlias = tuple[str, ...]


class Family:
    """A counter with labels, the first `names` of which are names that `vet` must know.

    `vet` gives the names to use, or None for those it does not know: then each is `other`, and also where there are
    `most` series already. What follows the names are words of this program. One thread counts and forgets, so there
    is no lock: the library's own counters cost each call 2 µs for theirs.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Labels,
        *,
        names: int,
        vet: Callable[[Labels], Labels | None],
        most: int = MAX_SERIES,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._names = names
        self._vet = vet
        self._most = most
        self._counts: dict[Labels, int] = {}

    def count(self, values: Labels) -> None:
        """Add one. Costs a look into a dictionary where the names are known."""
        found = self._counts.get(values)
        if found is None:
            values = self._vetted(values)
            if values not in self._counts and len(self._counts) >= self._most:
                values = self._of_others(values)
            found = self._counts.get(values, 0)
        self._counts[values] = found + 1

    def forget(self) -> None:
        """Let go of the series whose names are not known any more."""
        for values in [values for values in self._counts if self._vetted(values) != values]:
            del self._counts[values]

    def metric(self) -> Metric:
        """What was counted. May be called from another thread."""
        metric = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        totals: Counter[Labels] = Counter()  # two names can have one label
        for values, count in list(self._counts.items()):
            totals[tuple([label(value) for value in values])] += count
        for values, count in totals.items():
            metric.add_metric(values, count)
        return metric

    def _vetted(self, values: Labels) -> Labels:
        names = self._vet(values[: self._names])
        return self._of_others(values) if names is None else (*names, *values[self._names :])

    def _of_others(self, values: Labels) -> Labels:
        return (*(OTHER,) * self._names, *values[self._names :])


class Paced:
    """A registry whose samples come in strides, with a pause after each in which other threads get the interpreter.

    Formatting thousands of series without one would hold up an event loop that has to have the interpreter several
    times for each of its calls, and waits 5 ms for it every time.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """The registry's metrics; collectors may keep theirs, so it is copies whose samples are paced."""
        for metric in self._registry.collect():
            paced = copy.copy(metric)
            paced.samples = _paced(metric.samples)  # type: ignore[assignment] # encoders only iterate over it
            yield paced


def label(text: str) -> str:
    """`text` as a label value that cannot break a scrape: valid Unicode, no control characters, not too long."""
    if text.isascii() and text.isprintable() and len(text) <= MAX_LABEL:
        return text
    return text[:MAX_LABEL].encode("utf-8", "backslashreplace").decode().translate(_CONTROLS)


def _paced(samples: Iterable[Sample]) -> Iterator[Sample]:
    for count, sample in enumerate(samples, 1):
        # The ages of counters would double the series, and nothing reads them.
        if not sample.name.endswith("_created"):
            yield sample
        if count % _STRIDE == 0:
            time.sleep(0.0001)
