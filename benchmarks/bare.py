"""Bare: a plain aiokafka loop without a framework, as one would write it by hand.

``python -m benchmarks.bare`` works ``dwcp.transfers`` until SIGTERM. At least once: an offset is
committed, every 200 ms, when all that was made from it is acknowledged.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from benchmarks.decide import Decide
from benchmarks.peers.names import BROKER, DECISIONS, GROUP, TRANSFERS, decision_ids

COMMIT_S = 0.2
MOST_RECORDS = 2048
PRODUCER = {
    "acks": "all",
    "enable_idempotence": True,
    "max_batch_size": 1_000_000,
    "max_request_size": 16_000_000,
    "linger_ms": 0,
}

#: Batches on their way, per partition: the answer to wait for, and the offset after the batch.
Flights = Mapping[TopicPartition, deque[tuple[asyncio.Future[Any], int]]]


async def work() -> None:
    """Decide all that comes until the process is told to end."""
    decide = Decide()
    consumer = AIOKafkaConsumer(
        TRANSFERS,
        bootstrap_servers=BROKER,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=BROKER, **PRODUCER)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with consumer, producer:
        await _loop(decide, consumer, producer, stopping)


async def _loop(
    decide: Decide, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, stopping: asyncio.Event
) -> None:
    flights: dict[TopicPartition, deque[tuple[asyncio.Future[Any], int]]] = {}
    committing = asyncio.create_task(_commit_always(consumer, flights))
    while not stopping.is_set():
        fetched = await consumer.getmany(timeout_ms=100, max_records=MOST_RECORDS)
        for tp, records in fetched.items():
            sent = await _send(decide, producer, tp, records)
            flights.setdefault(tp, deque()).append((sent, records[-1].offset + 1))
    committing.cancel()
    await producer.flush()
    await _commit(consumer, flights)


async def _send(
    decide: Decide, producer: AIOKafkaProducer, tp: TopicPartition, records: Sequence[Any]
) -> asyncio.Future[Any]:
    # the same number of partitions and the same keys: the input's partition is the output's
    for batch in batches_of(decide, producer, records):
        sent: asyncio.Future[Any] = await producer.send_batch(
            batch, DECISIONS, partition=tp.partition
        )
    return sent


def batches_of(
    decide: Decide, producer: AIOKafkaProducer, records: Sequence[Any]
) -> Iterator[BatchBuilder]:
    """The decisions of a partition's records as record batches; one, unless they are very large."""
    ids = decision_ids(records[0].partition, [record.offset for record in records])
    batch = producer.create_batch()
    for record, body in zip(records, decide(ids, [r.value for r in records]), strict=True):
        if batch.append(key=record.key, value=body, timestamp=None) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(key=record.key, value=body, timestamp=None)
    yield batch


async def _commit_always(consumer: AIOKafkaConsumer, flights: Flights) -> None:
    while True:
        await asyncio.sleep(COMMIT_S)
        await _commit(consumer, flights)


async def _commit(consumer: AIOKafkaConsumer, flights: Flights) -> None:
    safe: dict[TopicPartition, int] = {}
    for tp, flying in flights.items():
        while flying and flying[0][0].done():
            sent, end = flying.popleft()
            sent.result()  # one that failed ends the loop: the next owner reads it again
            safe[tp] = end
    if safe:
        await consumer.commit(safe)


if __name__ == "__main__":
    asyncio.run(work())
