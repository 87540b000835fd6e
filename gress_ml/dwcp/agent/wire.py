"""Wire: how an agent reaches the topics. Kafka, or a function in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from gress_ml.dwcp.transfers import Message
from gress_ml.errors import BrokerUnavailable

TRANSFERS, DECISIONS, OUTCOMES = "dwcp.transfers", "dwcp.decisions", "dwcp.outcomes"


class Wire(Protocol):
    """Messages out, decisions in."""

    async def start(self) -> None:
        """Connect; decisions made from now on will be seen. Raises BrokerUnavailable."""
        ...

    async def send(self, topic: str, message: Message) -> None:
        """Send one message, keyed by its VM; returns once it is on its way."""
        ...

    async def receive(self) -> Sequence[Message]:
        """The decisions that have come; waits for at least one."""
        ...

    async def stop(self) -> None:
        """Send what is on its way and disconnect."""
        ...


class KafkaWire:
    """The topics of a Kafka cluster. ``client`` holds aiokafka's connection settings."""

    def __init__(self, client: dict[str, Any]) -> None:
        self._client = client

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(**self._client, acks="all", linger_ms=2)
        # Every agent sees all decisions and keeps its own: no group, from now on.
        self._consumer = AIOKafkaConsumer(**self._client, auto_offset_reset="latest")
        try:
            await self._producer.start()
            await self._consumer.start()
            await self._follow_decisions()
        except KafkaError as error:
            await self.stop()
            raise BrokerUnavailable(f"Kafka does not answer: {error}") from error
        except BaseException:
            await self.stop()
            raise

    async def _follow_decisions(self) -> None:
        """From the end of each partition; returns when the ends are known."""
        missing = sorted({TRANSFERS, DECISIONS, OUTCOMES} - set(await self._consumer.topics()))
        if missing:
            raise BrokerUnavailable(f"there is no topic {', '.join(missing)}: create it first")
        numbers = await self._producer.partitions_for(DECISIONS)
        partitions = [TopicPartition(DECISIONS, number) for number in sorted(numbers)]
        self._consumer.assign(partitions)
        await self._consumer.seek_to_end(*partitions)
        for partition in partitions:
            await self._consumer.position(partition)

    async def send(self, topic: str, message: Message) -> None:
        try:
            await self._producer.send(topic, orjson.dumps(message), key=message["vm_id"].encode())
        except KafkaError as error:
            raise BrokerUnavailable(f"a message for {topic} was not sent: {error}") from error

    async def receive(self) -> Sequence[Message]:
        found: list[Message] = []
        while not found:
            try:
                polled = await self._consumer.getmany(timeout_ms=1000)
            except KafkaError as error:
                raise BrokerUnavailable(f"no decisions can be read: {error}") from error
            values = [record.value for records in polled.values() for record in records]
            found = [message for value in values if (message := _object(value)) is not None]
        return found

    async def stop(self) -> None:
        await self._producer.stop()
        await self._consumer.stop()


class MemoryWire:
    """No Kafka: ``decide`` answers each transfer, or not (None). ``sent`` keeps all messages."""

    def __init__(self, decide: Callable[[Message], Message | None]) -> None:
        self._decide = decide
        self._decisions: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[tuple[str, Message]] = []

    async def start(self) -> None:
        """Nothing to connect."""

    async def send(self, topic: str, message: Message) -> None:
        self.sent.append((topic, message))
        if topic == TRANSFERS:
            decision = self._decide(message)
            if decision is not None:
                self._decisions.put_nowait(decision)

    async def receive(self) -> Sequence[Message]:
        return [await self._decisions.get()]

    async def stop(self) -> None:
        """Nothing to disconnect."""


def _object(value: bytes | None) -> Message | None:
    """A JSON object; None for anything else, which is not for us."""
    try:
        found = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
