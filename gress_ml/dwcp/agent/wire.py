"""Wire: how an agent reaches the topics. Kafka, or a function in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.dwcp.transfers import Message
from gress_ml.errors import BrokerUnavailable


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of an agent."""

    transfers: str = "dwcp.transfers"
    decisions: str = "dwcp.decisions"
    outcomes: str = "dwcp.outcomes"


class Wire(Protocol):
    """Messages out, decisions in."""

    async def start(self) -> None:
        """Connect; decisions made from now on will be seen. Raises BrokerUnavailable."""
        ...

    async def offer(self, transfer: Message) -> None:
        """Send a transfer, keyed by its VM; returns once it is on its way."""
        ...

    async def report(self, outcome: Message) -> None:
        """Send an outcome, keyed by its VM; returns once it is on its way."""
        ...

    async def receive(self) -> Sequence[Message]:
        """The decisions that have come; waits for at least one."""
        ...

    async def stop(self) -> None:
        """Send what is on its way and disconnect."""
        ...


class KafkaWire:
    """The topics of a Kafka cluster. ``client`` holds aiokafka's connection settings."""

    def __init__(self, client: dict[str, Any], topics: Topics | None = None) -> None:
        self._client, self._topics = client, topics or Topics()

    async def start(self) -> None:
        bound_decompression()
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
        missing = sorted({*astuple(self._topics)} - set(await self._consumer.topics()))
        if missing:
            raise BrokerUnavailable(f"there is no topic {', '.join(missing)}: create it first")
        topic = self._topics.decisions
        numbers = await self._producer.partitions_for(topic)
        partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        self._consumer.assign(partitions)
        await self._consumer.seek_to_end(*partitions)
        for partition in partitions:
            await self._consumer.position(partition)

    async def offer(self, transfer: Message) -> None:
        await self._send(self._topics.transfers, transfer)

    async def report(self, outcome: Message) -> None:
        await self._send(self._topics.outcomes, outcome)

    async def _send(self, topic: str, message: Message) -> None:
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
    """No Kafka: ``decide`` answers each transfer, or not (None). Keeps what was sent."""

    def __init__(self, decide: Callable[[Message], Message | None]) -> None:
        self._decide = decide
        self._decisions: asyncio.Queue[Message] = asyncio.Queue()
        self.transfers: list[Message] = []
        self.outcomes: list[Message] = []

    async def start(self) -> None:
        """Nothing to connect."""

    async def offer(self, transfer: Message) -> None:
        self.transfers.append(transfer)
        decision = self._decide(transfer)
        if decision is not None:
            self._decisions.put_nowait(decision)

    async def report(self, outcome: Message) -> None:
        self.outcomes.append(outcome)

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
