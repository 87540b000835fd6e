"""Backpressure: for how many seconds a partition was not read on because its queue was full."""

from __future__ import annotations

from gress_ml.adapters.kafka.sink import Partition
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.metrics import BACKPRESSURE


class Backpressure:
    """Told whenever the queue may have become full or free, and now and then in between."""

    def __init__(self, metrics: PrometheusMetrics, partition: Partition) -> None:
        self._metrics = metrics
        self._labels = (partition[0], str(partition[1]))
        self._full_since: float | None = None

    def told(self, full: bool, now: float) -> None:
        """``now`` is monotonic, in seconds."""
        if self._full_since is not None:
            self._metrics.record(BACKPRESSURE, now - self._full_since, self._labels)
        self._full_since = now if full else None
