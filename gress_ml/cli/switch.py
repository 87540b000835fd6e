"""``gress switch``: set a run-time switch in every worker."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gress_ml.adapters.kafka.control import CONTROL_TOPIC, switch_message
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.errors import BrokerUnavailable, ConfigError


def switch(
    setting: Annotated[str, typer.Argument(help="NAME=VALUE", metavar="NAME=VALUE")],
    kafka: Annotated[
        str | None, typer.Option(help="Bootstrap servers; default: GRESS_KAFKA.")
    ] = None,
) -> None:
    """Set a run-time switch, e.g. compression_ml.enabled=false: back to the rules at once."""
    name, separator, value = setting.partition("=")
    if not separator:
        raise ConfigError(f"{setting!r}: expected NAME=VALUE, e.g. compression_ml.enabled=false")
    try:
        key, message = switch_message(name, value)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    asyncio.run(_send(KafkaSettings.from_env(bootstrap=kafka), key, message))
    typer.echo(f"{name} = {value}")


async def _send(settings: KafkaSettings, key: bytes, value: bytes) -> None:
    compacted = TopicSettings(partitions=1, config={"cleanup.policy": "compact"})
    client = settings.client
    await create_topics(settings.bootstrap, {CONTROL_TOPIC: compacted}, client)
    producer = AIOKafkaProducer(acks="all", **client)
    try:
        await producer.start()
        await producer.send_and_wait(CONTROL_TOPIC, value, key)
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka at {settings.bootstrap} did not take it: {error}") from None
    finally:
        await producer.stop()
