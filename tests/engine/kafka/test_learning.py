"""A learner on real Kafka: killed in the middle or moved, it is the one of an uninterrupted run."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from kit import Bench, firsts, until
from orjson import loads

from gress_ml.bundle import Publication
from gress_ml.engine.driving import drive
from gress_ml.engine.planning import build_plan
from gress_ml.engine.stores import open_models
from gress_ml.operator import Lookup, Output
from gress_ml.record import FileRecord
from gress_ml.registry import Registry
from gress_ml.runtime.plan import Call, Result
from gress_ml.topology.load import load_topology

LEARNING = """
name: {name}
guarantee: {guarantee}
batch: {{size: 64, timeout: 0ms}}
commit_interval: 50ms
ml:
  model_registry: {{type: local, base_path: registry}}
  online_learning:
    enabled: true
    default_checkpoint_interval: {checkpoint}
    checkpoint_dir: ml-checkpoints
    default_learning_rate: 0.05
inputs:
  events:
    topic: {source}
    event_time: at
    fields:
      id: {{type: int, required: true}}
      vm: {{type: string, required: true}}
      at: {{type: timestamp, required: true}}
      a: {{type: float, required: true}}
      b: {{type: float, required: true}}
      late: json
steps:
  - name: learn
    operator: online_learning
    config:
      model: lateness
      learner: [preprocessing.StandardScaler, linear_model.LogisticRegression]
      features: [a, b]
      target_field: late
      classes: ["false", "true"]
      holdout_key: id
      update_batch_size: 16
      update_interval: 40s
      publish:
        {{every: 64, min_samples: 128, min_holdout: 16, metric: Accuracy, threshold: 0.6,
          alias: served}}
outputs:
  decisions:
    topic: {target}
    fields: [decision_id, id, vm, prediction, confidence, learning_use]
"""
SERVING = """
name: {name}
guarantee: {guarantee}
batch: {{size: 64, timeout: 0ms}}
ml:
  model_registry: {{type: local, base_path: {registry}}}
inputs:
  events:
    topic: {learned}
    fields:
      id: {{type: int, required: true}}
      vm: {{type: string, required: true}}
      a: {{type: float, required: true}}
      b: {{type: float, required: true}}
steps:
  - name: serve
    operator: inference
    config: {{model: lateness@served, inputs: {{a: a, b: b}}}}
outputs:
  decisions:
    topic: {target}
    fields: [decision_id, id, prediction, prediction_metadata]
