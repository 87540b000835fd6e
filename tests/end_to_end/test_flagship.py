"""The main job on real servers: transfers in, decisions out, as other programs see them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from gress_ml.adapters.clock import ManualClock, SystemClock
from gress_ml.adapters.kafka.control import CONTROL_TOPIC, switch_message
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.adapters.redis import RedisFeatures, RedisSettings
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.dwcp.agent import Agent, Folder, KafkaWire, Settings
from gress_ml.dwcp.agent.wire import Topics
from gress_ml.engine.stores import open_models, open_stores
from gress_ml.engine.worker import Worker, WorkerSettings
from gress_ml.offline.run import OfflineRun
from gress_ml.record import FileRecord
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

PATIENCE_S = 120.0
#: What the sources name; each must be on the page once the flagship has decided something.
NAMED_METRICS = (
    "gress_ml_inference_latency_seconds_bucket{",
    "gress_ml_predictions_total{",
    "gress_ml_batch_size_bucket{",
    "gress_ml_queue_depth",
    "gress_ml_feature_extraction_time_seconds_bucket{",
    "gress_ml_features_extracted_total{",
    "dwcp_ml_prediction_latency_ms_bucket{",
    "dwcp_ml_predictions_total{",
)


def transfer(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": f"r-{number}",
        "vm_id": f"vm-{number % 7}",
        "timestamp": "2026-11-21T00:00:00.123Z",
        "link_type": ("dc", "metro", "wan", "edge")[number % 4],
        "rtt_ms": 0.4 + number % 90,
        "bandwidth_available_mbps": 20.0 + number * 3 % 900,
        "payload_size": 4096 * (1 + number % 300),
        "payload_type": "vm_memory",
        "entropy_estimate": number % 80 / 10,
        **changes,
    }


@pytest.fixture
async def flagship(
    kafka: str, redis_url: str, topic_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Topology:
    """The committed topology, on topics of this test's own.

    No deadline: what is late is decided by the rules, and on a busy machine anything may be late.
    """
    monkeypatch.setenv("GRESS_REDIS", redis_url)
    text = Path("topologies/compression_selector.yaml").read_text()
    own = text.replace("dwcp.transfers", f"{topic_name}.transfers")
    own = own.replace("dwcp.outcomes", f"{topic_name}.outcomes")
    own = own.replace("topic: dwcp.decisions", f"topic: {topic_name}.decisions")
    own = own.replace("name: compression-selector\n", f"name: {topic_name}\n", 1)
    own = own.replace("inference_timeout_ms: 10\n", "inference_timeout_ms: 0\n")
    (tmp_path / "topologies").mkdir()
    (tmp_path / "models").symlink_to(Path("models").absolute())
    file = tmp_path / "topologies/flagship.yaml"
    file.write_text(own)
    topology = load_topology(file, open_models)
    names = {output.topic for output in topology.outputs}
    for node in topology.inputs.values():
        names |= {node.topic, node.dead_letters}
    await create_topics(kafka, {name: TopicSettings(1) for name in names})
    await create_topics(kafka, {CONTROL_TOPIC: TopicSettings(1, {"cleanup.policy": "compact"})})
    return topology


def patient_features(topology: Topology) -> RedisFeatures:
    """The feature store of the topology; it is waited for until it answers."""
    spec = topology.settings.ml.feature_store
    settings = RedisSettings(ttl_s=spec.ttl, timeout_s=PATIENCE_S)
    return RedisFeatures(spec.redis_addr, SystemClock(), settings)


class Running:
    """A worker beside the test, and the topics' other ends."""

    def __init__(self, topology: Topology, kafka: str) -> None:
        self.topology = topology
        self.kafka = kafka
        # without a heartbeat for so long it is taken for dead, and what it has decided comes twice
        settings = WorkerSettings(KafkaSettings(bootstrap=kafka), session_timeout_s=30.0)
        stores = replace(open_stores(topology), features=patient_features(topology))
        self.worker = Worker(topology, stores, settings)

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.worker.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.worker.stop()
        await asyncio.wait_for(self.task, PATIENCE_S)

    async def send(self, topic: str, events: list[tuple[bytes | None, bytes]]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all") as producer:
            for key, value in events:
                await producer.send(topic, value, key)

    async def read(self, topic: str, count: int) -> list[Any]:
        """The first ``count`` records of a topic."""
        records: list[Any] = []
        async with asyncio.timeout(PATIENCE_S):
            async with AIOKafkaConsumer(
                topic, bootstrap_servers=self.kafka, auto_offset_reset="earliest"
            ) as consumer:
                while len(records) < count:
                    fetched = await consumer.getmany(timeout_ms=200)
                    records.extend(record for batch in fetched.values() for record in batch)
        return records


async def test_decisions_on_kafka_are_those_of_a_replay_and_fit_the_contract(
    flagship: Topology, kafka: str
) -> None:
    events = [orjson.dumps(transfer(number)) for number in range(400)]
    events[17] = b"{not json"
    events[230] = orjson.dumps(transfer(230, rtt_ms=-1))
    source = flagship.inputs["transfers"]
    async with Running(flagship, kafka) as running:
        keyed = [(f"vm-{number % 7}".encode(), event) for number, event in enumerate(events)]
        await running.send(source.topic, keyed)
        decisions = await running.read(flagship.outputs[0].topic, 398)
        letters = await running.read(source.dead_letters, 2)
        missing: list[str] = []

        async def shown() -> bool:
            page = await _page(running.worker.http.address + "/metrics")
            missing[:] = [name for name in NAMED_METRICS if f"\n{name}" not in page]
            return not missing

        await _until(shown, missing)  # what is sampled comes once a second
    schema = json.loads(Path("docs/contracts/dwcp.decision.schema.json").read_text())
    for decision in decisions:
        jsonschema.validate(orjson.loads(decision.value), schema)
    run = OfflineRun(flagship, open_stores(flagship).models, MemoryFeatures(ManualClock()))
    records = [FileRecord(number, event) for number, event in enumerate(events)]
    replayed = [sent.value for made in await run.run(source, records) for sent in made.sent]
    assert [decision.value for decision in decisions] == replayed
    assert {dict(letter.headers)["gress-error-code"] for letter in letters} == {
        b"invalid_json",
        b"out_of_range",
    }


async def _page(address: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        return await answer.text()


async def test_the_agent_moves_real_files_and_its_outcomes_become_history(
    flagship: Topology, kafka: str, topic_name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.txt").write_bytes(b"a line of text, and another %d\n" % number * 4000)
    topics = Topics(f"{topic_name}.transfers", f"{topic_name}.decisions", f"{topic_name}.outcomes")
    results: list[Any] = []
    async with Running(flagship, kafka) as running:
        wire = KafkaWire(KafkaSettings(bootstrap=kafka).client, topics)
        settings = Settings(
            links=("wan",), vms=1, passes=3, timeout_s=PATIENCE_S, dual_run_share=1.0
        )
        agent = Agent(Folder(folder, changed_share=0.02), wire, settings, results.append)
        counts = await asyncio.wait_for(agent.run(), 2 * PATIENCE_S)
        await running.read(f"{topic_name}.outcomes", counts.offered)
        store = patient_features(flagship)
        await _until(lambda: _has_history(store, results[0].transfer))
        await store.close()
    assert counts.offered == len(results) >= 18
    assert counts.failed == counts.late == 0
    assert all(result.decision is not None for result in results)


async def _until(holds: Callable[[], Awaitable[bool]], what: object = "it") -> None:
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while not await holds():
        assert asyncio.get_running_loop().time() < end, f"did not come to hold: {what}"
        await asyncio.sleep(0.05)


async def _has_history(store: Any, moved: dict[str, Any]) -> bool:
    fields = (
        "hde_compression_ratio",
        "hde_delta_hit_rate",
        "amst_transfer_rate_mbps",
        "baseline_compression_ratio",
    )
    parts = (moved["vm_id"], moved["payload_type"], moved["link_type"])
    rows = await store.fetch("transfer_history", fields, ["\x1f".join(parts).encode()])
    return bool((rows == rows).any())  # NaN where there is nothing


async def test_the_switch_returns_to_the_rules_at_once_and_back(
    flagship: Topology, kafka: str
) -> None:
    source, target = flagship.inputs["transfers"].topic, flagship.outputs[0].topic
    async with Running(flagship, kafka) as running:
        seen = 0
        for value, reasons in (("false", {"disabled"}), ("true", {"model", "low_confidence"})):
            key, message = switch_message("compression_ml.enabled", value)
            await running.send(CONTROL_TOPIC, [(key, message)])
            async with asyncio.timeout(PATIENCE_S):
                while True:  # until the switch has arrived
                    await running.send(source, [(b"vm-1", orjson.dumps(transfer(seen)))])
                    seen += 1
                    last = (await running.read(target, seen))[-1]
                    if orjson.loads(last.value)["reason"] in reasons:
                        break


async def test_ready_only_when_partitions_are_assigned(flagship: Topology, kafka: str) -> None:
    running = Running(flagship, kafka)
    assigned, opening, go_on = running.worker.engine.assigned, asyncio.Event(), asyncio.Event()

    async def held(partition: tuple[str, int], committed: int, beginning: int) -> int:
        opening.set()
        await go_on.wait()
        return await assigned(partition, committed, beginning)

    running.worker.engine.assigned = held  # type: ignore[method-assign]
    async with running, aiohttp.ClientSession() as session:

        async def status(page: str) -> int:
            async with session.get(running.worker.http.address + page) as answer:
                return answer.status

        async def ready() -> bool:
            return await status("/ready") == 200

        await asyncio.wait_for(opening.wait(), PATIENCE_S)
        assert await status("/ready") == 503
        go_on.set()
        await _until(ready)
        assert await status("/health") == 200
        assert len(running.worker.status()["partitions"]) == 2
