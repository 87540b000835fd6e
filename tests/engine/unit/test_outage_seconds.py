"""Time that is counted: decided without a system, and not read on for a full queue."""

from __future__ import annotations

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.backpressure import Backpressure
from gress_ml.engine.outages import Outages
from gress_ml.metrics import BACKPRESSURE, DEGRADED, DEGRADED_SECONDS


def test_the_time_between_two_samples_counts_for_each_system_that_was_missed_in_it() -> None:
    metrics = PrometheusMetrics()
    outages = Outages(metrics, 100.0)
    outages.sample(101.0)
    outages.decided_without({"model"})
    outages.decided_without({"model", "feature_store"})
    outages.sample(102.5)
    outages.sample(110.0)  # nothing was missed meanwhile
    outages.decided_without({"model"})
    outages.sample(111.0)
    assert metrics.value(DEGRADED_SECONDS, ("model",)) == 2.5
    assert metrics.value(DEGRADED_SECONDS, ("feature_store",)) == 1.5
    assert metrics.value(DEGRADED, ("model",)) == 3


def test_a_queue_counts_from_when_it_is_full_until_it_is_not() -> None:
    metrics = PrometheusMetrics()
    queue, labels = Backpressure(metrics, ("in", 3)), ("in", "3")
    queue.told(False, 10.0)
    queue.told(True, 11.0)
    queue.told(True, 12.0)  # still: what there is of it shows already
    assert metrics.value(BACKPRESSURE, labels) == 1.0
    queue.told(False, 12.5)
    queue.told(False, 20.0)
    assert metrics.value(BACKPRESSURE, labels) == 1.5
