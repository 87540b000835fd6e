"""KafkaLog: reads topics and groups as a plain program would, knowing nothing of the workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

_KAFKA_S = 90.0


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record as it lies in a topic."""

    partition: int
    offset: int
    at_ms: int  # by the broker's clock
    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes]


class KafkaLog:
    """The topics of a storm, each with the same number of partitions."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions

    def read(self, topic: str, *, committed_only: bool) -> Iterator[LogRecord]:
        """Everything that is in a topic now; each partition in order."""
        isolation = "read_committed" if committed_only else "read_uncommitted"
        consumer = self._consumer("reader", {"isolation.level": isolation})
        try:
            consumer.assign(
                [TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(self._partitions)]
            )
            yield from _until_ends(consumer, self._partitions)
        finally:
            consumer.close()

    def wait_until_settled(self, group: str, topic: str, outputs: Sequence[str]) -> bool:
        """Wait until the group has committed all of ``topic``; False when it stopped short.

        It stopped when for a while neither its offsets nor its outputs moved.
        """
        consumer = self._consumer(group, {})
        try:
            return self._settled(consumer, topic, outputs)
        finally:
            consumer.close()

    def _settled(self, consumer: Consumer, topic: str, outputs: Sequence[str]) -> bool:
        known, since = -1, time.monotonic()
        end = self._ends(consumer, topic)
        while time.monotonic() - since < _KAFKA_S:
            places = [TopicPartition(topic, n) for n in range(self._partitions)]
            done = sum(max(tp.offset, 0) for tp in consumer.committed(places, _KAFKA_S))
            if done >= end:
                return True
            moved = done + sum(self._ends(consumer, output) for output in outputs)
            if moved != known:
                known, since = moved, time.monotonic()
            time.sleep(0.3)
        return False

    def _ends(self, consumer: Consumer, topic: str) -> int:
        places = [TopicPartition(topic, n) for n in range(self._partitions)]
        return sum(consumer.get_watermark_offsets(place, _KAFKA_S)[1] for place in places)

    def _consumer(self, group: str, more: dict[str, str]) -> Consumer:
        settings = {
            "bootstrap.servers": self._bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 2,
        }
        return Consumer({**settings, **more})


def _until_ends(consumer: Consumer, partitions: int) -> Iterator[LogRecord]:
    ended: set[int] = set()
    since = time.monotonic()
    while len(ended) < partitions:
        messages = consumer.consume(10_000, 0.5)
        for message in messages:
            error = message.error()
            if error is None:
                yield _record(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition() or 0)
            else:
                raise KafkaException(error)
        if messages:
            since = time.monotonic()
        elif time.monotonic() - since > _KAFKA_S:
            raise TimeoutError(f"the broker did not show the end of a topic in {_KAFKA_S:.0f} s")


def _record(message: Any) -> LogRecord:
    """librdkafka's message, of which its types say that any part may be missing."""
    return LogRecord(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value() or b"",
        dict(message.headers() or ()),
    )
