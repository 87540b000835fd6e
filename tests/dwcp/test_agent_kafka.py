from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gress_ml.dwcp.agent import Agent, Folder, KafkaWire, Settings, Topics
from gress_ml.errors import BrokerUnavailable


@pytest.fixture
async def topics(kafka: str, topic_name: str) -> Topics:
    names = Topics(*(f"{topic_name}-{end}" for end in ("transfers", "decisions", "outcomes")))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(name, 2, 1) for name in (names.transfers, names.decisions, names.outcomes)]
        )
    finally:
        await admin.close()
    return names


async def answer(kafka: str, topics: Topics, ready: asyncio.Event) -> None:
    """A selector that answers everything with amst on two streams, each answer twice."""
    consumer = AIOKafkaConsumer(
        topics.transfers, bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await consumer.start()
    await producer.start()
    ready.set()
    try:
        async for record in consumer:
            transfer = orjson.loads(record.value)
            assert record.key == transfer["vm_id"].encode()
            decision = {
                "request_id": transfer["request_id"],
                "algorithm": "amst",
                "streams": 2,
                "reason": "model",
            }
            await producer.send(topics.decisions, b"not json")
            for _ in range(2):
                await producer.send(topics.decisions, orjson.dumps(decision), key=record.key)
    finally:
        await producer.stop()
        await consumer.stop()


async def test_files_are_moved_by_decisions_from_kafka(
    kafka: str, topics: Topics, tmp_path: Path
) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_bytes(b"0123456789" * 1000)
    ready = asyncio.Event()
    selector = asyncio.create_task(answer(kafka, topics, ready))
    try:
        async with asyncio.timeout(120):
            await ready.wait()
        wire = KafkaWire({"bootstrap_servers": kafka}, topics)
        counts = await Agent(Folder(tmp_path), wire, Settings(timeout_s=120)).run()
    finally:
        selector.cancel()
        await asyncio.gather(selector, return_exceptions=True)
    assert counts.algorithms == {"amst": 5}
    assert counts.reasons == {"model": 5}
    consumer = AIOKafkaConsumer(
        topics.outcomes, bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(120):
            found = [orjson.loads((await consumer.getone()).value) for _ in range(5)]
    finally:
        await consumer.stop()
    assert {outcome["streams"] for outcome in found} == {2}


async def test_topics_that_are_not_there_are_named(kafka: str, tmp_path: Path) -> None:
    wire = KafkaWire({"bootstrap_servers": kafka}, Topics("no-t", "no-d", "no-o"))
    with pytest.raises(BrokerUnavailable, match="no-d, no-o, no-t"):
        await Agent(Folder(tmp_path), wire).run()


async def test_a_broker_that_is_not_there_is_said(tmp_path: Path) -> None:
    wire = KafkaWire({"bootstrap_servers": "127.0.0.1:9", "request_timeout_ms": 500})
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        await Agent(Folder(tmp_path), wire).run()
