"""Bare confluent: a plain librdkafka loop without a framework; its threads do the network's work.

``python -m benchmarks.bare_confluent plain|typed``: decoding with orjson, as most would write it,
or with msgspec, as the other bare loop. At least once: the offset after a batch is committed,
every 200 ms, when the last decision of the batch is acknowledged; a partition's decisions are
acknowledged in order, since the producer is idempotent.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from benchmarks.decide import Decide
from benchmarks.decode import plain, typed
from benchmarks.peers.names import BROKER, DECISIONS, GROUP, TRANSFERS, decision_ids

MOST_RECORDS = 512
COMMIT_S = 0.2
_IDLE_S = 0.1
_FLUSH_S = 30.0


class Loop:
    """Takes what is there, decides it, sends it, commits."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._consumer = Consumer(
            {
                "bootstrap.servers": BROKER,
                "group.id": GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        self._producer = Producer(
            {
                "bootstrap.servers": BROKER,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._safe: dict[int, int] = {}  # by partition, the offset up to which all is acknowledged
        self._stopping = False

    def run(self) -> None:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        self._consumer.subscribe([TRANSFERS])
        commit_at = time.monotonic() + COMMIT_S
        while not self._stopping:
            for number, messages in groupby(self._take(), lambda message: message.partition()):
                self._work(number, list(messages))
            self._producer.poll(0)
            if time.monotonic() >= commit_at:
                self._commit()
                commit_at = time.monotonic() + COMMIT_S
        self._producer.flush(_FLUSH_S)
        self._commit()
        self._consumer.close()

    def _take(self) -> list[Any]:
        """What is there; where nothing is, the next one."""
        messages = self._consumer.consume(MOST_RECORDS, 0)
        if not messages and (one := self._consumer.poll(_IDLE_S)) is not None:
            messages = [one]
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        return list(messages)

    def _work(self, number: int, messages: Sequence[Any]) -> None:
        ids = decision_ids(number, [message.offset() for message in messages])
        bodies = self._decide(ids, [message.value() for message in messages])
        produce = self._producer.produce
        # the same number of partitions and the same keys: the input's partition is the output's
        for message, body in zip(messages[:-1], bodies[:-1], strict=True):
            produce(DECISIONS, body, message.key(), number)
        last = messages[-1]
        acknowledged = partial(self._acknowledged, number, last.offset() + 1)
        produce(DECISIONS, bodies[-1], last.key(), number, on_delivery=acknowledged)

    def _acknowledged(self, number: int, end: int, error: Any, _: Any) -> None:
        if error is not None:
            raise KafkaException(error)
        self._safe[number] = end

    def _commit(self) -> None:
        if self._safe:
            places = [TopicPartition(TRANSFERS, *one) for one in self._safe.items()]
            self._consumer.commit(offsets=places, asynchronous=True)
            self._safe.clear()

    def _stop(self, *_: object) -> None:
        self._stopping = True


if __name__ == "__main__":
    Loop(Decide({"plain": plain, "typed": typed}[sys.argv[1]])).run()
