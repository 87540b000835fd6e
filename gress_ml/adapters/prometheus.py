"""Metrics to Prometheus: plain numbers while events flow, made into a page when it is asked for.

The client library takes a lock and several calls per observation, which adds up to more than the
model takes on a small batch; here an observation is an addition. The library still makes the page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gress_ml.metrics import Kind, Measure, Metric

#: How many combinations of label values a metric may have. Whatever comes on top counts under
#: ``OTHER``: labels that an operator makes of data must not fill the memory.
MOST_SERIES = 1000
OTHER = "other"

Labels = tuple[str, ...]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class _Counter:
    """A sum that only grows. Raises ValueError for what would make it fall."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def record(self, value: float) -> None:
        if value < 0:
            raise ValueError(f"a counter only grows; found {value}")
        self.value += value


class _Gauge:
    """The value of now."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def record(self, value: float) -> None:
        self.value = value


class _Histogram:
    """How many observations fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def record(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and number of observations up to it."""
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


_Series = _Counter | _Gauge | _Histogram


class PrometheusMetrics(Collector):
    """Records measures in a registry of its own: two engines in a process do not collide."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._metrics: dict[str, tuple[Metric, dict[Labels, _Series]]] = {}
        self._known: dict[tuple[str, Labels], _Series] = {}

    def declare(self, metrics: Iterable[Metric]) -> None:
        """Make metrics visible before they have a value."""
        for metric in metrics:
            if metric.labels:
                self._series_of(metric)
            else:
                self._find(metric, ())

    def record(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        """Add to a counter, set a gauge or observe into a histogram."""
        series = self._known.get((metric.name, labels))
        if series is None:
            series = self._find(metric, labels)
        series.record(value)

    def record_all(self, measures: Iterable[Measure]) -> None:
        """Record what operators returned."""
        for measure in measures:
            self.record(measure.metric, measure.value, measure.labels)

    def value(self, metric: Metric, labels: Labels = ()) -> float:
        """The present value of a counter or gauge; 0 when it was never recorded."""
        _, series = self._metrics.get(metric.name, (metric, {}))
        found = series.get(labels)
        return found.value if isinstance(found, _Counter | _Gauge) else 0.0

    def page(self) -> bytes:
        """The page that Prometheus scrapes."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Family]:
        """Every metric with its series, for the page."""
        for metric, series in self._metrics.values():
            yield _family(metric, series)

    def _find(self, metric: Metric, labels: Labels) -> _Series:
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}; found {labels}")
        series = self._series_of(metric)
        if len(series) >= MOST_SERIES and labels not in series:
            labels = (OTHER,) * len(labels)
        found = series.get(labels)
        if found is None:
            found = series[labels] = _new(metric)
        if len(series) <= MOST_SERIES and labels[:1] != (OTHER,):
            self._known[(metric.name, labels)] = found
        return found

    def _series_of(self, metric: Metric) -> dict[Labels, _Series]:
        return self._metrics.setdefault(metric.name, (metric, {}))[1]


def _new(metric: Metric) -> _Series:
    if metric.kind is Kind.COUNTER:
        return _Counter()
    if metric.kind is Kind.GAUGE:
        return _Gauge()
    return _Histogram(tuple(metric.buckets or Histogram.DEFAULT_BUCKETS[:-1]))


def _family(metric: Metric, series: Mapping[Labels, _Series]) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, one in series.items():
            if isinstance(one, _Histogram):
                family.add_metric(labels, buckets=one.buckets(), sum_value=one.total)
        return family
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    plain = kind(metric.name, metric.help, labels=metric.labels)
    for labels, one in series.items():
        if isinstance(one, _Counter | _Gauge):
            plain.add_metric(labels, one.value)
    return plain
