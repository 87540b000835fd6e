"""Compacted topics for commands: the newest value of each key, and a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gress_ml.adapters.kafka.compacted import CompactedTopics
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.errors import BrokerUnavailable

_READ_S = 10.0


async def publish(settings: KafkaSettings, topic: str, key: bytes, value: bytes | None) -> None:
    """Set a key of the topic, which is made where it is missing. Raises BrokerUnavailable."""
    compacted = TopicSettings(partitions=1, config={"cleanup.policy": "compact"})
    client = settings.client
    await create_topics(settings.bootstrap, {topic: compacted}, client)
    producer = AIOKafkaProducer(acks="all", **client)
    try:
        await producer.start()
        await producer.send_and_wait(topic, value, key)
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka at {settings.bootstrap} did not take it: {error}") from None
    finally:
        await producer.stop()


async def newest(settings: KafkaSettings, topic: str) -> Mapping[str, bytes]:
    """The value of each key that has one; none without the topic. Raises BrokerUnavailable."""
    values: dict[str, bytes | None] = {}
    reader = CompactedTopics(settings.client, {topic: values.__setitem__})
    reading = asyncio.create_task(reader.run())
    try:
        await asyncio.wait_for(reader.caught_up.wait(), _READ_S)
    except TimeoutError:
        raise BrokerUnavailable(
            f"topic {topic!r} could not be read within {_READ_S:g} s from {settings.bootstrap}"
        ) from None
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    return {key: value for key, value in values.items() if value is not None}
