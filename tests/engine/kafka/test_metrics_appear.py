"""Every documented metric, with its labels, on the page of one worker that has seen trouble."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from kit import Bench, until
from orjson import dumps
from prometheus_client.parser import text_string_to_metric_families

from gress_ml.adapters.kafka.models import MODELS_TOPIC, announcement
from gress_ml.cli.docs_pages import documented_metrics
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.metrics import Metric
from gress_ml.registry import Registry
from gress_ml.topology.catalogue import installed_operators

DATA = Path(__file__).parents[2] / "data"
MODELS = Path("models").absolute()

#: Every operator, a model that fails on some rows, and a Redis that is not there.
TEXT = """
name: {name}
guarantee: exactly_once
batch: {{size: 64, timeout: 0ms}}   # slow, so that events have to wait
commit_interval: 50ms
checkpoint_interval: 100ms
checkpoint_dir: checkpoints
ml:
  feature_store: {{backend: redis, redis_addr: "127.0.0.1:1"}}
inputs:
  transfers: {{topic: {source}, schema: dwcp.transfer}}
  outcomes: {{topic: {source}-outcomes, schema: dwcp.outcome}}
steps:
  - name: features
    operator: feature_extraction
    input: transfers
    config:
      model: compression-selector
      lookup: {{table: history, key: [vm_id], fields: [hde_compression_ratio]}}
  - {{name: drift, operator: drift, config: {{model: compression-selector, window: 64}}}}
  - name: select
    operator: compression_selector
    config: {{model: compression-selector, batch_size: 64}}
  - name: fails
    operator: inference
    config: {{model: two-values, inputs: {{index: network_tier}}, fallback: 0.0, prefix: fails_}}
  - name: split
    operator: ab_test
    config:
      experiment: trees-alone
      split_key: session_id
      missing_split_key: by_event
      prefix: split_
      enable_shadow_mode: true
      variants:
        - {{name: a, model_name: compression-selector, model_version: 1.0.0, weight: 50}}
        - {{name: b, model_name: compression-selector, model_version: 1.0.0, weight: 50}}
  - name: learn
    operator: online_learning
    config:
      model: rtt
      learner: linear_model.LinearRegression
      features: [network_tier]
      target_field: rtt_ms
      prefix: learn_
      publish: {{every: 2000, min_samples: 8, min_holdout: 1, metric: MAE, threshold: 1.0e+9}}
  - {{name: history, operator: transfer_history, input: outcomes}}
outputs:
  decisions: {{topic: {target}, from: learn, fields: [decision_id]}}
