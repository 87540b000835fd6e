"""Writes a record to a compacted topic that all workers read, and makes the topic if need be."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.errors import BrokerUnavailable


async def send(settings: KafkaSettings, topic: str, key: bytes, value: bytes) -> None:
    """Send one record and wait until it is safe. Raises BrokerUnavailable, ConfigError."""
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
