"""Open loop: events leave on schedule, whether or not the ones before were answered.

``python -m benchmarks.open_loop BROKER TOPIC RATE SECONDS WARM_UP`` sends transfers and reads what
comes out of ``TOPIC``: decisions, or the transfers themselves to measure the way without a worker.
It prints p50 and p99 as JSON. Latency counts from the moment at which an event was *meant* to
leave, so a sender that is held up does not hide what it held up (coordinated omission).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
import orjson
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

from benchmarks.peers.names import PARTITIONER, TRANSFERS
from benchmarks.topics import PARTITIONS
from benchmarks.transfers import Template, make_templates, request_number

TICK_S = 0.001
TEMPLATES = 4096
_FIRST_S = 60.0  # for the first decision: the worker may still be starting
_LAST_S = 10.0  # for the last one


class OpenLoop:
    """Sends and reads in two threads of one process, so that both see one clock."""

    def __init__(self, broker: str, topic: str, templates: Sequence[Template]) -> None:
        self._templates = templates
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "partitioner": PARTITIONER,
                "linger.ms": 1,  # without it Kafka would be busy with batches of one event
                "acks": "all",
            }
        )
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "bench-reader",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign(
            [TopicPartition(topic, number, OFFSET_END) for number in range(PARTITIONS)]
        )
        self._consumer.poll(1.0)  # the positions are fixed when the first fetch is out

    def wake(self) -> None:
        """Send events one by one until each partition has answered. Raises TimeoutError."""
        silent, number = set(range(PARTITIONS)), 0
        give_up = time.perf_counter() + _FIRST_S
        while silent:
            if time.perf_counter() > give_up:
                raise TimeoutError(f"no decision in partitions {sorted(silent)}")
            self._send(number)
            number += 1
            if (message := self._consumer.poll(0.02)) is not None and message.error() is None:
                silent.discard(message.partition())
        while self._consumer.poll(0.5) is not None:  # the other answers
            pass

    def run(self, rate: int, seconds: float) -> np.ndarray:
        """The latency of each event in ms, in the order in which they were sent."""
        count = int(rate * seconds)
        read_at = np.full(count, np.nan)
        start = time.perf_counter() + 0.1
        sender = threading.Thread(target=self._send_all, args=(start, rate, count))
        sender.start()
        self._read(read_at, start + seconds + _LAST_S)
        sender.join()
        meant = start + np.arange(count) // max(1, int(rate * TICK_S)) * TICK_S
        latencies: np.ndarray = (read_at - meant) * 1e3
        return latencies

    def _send_all(self, start: float, rate: int, count: int) -> None:
        per_tick = max(1, int(rate * TICK_S))
        for tick in range(0, count, per_tick):
            ahead = start + tick / per_tick * TICK_S - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
            for number in range(tick, min(tick + per_tick, count)):
                self._send(number)
            self._producer.poll(0)
        self._producer.flush()

    def _send(self, number: int) -> None:
        template = self._templates[number % len(self._templates)]
        self._producer.produce(TRANSFERS, template.body(number), template.key)

    def _read(self, read_at: np.ndarray, give_up: float) -> None:
        lacking, poll = len(read_at), self._consumer.poll
        while lacking and time.perf_counter() < give_up:
            message = poll(0.1)
            if message is not None and message.error() is None:
                now = time.perf_counter()
                read_at[request_number(message.value())] = now
                lacking -= 1


def main(broker: str, topic: str, rate: str, seconds: str, warm_up: str) -> None:
    sys.setswitchinterval(0.0005)  # the reader must not wait for the sender
    loop = OpenLoop(broker, topic, make_templates(TEMPLATES))
    loop.wake()
    latencies = loop.run(int(rate), float(seconds))[int(int(rate) * float(warm_up)) :]
    lost = int(np.isnan(latencies).sum())
    p50, p99 = np.nanpercentile(latencies, (50, 99)).tolist()
    print(orjson.dumps({"p50_ms": p50, "p99_ms": p99, "lost": lost}).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
