"""Topics: those of one log, made, filled evenly and counted."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from benchmarks.scaling.case import Log
from benchmarks.scaling.events import events_of
from gress_ml.dev.topics import TopicSettings, create_topics

_OTHERS = ("transfers.dlq", "decisions", "outcomes", "outcomes.dlq")
_PATIENCE_S = 120.0
#: Segments of a deleted topic leave the disk at once, not after a minute.
_SETTINGS = {"file.delete.delay.ms": "100"}


class LogTopics:
    """The topics of logs on one broker; a log is filled once, and read by each repetition."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._filled: set[Log] = set()
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        control = TopicSettings(1, {"cleanup.policy": "compact"})
        asyncio.run(create_topics(bootstrap, {"gress.control": control}))

    def fill(self, log: Log) -> None:
        """Make the log's topics and fill its input, unless that was done."""
        if log in self._filled:
            return
        wanted = dict.fromkeys(names_of(log), TopicSettings(log.partitions, _SETTINGS))
        asyncio.run(create_topics(self.bootstrap, wanted))
        self._send(log)
        self._filled.add(log)

    def drop(self, log: Log) -> None:
        """Delete the log's topics."""
        for deleted in self._admin.delete_topics(names_of(log)).values():
            deleted.result(_PATIENCE_S)
        self._filled.discard(log)

    def _send(self, log: Log) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 20,
                "batch.size": 512 * 1024,
                "queue.buffering.max.messages": 500_000,
            }
        )
        topic = input_of(log)
        for number, (key, value) in enumerate(events_of(log)):
            while True:
                try:  # in turn: what is measured is their number, not how keys are spread
                    producer.produce(topic, value, key, partition=number % log.partitions)
                    break
                except BufferError:
                    producer.poll(0.05)
        if producer.flush(_PATIENCE_S):
            raise RuntimeError(f"Kafka did not take {log.events} events in {_PATIENCE_S:.0f} s")


def input_of(log: Log) -> str:
    return f"{log.name}.transfers"


def output_of(log: Log) -> str:
    return f"{log.name}.decisions"


def names_of(log: Log) -> list[str]:
    """All topics that the topology needs."""
    return [input_of(log), *(f"{log.name}.{name}" for name in _OTHERS)]


class Ends:
    """How many records a topic has ever had: one cheap request, no reading. Use ``async with``."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)

    async def __aenter__(self) -> Ends:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def total(self) -> int:
        return sum((await self._consumer.end_offsets(self._partitions)).values())
