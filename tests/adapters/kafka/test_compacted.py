"""A compacted topic on real Kafka: all that is there is told before ``caught_up``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from gress_ml.adapters.kafka.compacted import CompactedTopics
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dev.topics import TopicSettings, create_topics

Told = list[tuple[str, bytes | None]]


async def make(kafka: str, topic: str, partitions: int = 1) -> None:
    settings = TopicSettings(partitions, {"cleanup.policy": "compact"})
    await create_topics(kafka, {topic: settings})


async def send(kafka: str, topic: str, *records: tuple[bytes | None, bytes | None]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for key, value in records:
            await producer.send_and_wait(topic, value, key)


@asynccontextmanager
async def reading(kafka: str, told: dict[str, Told]) -> AsyncIterator[CompactedTopics]:
    """Read these topics; what is told of each is added to its list."""
    client = KafkaSettings(bootstrap=kafka).client

    def teller(topic: str) -> Callable[[str, bytes | None], None]:
        return lambda key, value: told[topic].append((key, value))

    reader = CompactedTopics(client, {topic: teller(topic) for topic in told})
    task = asyncio.create_task(reader.run())
    try:
        await asyncio.wait_for(reader.caught_up.wait(), 20)
        yield reader
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.01)


async def test_all_that_is_there_is_told_before_it_has_caught_up(
    kafka: str, topic_name: str
) -> None:
    await make(kafka, topic_name, partitions=3)
    await send(kafka, topic_name, *((b"k-%d" % n, b"%d" % n) for n in range(20)))
    told: Told = []
    async with reading(kafka, {topic_name: told}):
        assert sorted(told) == sorted((f"k-{n}", b"%d" % n) for n in range(20))
        await send(kafka, topic_name, (b"k-1", b"new"), (b"k-2", None))
        await until(lambda: len(told) == 22)
    assert {*told[20:]} == {("k-1", b"new"), ("k-2", None)}


async def test_an_empty_topic_is_caught_up_at_once(kafka: str, topic_name: str) -> None:
    await make(kafka, topic_name)
    told: Told = []
    async with reading(kafka, {topic_name: told}):
        assert told == []


async def test_a_topic_that_is_made_later_is_read_then(kafka: str, topic_name: str) -> None:
    told: Told = []
    async with reading(kafka, {topic_name: told}):
        await make(kafka, topic_name)
        await send(kafka, topic_name, (b"k", b"v"))
        await until(lambda: told == [("k", b"v")])


async def test_a_record_without_a_name_is_passed_over(kafka: str, topic_name: str) -> None:
    await make(kafka, topic_name)
    told: Told = []
    await send(kafka, topic_name, (b"\xff", b"1"), (b"", b"2"), (b"k", b"v"))
    async with reading(kafka, {topic_name: told}):
        assert told == [("k", b"v")]


async def test_of_several_topics_each_is_told_to_its_own_reader_also_one_that_is_made_later(
    kafka: str, topic_name: str
) -> None:
    first, later = f"{topic_name}-first", f"{topic_name}-later"
    told: dict[str, Told] = {first: [], later: []}
    await make(kafka, first)
    await send(kafka, first, (b"k", b"1"))
    async with reading(kafka, told):
        assert told == {first: [("k", b"1")], later: []}
        await make(kafka, later)
        await send(kafka, later, (b"k", b"2"))
        await until(lambda: told[later] == [("k", b"2")])
        await send(kafka, first, (b"k", b"3"))
        await until(lambda: told[first][-1] == ("k", b"3"))
    assert {*told[first]} == {("k", b"1"), ("k", b"3")}  # the first of them perhaps twice