"""

#: Names and labels of the integration guide.
GUIDE = {
    "gress_ml_inference_latency_seconds": ("model", "version"),
    "gress_ml_predictions_total": ("model", "version", "status"),
    "gress_ml_batch_size": ("model", "version"),
    "gress_ml_queue_depth": (),
    "gress_ml_active_predictions": (),
    "gress_ml_inference_errors_total": ("model", "version"),
    "gress_ml_feature_extraction_time_seconds": ("feature_set",),
    "gress_ml_features_extracted_total": ("feature_set", "feature_type"),
    "gress_ml_online_updates_processed_total": ("model", "version"),
    "gress_ml_model_score": ("model", "version", "metric"),
    "gress_ml_checkpoint_duration_seconds": ("model", "version"),
    "gress_ml_model_drift_score": ("model", "version", "feature"),
    "gress_ml_abtest_variant_selections_total": ("experiment", "variant"),
    "gress_ml_abtest_variant_latency_seconds": ("experiment", "variant"),
    "gress_ml_abtest_shadow_comparisons_total": ("experiment", "result"),
}
EVENTS = 6000  # more than may wait


def transfer(number: int) -> dict[str, Any]:
    return {
        "request_id": f"r-{number}",
        "vm": "all to one partition",
        "vm_id": f"vm-{number % 7}",
        "timestamp": "2026-11-21T00:00:00Z",
        "link_type": "wan",
        "rtt_ms": 0.4 + number % 90,
        "network_tier": 1 + number // 2000 % 2,  # the model fails on 2
        "bandwidth_available_mbps": 20.0,
        "payload_size": 4096,
    }


OUTCOME = {
    "request_id": "r-1",
    "vm_id": "vm-17",
    "timestamp": "2026-11-21T00:00:00Z",
    "actual_algorithm": "hde",
    "payload_type": "vm_memory",
    "link_type": "wan",
    "payload_size": 1048576,
    "bytes_sent": 262144,
    "transfer_ms": 301.7,
    "delta_hit_rate": 71.0,
}


@pytest.fixture
async def everything(bench_of: Callable[..., Bench]) -> Bench:
    """A project with models, and a checkpoint that cannot be read."""
    bench = bench_of(text=TEXT, partitions=1)
    shutil.copytree(MODELS, bench.folder / "models")
    registry = Registry(bench.folder / "models")
    shutil.copy(DATA / "graphs" / "two_values.onnx", bench.folder / "model.onnx")
    for version in ("1.0.0", "2.0.0"):
        registry.push([bench.folder / "model.onnx"], "two-values", version)
    registry.alias("two-values", "champion", "1.0.0")
    damaged = bench.folder / "checkpoints" / bench.name / bench.source / "0" / f"{0:020d}.snapshot"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    outcomes = f"{bench.source}-outcomes"
    await bench.make_topics(*(bench.source, bench.target, bench.dead), outcomes, f"{outcomes}.dlq")
    await create_topics(
        bench.bootstrap, {MODELS_TOPIC: TopicSettings(1, {"cleanup.policy": "compact"})}
    )
    return bench


async def test_every_documented_metric_appears_with_its_labels(everything: Bench) -> None:
    bench = everything
    await bench.send([b"{", *map(transfer, range(EVENTS))])
    async with bench.running() as worker:
        await send(bench, f"{bench.source}-outcomes", None, dumps(OUTCOME))
        await bench.decided(EVENTS)
        Registry(bench.folder / "models").alias("two-values", "champion", "2.0.0")
        await send(bench, MODELS_TOPIC, *announcement("two-values", "champion", "2.0.0", ""))
        await fence(bench)
        await bench.send(map(transfer, range(EVENTS, EVENTS + 10)))
        await bench.decided(EVENTS + 10)
        page = worker.http.address + "/metrics"

        async def missing() -> list[str]:
            shown = samples(await got(page))
            return [m.name for m in documented() if not appears(m, shown)]

        async def all_there() -> bool:
            return not await missing()

        try:
            await until(all_there, what="all metrics")
        except AssertionError:
            raise AssertionError(f"never on the page: {await missing()}") from None


def test_the_names_and_labels_of_the_integration_guide_are_documented() -> None:
    labels = {metric.name: metric.labels for metric in documented()}
    assert {name: labels.get(name) for name in GUIDE} == GUIDE


def documented() -> list[Metric]:
    return [m for group in documented_metrics(installed_operators()).values() for m in group]


def samples(page: str) -> Mapping[str, list[Mapping[str, str]]]:
    """The labels of each sample, by the name of the metric that it is of."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for family in text_string_to_metric_families(page):
        ending = "_total" if family.type == "counter" else ""
        found[family.name + ending] = [sample.labels for sample in family.samples]
    return found


def appears(metric: Metric, shown: Mapping[str, list[Mapping[str, str]]]) -> bool:
    return any(
        {*metric.labels} == labels.keys() - {"le"} and all(labels.values())
        for labels in shown.get(metric.name, ())
    )


async def got(page: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(page) as answer:
        return await answer.text()


async def send(bench: Bench, topic: str, key: bytes | None, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bench.bootstrap) as producer:
        await producer.send_and_wait(topic, value, key)


async def fence(bench: Bench) -> None:
    """Take the partition's transactional id away from the worker."""
    thief = AIOKafkaProducer(
        bootstrap_servers=bench.bootstrap, transactional_id=f"{bench.name}/{bench.source}/0"
    )
    await thief.start()
    await thief.stop()
