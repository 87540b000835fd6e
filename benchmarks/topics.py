"""Topics: made, filled, emptied and measured, on the benchmark's own broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import cycle, islice

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient

from benchmarks.transfers import Template
from gress_ml.dev.topics import TopicSettings, create_topics

TRANSFERS = "dwcp.transfers"
DECISIONS = "dwcp.decisions"
PARTITIONS = 4
PARTITIONER = "murmur2_random"  # librdkafka's name for how Java and aiokafka place a key
#: The other topics of the topology.
_OTHERS = ("dwcp.outcomes", "dwcp.transfers.dlq", "dwcp.outcomes.dlq")
_KAFKA_S = 30.0


class Topics:
    """The topics of one broker."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log.connection.close": False})

    def create(self) -> None:
        """Make all topics of the topology."""
        wanted = dict.fromkeys((TRANSFERS, DECISIONS, *_OTHERS), TopicSettings(PARTITIONS))
        control = TopicSettings(1, {"cleanup.policy": "compact"})
        asyncio.run(create_topics(self.bootstrap, {**wanted, "gress.control": control}))

    def fill(self, templates: Sequence[Template], count: int, first: int = 0) -> None:
        """Send transfers ``first`` up to ``first + count`` and wait until all are there."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": PARTITIONER,
                "linger.ms": 20,
                "batch.size": 512 * 1024,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        for number, template in enumerate(islice(cycle(templates), count), first):
            while True:
                try:
                    producer.produce(TRANSFERS, template.body(number), template.key)
                    break
                except BufferError:
                    producer.poll(0.05)
        if producer.flush(_KAFKA_S):
            raise RuntimeError(f"Kafka did not take {count} events within {_KAFKA_S:.0f} s")

    def empty(self) -> None:
        """Let go of all records that are there now; offsets go on from where they are."""
        for topic in (TRANSFERS, DECISIONS):
            ends = [Place(topic, partition, -1) for partition in range(PARTITIONS)]
            for future in self._admin.delete_records(ends).values():
                future.result(_KAFKA_S)

    def forget(self, group: str) -> None:
        """Let a group, whose members are gone, begin anew."""
        known = self._admin.list_consumer_groups().result(_KAFKA_S).valid
        if group in {one.group_id for one in known}:
            self._admin.delete_consumer_groups([group])[group].result(_KAFKA_S)


class Ends:
    """How many records a topic has ever had: one cheap request, no reading. Use ``async with``."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)

    async def __aenter__(self) -> Ends:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def now(self) -> dict[int, int]:
        """The end offset of each partition."""
        ends = await self._consumer.end_offsets(self._partitions)
        return {tp.partition: end for tp, end in ends.items()}

    async def total(self) -> int:
        return sum((await self.now()).values())