"""
START_MS = 1_767_571_200_000


def events(first: int, count: int, labelled: bool = True) -> list[dict[str, Any]]:
    found = []
    for number in range(first, first + count):
        dice = random.Random(number)
        a, b = dice.gauss(0, 1), dice.gauss(0, 1)
        label = a + b + dice.gauss(0, 0.5) > 0 if labelled and number % 10 else None
        at = START_MS + number * 1000
        found.append(
            {"id": number, "vm": f"vm-{number % 8}", "at": at, "a": a, "b": b, "late": label}
        )
    return found


def _call(wish: Call) -> Output:
    return wish.step.operator.process(wish.batch)


async def _no_rows(_lookups: Sequence[Lookup]) -> Sequence[None]:
    raise AssertionError("nothing is looked up")


async def uninterrupted(bench: Bench) -> tuple[dict[str, Any], list[Publication]]:
    """Every decision by id, and every model offered, of one run over what is in the topic."""
    topology = load_topology(bench.file, open_models)
    models = open_models(topology.settings.ml, topology.settings.project)
    decisions: dict[str, Any] = {}
    offered: list[Publication] = []
    records = await bench.read(bench.source)
    for partition in range(bench.partitions):
        plan = build_plan(topology, topology.inputs["events"], models)
        own = [
            FileRecord(r.offset, r.value, r.key, r.timestamp)
            for r in records
            if r.partition == partition
        ]
        result: Result = await drive(plan.run(bench.source, partition, own), _call, _no_rows)
        rows = [loads(value) for produced in result.produced for value in produced.values]
        decisions |= {row["decision_id"]: row for row in rows}
        offered += result.publications
        plan.close()
    return decisions, offered


async def assert_as_uninterrupted(bench: Bench, found: list[dict[str, Any]]) -> None:
    """Each decision, those that came twice too, is the one of an uninterrupted run; likewise the
    models in the registry."""
    decisions, offered = await uninterrupted(bench)
    assert {row["decision_id"]: row for row in firsts(found)} == decisions
    assert all(row == decisions[row["decision_id"]] for row in found)
    registry = Registry(bench.folder / "registry")
    published = {str(version) for version in registry.versions("lateness")}
    assert published == {one.version for one in offered}
    assert published
    assert not registry.verify()


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("checkpoint", ["200ms", "10m"], ids=["checkpoints", "no-checkpoint-yet"])
async def test_after_kill_9_a_learner_is_that_of_an_uninterrupted_run(
    bench_of: Callable[..., Bench], guarantee: str, checkpoint: str
) -> None:
    values = {"guarantee": guarantee, "checkpoint": checkpoint}
    bench = bench_of(partitions=2, text=LEARNING, values=values)
    await bench.make_topics()
    worker = bench.process("--session-timeout", "2")
    await bench.send(events(0, 600))
    await bench.decided(600)
    await bench.all_committed(600)
    await bench.send(events(600, 300), pause_s=0.001)
    worker.kill()
    await bench.send(events(900, 100))
    second = bench.process("--session-timeout", "2")
    await bench.decided(1000)
    await bench.send(events(1000, 50, labelled=False))  # the fixed set, which is told only
    found = await bench.decided(1050)
    await bench.all_committed(1050)
    await second.stop()
    fixed = [row for row in found if row["id"] >= 1000]
    assert {row["learning_use"] for row in fixed} == {"predicted"}
    await assert_as_uninterrupted(bench, found)
    if checkpoint == "200ms":
        assert "state_restored" in second.log


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_moved_by_a_rebalance_a_learner_is_that_of_an_uninterrupted_run(
    bench_of: Callable[..., Bench], guarantee: str
) -> None:
    values = {"guarantee": guarantee, "checkpoint": "300ms"}
    bench = bench_of(partitions=2, text=LEARNING, values=values)
    await bench.make_topics()
    first = bench.process()
    await bench.send(events(0, 400))
    await bench.decided(400)
    second = bench.process()  # takes a partition over
    await bench.send(events(400, 300), pause_s=0.005)
    await second.opened(1)
    await bench.decided(700)
    await first.stop()  # the other one goes over too
    await second.opened(2)
    await bench.send(events(700, 100))
    await bench.send(events(800, 50, labelled=False))
    found = await bench.decided(850)
    await second.stop()
    await assert_as_uninterrupted(bench, found)


async def test_checkpoints_are_named_after_the_learner_and_the_last_ones_stay(
    bench_of: Callable[..., Bench],
) -> None:
    bench = bench_of(partitions=1, text=LEARNING, values={"checkpoint": "100ms"})
    await bench.make_topics()
    worker = bench.process()
    for first in range(0, 500, 100):
        await bench.send(events(first, 100), pause_s=0.005)
        await bench.all_committed(first + 100)
    await worker.stop()
    folder = bench.folder / "ml-checkpoints" / bench.name / bench.source / "0"
    named = [path.name for path in folder.glob("*.ckpt")]
    assert 1 <= len(named) <= 3
    assert all(name.startswith("lateness-1-2") for name in named)
    newest = max(folder.glob("*.snapshot"))
    assert int(newest.stem) == 500  # made at shutdown, and it carries the offset
    assert newest.stat().st_ino in {path.stat().st_ino for path in folder.glob("*.ckpt")}


async def test_another_worker_moves_to_what_a_learner_publishes_without_a_rebalance(
    bench_of: Callable[..., Bench],
) -> None:
    learning = bench_of(partitions=1, text=LEARNING, values={"checkpoint": "10m"})
    await learning.make_topics()
    registry = Registry(learning.folder / "registry")
    async with learning.running():
        await learning.send(events(0, 400))
        await learning.all_committed(400)
        first = registry.find("lateness", "served").version
        values = {"registry": learning.folder / "registry", "learned": learning.source}
        folder = learning.folder / "serving"
        name = f"{learning.name}-serving"
        serving = Bench(learning.bootstrap, name, folder, 1, SERVING, values)
        await serving.make_topics(serving.target, f"{learning.source}.dlq")
        async with serving.running() as worker:
            opened = worker.engine.partitions
            await serving.decided(400)
            sent = 400

            async def moved() -> bool:
                nonlocal sent
                await learning.send(events(sent, 50))
                sent += 50
                found = {row["prediction_metadata"]["version"] for row in await serving.decisions()}
                return len(found) > 1

            await until(moved, what="the next version decides")
            assert worker.engine.partitions == opened
    assert registry.find("lateness", "served").version != first
