"""A real broker takes these batches from any client, and hands them on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from record_batches import beyond_its_batch, bomb, poisoned, signed

from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.dev.topics import TopicSettings, create_topics


async def write(bootstrap: str, topic: str, data: bytes) -> None:
    """Produce a batch as it is."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, max_request_size=1 << 20, acks="all"
    ) as producer:
        builder = producer.create_batch()
        builder.append(key=None, value=b"", timestamp=None)
        builder.close()
        builder._buffer = bytearray(signed(data))
        await (await producer.send_batch(builder, topic, partition=0))


@pytest.mark.parametrize("odd", [bomb, poisoned, beyond_its_batch])
async def test_a_consumer_goes_on_behind_it(
    kafka: str, topic_name: str, odd: Callable[[int], bytes]
) -> None:
    bound_decompression()
    partition = TopicPartition(topic_name, 0)
    await create_topics(kafka, {topic_name: TopicSettings(1)})
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        await producer.send_and_wait(topic_name, b"before", partition=0)
        await write(kafka, topic_name, odd(0))
        last = await producer.send_and_wait(topic_name, b"after", partition=0)
    async with AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        consumer.assign([partition])
        found: list[tuple[int, bytes | None]] = []
        async with asyncio.timeout(120):
            while await consumer.position(partition) <= last.offset:
                records = await consumer.getmany(partition, timeout_ms=200)
                found += [(r.offset, r.value) for r in records.get(partition, ())]
    assert found[0] == (0, b"before")
    assert found[-2:] == [(last.offset - 1, None), (last.offset, b"after")]
