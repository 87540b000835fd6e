"""Topics: made, filled, emptied and measured, on the benchmark's own broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import cycle, islice

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import KafkaException, Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from benchmarks.peers.names import DECISIONS, PARTITIONER, TRANSFERS
from benchmarks.transfers import Template
from gress_ml.dev.topics import TopicSettings, create_topics

BAD_TRANSFERS = "bench.damaged"
BAD_DLQ = f"{BAD_TRANSFERS}.dlq"
BAD_EVERY = 100  # of the events in BAD_TRANSFERS, one in so many is cut short
PARTITIONS = 4
#: The other topics of the topology.
_OTHERS = ("dwcp.outcomes", "dwcp.transfers.dlq", "dwcp.outcomes.dlq")
_KAFKA_S = 30.0
_PATIENTLY = Retrying(
    retry=retry_if_exception_type(KafkaException),
    stop=stop_after_delay(_KAFKA_S),
    wait=wait_fixed(0.2),
    reraise=True,
)


class Topics:
    """The topics of one broker."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log.connection.close": False})

    def create(self) -> None:
        """Make all topics of the topology, and wait until their partitions have leaders."""
        topics = (TRANSFERS, DECISIONS, BAD_TRANSFERS, BAD_DLQ, *_OTHERS)
        wanted = dict.fromkeys(topics, TopicSettings(PARTITIONS))
        control = TopicSettings(1, {"cleanup.policy": "compact"})
        asyncio.run(create_topics(self.bootstrap, {**wanted, "gress.control": control}))
        for attempt in _PATIENTLY:
            with attempt:
                self.empty()

    def fill(self, topic: str, templates: Sequence[Template], count: int) -> None:
        """Send so many transfers and wait until all are there; some damaged for BAD_TRANSFERS."""
        damaged = topic == BAD_TRANSFERS
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": PARTITIONER,
                "linger.ms": 20,
                "batch.size": 512 * 1024,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        for number, template in enumerate(islice(cycle(templates), count)):
            body = template.body(number)
            if damaged and number % BAD_EVERY == 0:
                body = body[: len(body) // 2]
            while True:
                try:
                    producer.produce(topic, body, template.key)
                    break
                except BufferError:
                    producer.poll(0.05)
        if producer.flush(_KAFKA_S):
            raise RuntimeError(f"Kafka did not take {count} events within {_KAFKA_S:.0f} s")

    def empty(self) -> None:
        """Let go of all records that are there now; offsets go on from where they are."""
        for topic in (TRANSFERS, DECISIONS, BAD_TRANSFERS, BAD_DLQ):
            ends = [Place(topic, partition, -1) for partition in range(PARTITIONS)]
            for future in self._admin.delete_records(ends).values():
                future.result(_KAFKA_S)

    def forget(self, group: str) -> None:
        """Let a group, whose members are gone, begin anew."""
        known = self._admin.list_consumer_groups().result(_KAFKA_S).valid
        if group in {one.group_id for one in known}:
            self._admin.delete_consumer_groups([group])[group].result(_KAFKA_S)


class Ends:
    """How many records topics have ever had: one cheap request, no reading. Use ``async with``.

    With ``committed``, those of open transactions do not count. The marker that ends a transaction
    in a partition has an offset of its own and counts as a record: one per partition and 100 ms.
    """

    def __init__(self, bootstrap: str, topics: Sequence[str], committed: bool = False) -> None:
        self._places = [
            TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)
        ]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed" if committed else "read_uncommitted",
        )

    async def __aenter__(self) -> Ends:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def now(self) -> dict[TopicPartition, int]:
        """The end offset of each partition."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._places)
        return ends

    async def total(self) -> int:
        return sum((await self.now()).values())
