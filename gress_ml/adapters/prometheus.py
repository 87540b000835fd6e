"""Metrics to Prometheus: one child looked up per metric and label values, then kept."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gress_ml.metrics import Kind, Measure, Metric

Record = Callable[[float], None]

#: How many combinations of label values a metric may have. Whatever comes on top counts under
#: ``OTHER``: labels that an operator makes of data must not fill the memory.
MOST_SERIES = 1000
OTHER = "other"


class PrometheusMetrics:
    """Records measures in a registry of its own: two engines in a process do not collide."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._families: dict[str, Counter | Gauge | Histogram] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Record] = {}
        self._series: Counts[str] = Counts()

    def declare(self, metrics: Iterable[Metric]) -> None:
        """Make metrics visible before they have a value."""
        for metric in metrics:
            self._family(metric)

    def record(self, metric: Metric, value: float, labels: tuple[str, ...] = ()) -> None:
        """Add to a counter, set a gauge or observe into a histogram."""
        child = self._children.get((metric.name, labels))
        if child is None:
            child = self._child(metric, labels)
        child(value)

    def record_all(self, measures: Iterable[Measure]) -> None:
        """Record what operators returned."""
        for measure in measures:
            self.record(measure.metric, measure.value, measure.labels)

    def value(self, metric: Metric, labels: tuple[str, ...] = ()) -> float:
        """The present value of a counter or gauge; 0 when it was never recorded."""
        sample = self._registry.get_sample_value(
            metric.name, dict(zip(metric.labels, labels, strict=True))
        )
        return sample or 0.0

    def page(self) -> bytes:
        """The page that Prometheus scrapes."""
        return generate_latest(self._registry)

    def _child(self, metric: Metric, labels: tuple[str, ...]) -> Record:
        if self._series[metric.name] >= MOST_SERIES:
            labels = (OTHER,) * len(labels)
            known = self._children.get((metric.name, labels))
            if known is not None:
                return known
        self._series[metric.name] += 1
        family = self._family(metric)
        child = family.labels(*labels) if metric.labels else family
        record: Record
        if isinstance(child, Counter):
            record = child.inc
        elif isinstance(child, Gauge):
            record = child.set
        else:
            record = child.observe
        self._children[(metric.name, labels)] = record
        return record

    def _family(self, metric: Metric) -> Counter | Gauge | Histogram:
        family = self._families.get(metric.name)
        if family is None:
            family = self._new(metric)
            self._families[metric.name] = family
        return family

    def _new(self, metric: Metric) -> Counter | Gauge | Histogram:
        if metric.kind is Kind.COUNTER:
            return Counter(metric.name, metric.help, metric.labels, registry=self._registry)
        if metric.kind is Kind.GAUGE:
            return Gauge(metric.name, metric.help, metric.labels, registry=self._registry)
        buckets = metric.buckets or Histogram.DEFAULT_BUCKETS
        return Histogram(
            metric.name, metric.help, metric.labels, buckets=buckets, registry=self._registry
        )
