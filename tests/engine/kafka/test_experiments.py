"""Experiments on real Kafka: the split changes while events flow, and the shadow costs nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from kit import Bench, ids, until

from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.engine.afterwards import Afterwards
from gress_ml.experiments import EXPERIMENTS_TOPIC
from gress_ml.metrics import SHADOW_COMPARISONS, VARIANT_LATENCY, VARIANT_SELECTIONS

MODELS = Path(__file__).parents[2] / "data" / "models"

SPLIT = """
name: {name}
guarantee: {guarantee}
commit_interval: 50ms
ml:
  model_registry: {{base_path: MODELS}}
inputs:
  events:
    topic: {source}
    fields:
      id: {{type: int, required: true}}
      vm: {{type: string, required: true}}
      amount: {{type: float, required: true}}
      country: {{type: string, required: true}}
steps:
  - name: ab
    operator: ab_test
    config:
      experiment: {name}
      split_key: vm
      inputs: {{amount: amount, count: id, country: country}}
      output: score
      enable_shadow_mode: true
      shadow_columns: [id]
      variants:
        - {{name: a, model_name: tiny-inputs, weight: 60}}
        - {{name: b, model_name: tiny-inputs, weight: 30}}
        - {{name: c, model_name: tiny-inputs, weight: 10}}
outputs:
  decisions:
    topic: {target}
    from: ab
    fields: [decision_id, id, vm, prediction, ab_variant, propensity]
  shadow:
    topic: {target}-shadow
    from: ab.shadow
    fields: [decision_id, id, ab_variant, prediction, shadow_variant, shadow_prediction,
      shadow_result]
