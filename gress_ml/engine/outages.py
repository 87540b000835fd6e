"""Outages: for how many seconds decisions were made without a system that they should have had."""

from __future__ import annotations

from collections.abc import Collection

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.metrics import DEGRADED, DEGRADED_SECONDS


class Outages:
    """Counts degraded batches, and the stretches of time in which there was one.

    A stretch lasts from one ``sample`` to the next, so the seconds are as fine as the sampling.
    """

    def __init__(self, metrics: PrometheusMetrics, now: float) -> None:
        self._metrics = metrics
        self._sampled_at = now
        self._missed: set[str] = set()  # since then

    def decided_without(self, systems: Collection[str]) -> None:
        """A batch was decided without these."""
        for system in systems:
            self._metrics.record(DEGRADED, 1, (system,))
        self._missed.update(systems)

    def sample(self, now: float) -> None:
        """``now`` is monotonic, in seconds."""
        for system in self._missed:
            self._metrics.record(DEGRADED_SECONDS, now - self._sampled_at, (system,))
        self._missed.clear()
        self._sampled_at = now
