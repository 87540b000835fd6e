"""Coordinator: what commits and transactions cost the broker that keeps their books.

A commit is one request for all partitions of a
worker, answered by the group's coordinator. A transaction is what exactly-once does per partition
and interval: one batch of outputs and the input's offset, under a transactional id of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.scaling.point import cpu_s
from gress_ml.dev.topics import TopicSettings, create_topics

_TOPIC = "scaling.coordinator"
_PARTITIONS = 64
_MEMBERS, _TRANSACTIONAL_IDS = 16, 32
#: How often each commits. As in a topology for transactions: aiokafka waits 100 ms before it tries
#: again what comes while the markers of the transaction before are still written (KIP-890).
_COMMIT_EVERY_S, _TRANSACTION_EVERY_S = 0.02, 0.1
_BODY = b"x" * 400  # about a decision
_SECONDS, _WARM_UP_S = 3.0, 3.0  # the broker compiles what it has not done before

Step = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What one thing costs the broker, when it does nothing else."""

    name: str
    per_s: float
    broker_us: float


class Books:
    """Measures on one broker, whose process is ``broker``."""

    def __init__(self, bootstrap: str, broker: psutil.Process) -> None:
        self._bootstrap = bootstrap
        self._broker = broker

    async def measure(self) -> list[Upkeep]:
        """One after the other."""
        await create_topics(self._bootstrap, {_TOPIC: TopicSettings(_PARTITIONS)})
        return [
            await self._commits(1),
            await self._commits(16),
            await self._transactions(),
        ]

    async def _commits(self, partitions: int) -> Upkeep:
        members = [
            AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=f"commits-{number}")
            for number in range(_MEMBERS)
        ]
        owned = [TopicPartition(_TOPIC, number) for number in range(partitions)]
        for member in members:
            await member.start()
            member.assign(owned)

        def commits(member: AIOKafkaConsumer) -> Step:
            return lambda number: member.commit(dict.fromkeys(owned, number))

        try:
            name = f"commit of {partitions} partition" + ("s" if partitions > 1 else "")
            steps = [commits(member) for member in members]
            return await self._paced(name, steps, _COMMIT_EVERY_S)
        finally:
            for member in members:
                await member.stop()

    async def _transactions(self) -> Upkeep:
        producers = [
            AIOKafkaProducer(
                bootstrap_servers=self._bootstrap, transactional_id=f"scaling-{number}"
            )
            for number in range(_TRANSACTIONAL_IDS)
        ]
        await asyncio.gather(*(producer.start() for producer in producers))
        try:
            steps = [_transaction(producer, n) for n, producer in enumerate(producers)]
            return await self._paced("transaction of one partition", steps, _TRANSACTION_EVERY_S)
        finally:
            await asyncio.gather(*(producer.stop() for producer in producers))

    async def _paced(self, name: str, steps: list[Step], every_s: float) -> Upkeep:
        await _repeat(steps, every_s, _WARM_UP_S)
        started, before_s = time.perf_counter(), cpu_s(self._broker)
        done = await _repeat(steps, every_s, _SECONDS)
        elapsed_s = time.perf_counter() - started
        return Upkeep(name, done / elapsed_s, (cpu_s(self._broker) - before_s) / done * 1e6)


def _transaction(producer: AIOKafkaProducer, number: int) -> Step:
    place = TopicPartition(_TOPIC, number)

    async def step(offset: int) -> None:
        await producer.begin_transaction()
        batch = producer.create_batch()
        batch.append(key=None, value=_BODY, timestamp=None)
        await producer.send_batch(batch, _TOPIC, partition=number)
        await producer.send_offsets_to_transaction({place: offset}, f"transactions-{number}")
        await producer.commit_transaction()

    return step


async def _repeat(steps: list[Step], every_s: float, seconds: float) -> int:
    """Each step again and again, side by side; how often in all."""
    end = time.monotonic() + seconds

    async def again(step: Step) -> int:
        count, due = 0, time.monotonic()
        while due < end:
            count += 1
            await step(count)
            due = max(due + every_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        return count

    return sum(await asyncio.gather(*map(again, steps)))