""".replace("MODELS", str(MODELS))

GUARANTEES = ["at_least_once", "exactly_once"]


def payments(first: int, count: int, keys: int = 200) -> list[dict[str, Any]]:
    return [
        {"id": number, "vm": f"vm-{number % keys}", "amount": 1.5, "country": "DE"}
        for number in range(first, first + count)
    ]


def arms(decisions: list[dict[str, Any]], first: int = 0) -> dict[str, str]:
    """The arm of each id that was decided from this event on; it has one."""
    found: dict[str, str] = {}
    for one in decisions:
        if one["id"] >= first:
            assert found.setdefault(one["vm"], one["ab_variant"]) == one["ab_variant"]
    return found


@pytest.fixture
async def experiment(request: Any, bench_of: Callable[..., Bench]) -> Bench:
    bench = bench_of(text=SPLIT, values={"guarantee": request.param})
    await bench.make_topics(bench.source, bench.target, bench.dead, f"{bench.target}-shadow")
    await create_topics(
        bench.bootstrap, {EXPERIMENTS_TOPIC: TopicSettings(1, {"cleanup.policy": "compact"})}
    )
    return bench


async def gress(*arguments: str) -> str:
    """Run the command; what it says."""
    command = (sys.executable, "-m", "gress_ml.cli.main", *arguments)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    said, wrong = await process.communicate()
    assert process.returncode == 0, wrong.decode()
    return said.decode()


async def publish(bench: Bench, value: bytes | None) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bench.bootstrap) as producer:
        await producer.send_and_wait(EXPERIMENTS_TOPIC, value, bench.name.encode())


@pytest.mark.parametrize("experiment", GUARANTEES, indirect=True)
async def test_the_split_changes_while_events_flow_and_nobody_loses_a_growing_arm(
    experiment: Bench,
) -> None:
    bench, kafka = experiment, ("--kafka", experiment.bootstrap)
    async with bench.running():
        await bench.send(payments(0, 400))
        before = arms(await bench.decided(400))
        load = asyncio.create_task(bench.send(payments(400, 1500), pause_s=0.001))
        said = await gress(
            *("experiment", "set", bench.name, "a=40", "b=35", "c=25"),
            *("--topology", str(bench.file), *kafka),
        )
        assert "20.00% of the ids have another arm" in said
        await load

        async def spread() -> bool:
            """Whether the last events were split anew."""
            last = (await bench.decisions())[-1]
            return last["propensity"] in (0.4, 0.35, 0.25)

        await until(spread, what="the new split")
        await bench.send(payments(1900, 400))
        found = await bench.decided(2300)
        after = arms(found, 1900)
        await bench.all_committed(2300)
        shown = await gress("experiment", "show", bench.name, *kafka)
        assert "25.00%" in shown
    assert {*ids(found)} == {*range(2300)}
    assert before.keys() == after.keys()
    moved = [vm for vm in before if before[vm] != after[vm]]
    assert moved
    assert {before[vm] for vm in moved} == {"a"}
    assert {*after.values()} == {"a", "b", "c"}


@pytest.mark.parametrize("experiment", ["at_least_once"], indirect=True)
async def test_a_worker_that_starts_splits_by_what_was_set_from_its_first_event_on(
    experiment: Bench,
) -> None:
    bench = experiment
    await publish(bench, b'{"weights": {"a": 0, "b": 0, "c": 1}}')
    await bench.send(payments(0, 300))
    async with bench.running():
        found = await bench.decided(300)
    assert {*arms(found).values()} == {"c"}


@pytest.mark.parametrize("experiment", ["at_least_once"], indirect=True)
async def test_a_bad_message_changes_nothing_and_a_tombstone_takes_back(experiment: Bench) -> None:
    bench = experiment
    async with bench.running() as worker:
        await bench.send(payments(0, 400))
        before = arms(await bench.decided(400))
        name = f"experiment:{bench.name}"
        for value in (b"{", b'{"weights": {"a": 1}}', b"\xff"):
            await publish(bench, value)
        text = b'{"weights": {"a": 60, "b": 30, "c": 10}, "by": "hand"}'
        await publish(bench, text)
        await until(lambda: worker.engine._switches.get(name) == text.decode())
        await bench.send(payments(400, 400))
        assert arms(await bench.decided(800), 400) == before
        await publish(bench, b'{"weights": {"a": 0, "b": 0, "c": 1}}')
        await until(lambda: '"c": 1}' in worker.engine._switches[name])
        await bench.send(payments(800, 400))
        assert {*arms(await bench.decided(1200), 800).values()} == {"c"}
        await publish(bench, None)
        await until(lambda: worker.engine._switches[name] == "")
        await bench.send(payments(1200, 400))
        assert arms(await bench.decided(1600), 1200) == before


@pytest.mark.parametrize("experiment", GUARANTEES, indirect=True)
async def test_the_other_arms_answer_on_the_topic_of_the_shadow(experiment: Bench) -> None:
    bench = experiment
    async with bench.running() as worker:
        await bench.send(payments(0, 300))
        decided = {one["decision_id"]: one for one in await bench.decided(300)}
        wanted = (bench.name, "match")
        await until(lambda: worker.metrics.value(SHADOW_COMPARISONS, wanted) == 600)

        async def arrived() -> list[dict[str, Any]] | None:
            rows = [orjson.loads(r.value) for r in await bench.read(f"{bench.target}-shadow")]
            return rows if len(rows) == 600 else None

        rows = await until(arrived, what="600 rows of the shadow")
        selected = [worker.metrics.value(VARIANT_SELECTIONS, (bench.name, arm)) for arm in "abc"]
        page = worker.metrics.page().decode()
    assert sum(selected) == 300
    assert f'{VARIANT_LATENCY.name}_count{{experiment="{bench.name}",variant="a"}}' in page
    pairs = {(row["decision_id"], row["shadow_variant"]) for row in rows}
    assert len(pairs) == 600
    for row in rows:
        own = decided[row["decision_id"]]
        assert (row["ab_variant"], row["prediction"]) == (own["ab_variant"], own["prediction"])
        assert row["shadow_variant"] != row["ab_variant"]
        assert row["shadow_result"] == "match"


@pytest.mark.parametrize("experiment", GUARANTEES, indirect=True)
async def test_a_worker_whose_shadow_stands_still_loses_nothing_and_commits(
    experiment: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Afterwards, "_do", stuck)
    bench = experiment
    async with bench.running() as worker:
        await bench.send(payments(0, 1000))
        found = await bench.decided(1000)
        await bench.all_committed(1000)
        assert worker.metrics.value(SHADOW_COMPARISONS, (bench.name, "match")) == 0
    assert {*ids(found)} == {*range(1000)}
    shed = worker.metrics.value(SHADOW_COMPARISONS, (bench.name, "shed"))
    assert shed > 0  # what waited was let go with its partitions, and said so


@pytest.mark.parametrize("experiment", GUARANTEES, indirect=True)
async def test_after_kill_9_nothing_is_lost_and_a_replay_chooses_the_same_arms(
    experiment: Bench,
) -> None:
    bench = experiment
    session = ("--session-timeout", "3")
    worker = await bench.process(*session).opened(4)
    load = asyncio.create_task(bench.send(payments(0, 2000), pause_s=0.001))
    await bench.decided(500)
    worker.kill()
    heir = await bench.process(*session).opened(4)
    await load
    found = await bench.decided(2000)
    await heir.stop()
    assert {*ids(found)} == {*range(2000)}
    by_decision: dict[str, Mapping[str, Any]] = {}
    for one in found:
        first = by_decision.setdefault(one["decision_id"], one)
        assert one == first  # decided again, it is the same to the last digit
    arms(found)
    if "exactly_once" in bench.file.read_text():
        assert len(found) == 2000
