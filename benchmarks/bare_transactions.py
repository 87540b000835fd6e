"""Bare transactions: the plain aiokafka loop with exactly-once delivery, as one would write it.

``python -m benchmarks.bare_transactions``. One transactional producer for each input partition,
since aiokafka sends no group metadata with the offsets (no KIP-447): a successor fences by the
partition's transactional id. Each partition's transaction ends every 100 ms and holds the decisions
and the offset after them.
"""

from __future__ import annotations

import asyncio
import signal
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.bare import MOST_RECORDS, PRODUCER, batches_of
from benchmarks.decide import Decide
from benchmarks.peers.names import BROKER, DECISIONS, GROUP, TRANSFERS

COMMIT_S = 0.1


class Lane:
    """One partition: its records, its producer, its transactions."""

    def __init__(self, decide: Decide, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        self._decide = decide
        self._consumer = consumer
        self._tp = tp
        self._producer = AIOKafkaProducer(
            bootstrap_servers=BROKER, transactional_id=f"{GROUP}-{tp.partition}", **PRODUCER
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """One transaction after the other."""
        async with self._producer as producer:
            while not stopping.is_set():
                end = await self._wait()
                if end is None:
                    continue
                await producer.send_offsets_to_transaction({self._tp: end}, GROUP)
                await producer.commit_transaction()

    async def _wait(self) -> int | None:
        """Begin a transaction with the first records; the offset after its last ones."""
        end, until = None, time.monotonic() + COMMIT_S
        while (left := until - time.monotonic()) > 0:
            fetched = await self._consumer.getmany(
                self._tp, timeout_ms=max(1, int(left * 1e3)), max_records=MOST_RECORDS
            )
            for records in fetched.values():
                if end is None:
                    await self._producer.begin_transaction()
                for batch in batches_of(self._decide, self._producer, records):
                    await self._producer.send_batch(batch, DECISIONS, partition=self._tp.partition)
                end = records[-1].offset + 1
        return end


async def work() -> None:
    """Decide all that comes until the process is told to end."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    consumer = AIOKafkaConsumer(
        TRANSFERS,
        bootstrap_servers=BROKER,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    decide = Decide()
    async with consumer:
        while not consumer.assignment():  # noqa: ASYNC110 - the client has no event for it
            await asyncio.sleep(0.01)
        lanes = [Lane(decide, consumer, tp) for tp in sorted(consumer.assignment())]
        await asyncio.gather(*(lane.run(stopping) for lane in lanes))


if __name__ == "__main__":
    asyncio.run(work())
