from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gress_ml import metrics as declared
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.http import HttpServer
from gress_ml.metrics import EVENTS, QUEUE_DEPTH, Kind, Measure, Metric

WAIT = Metric("wait_seconds", Kind.HISTOGRAM, "Waiting.", ("who",), (0.1, 1.0))
ALL = [metric for metric in vars(declared).values() if isinstance(metric, Metric)]


def samples(metrics: PrometheusMetrics) -> dict[str, float]:
    """The page as Prometheus reads it: ``name{labels}`` to value."""
    return {
        sample.name + "".join(f"{{{k}={v}}}" for k, v in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_counters_add_gauges_are_set_histograms_observe() -> None:
    metrics = PrometheusMetrics()
    metrics.record(EVENTS, 2, ("a",))
    metrics.record(EVENTS, 3, ("a",))
    metrics.record(EVENTS, 1, ("b",))
    metrics.record(QUEUE_DEPTH, 5)
    metrics.record(QUEUE_DEPTH, 4)
    for value in (0.05, 0.5, 5.0):
        metrics.record(WAIT, value, ("x",))
    assert samples(metrics) == {
        "gress_ml_events_total{topic=a}": 5,
        "gress_ml_events_total{topic=b}": 1,
        "gress_ml_queue_depth": 4,
        "wait_seconds_bucket{le=0.1}{who=x}": 1,
        "wait_seconds_bucket{le=1.0}{who=x}": 2,
        "wait_seconds_bucket{le=+Inf}{who=x}": 3,
        "wait_seconds_count{who=x}": 3,
        "wait_seconds_sum{who=x}": 5.55,
    }
    assert metrics.value(EVENTS, ("a",)) == 5
    assert metrics.value(QUEUE_DEPTH) == 4
    assert metrics.value(EVENTS, ("never",)) == 0


def test_measures_of_operators_are_recorded() -> None:
    metrics = PrometheusMetrics()
    metrics.record_all([Measure(EVENTS, 1, ("a",)), Measure(EVENTS, 2, ("a",))])
    assert metrics.value(EVENTS, ("a",)) == 3


def test_declared_metrics_are_there_before_they_have_a_value() -> None:
    metrics = PrometheusMetrics()
    metrics.declare([QUEUE_DEPTH, EVENTS])
    page = metrics.page().decode()
    assert "gress_ml_queue_depth 0.0" in page
    assert f"# HELP gress_ml_events_total {EVENTS.help}" in page


def test_two_engines_in_a_process_count_apart() -> None:
    one, other = PrometheusMetrics(), PrometheusMetrics()
    one.record(QUEUE_DEPTH, 7)
    assert other.value(QUEUE_DEPTH) == 0


def test_labels_may_hold_any_text() -> None:
    metrics = PrometheusMetrics()
    metrics.record(EVENTS, 1, ('a "quoted"\n\\ é',))
    assert samples(metrics) == {'gress_ml_events_total{topic=a "quoted"\n\\ é}': 1}


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_every_declared_metric_can_be_recorded_and_is_explained(metric: Metric) -> None:
    metrics = PrometheusMetrics()
    metrics.record(metric, 1, tuple("x" for _ in metric.labels))
    assert any(name.startswith(metric.name) for name in samples(metrics))
    assert metric.help.endswith(".")
    assert metric.name.startswith("gress_ml_")
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_metric_names_are_declared_once() -> None:
    names = [metric.name for metric in ALL]
    assert sorted(set(names)) == sorted(names)


# --- pages ----------------------------------------------------------------------------------------


class Served:
    """A server on a free port, and what it says of itself."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {"ready": False, "partitions": []}
        self.metrics = PrometheusMetrics()
        self.server = HttpServer("127.0.0.1", 0, self.metrics, lambda: self.status)

    async def get(self, page: str, method: str = "GET") -> tuple[int, str, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.server.address + page) as answer,
        ):
            return answer.status, answer.headers["Content-Type"], await answer.text()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    await served.server.start()
    try:
        yield served
    finally:
        await served.server.stop()


async def test_ready_follows_the_status_and_health_does_not(served: Served) -> None:
    status, _, body = await served.get("/ready")
    assert (status, body) == (503, '{"ready": false, "partitions": []}')
    assert (await served.get("/health"))[0] == 200
    served.status = {"ready": True, "partitions": ["in-0"]}
    status, kind, body = await served.get("/ready")
    assert status == 200
    assert kind.startswith("application/json")
    assert '"in-0"' in body
    status, _, body = await served.get("/health")
    assert status == 200
    assert '"alive": true' in body


async def test_metrics_are_a_prometheus_page(served: Served) -> None:
    served.metrics.record(EVENTS, 3, ("in",))
    status, kind, body = await served.get("/metrics")
    assert (status, kind) == (200, PrometheusMetrics.content_type)
    assert 'gress_ml_events_total{topic="in"} 3.0' in body


async def test_pages_are_only_read_and_the_rest_is_not_found(served: Served) -> None:
    status, _, body = await served.get("/")
    assert (status, body.split()) == (200, ["/health", "/ready", "/metrics"])
    assert (await served.get("/nothing"))[0] == 404
    assert (await served.get("/ready", "POST"))[0] == 405


async def test_the_address_is_loopback_and_stop_frees_it() -> None:
    served = Served()
    await served.server.start()
    assert served.server.address.startswith("http://127.0.0.1:")
    port = int(served.server.address.rpartition(":")[2])
    await served.server.stop()
    await served.server.stop()  # twice is safe
    again = HttpServer("127.0.0.1", port, served.metrics, lambda: served.status)
    await again.start()
    await again.stop()


async def test_a_port_that_is_taken_is_told(served: Served) -> None:
    port = int(served.server.address.rpartition(":")[2])
    second = HttpServer("127.0.0.1", port, served.metrics, lambda: served.status)
    with pytest.raises(OSError):
        await second.start()
    await second.stop()
