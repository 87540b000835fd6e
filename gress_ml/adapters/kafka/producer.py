"""OutputProducer: messages leave as ready-made record batches, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import murmur2

from gress_ml.errors import BrokerUnavailable, GressError

log = structlog.get_logger(__name__)

#: Large record batches: the broker's default limit for one is 1 MiB (message.max.bytes).
MAX_BATCH_BYTES = 1_000_000
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
#: How long a broken producer may take to let go.
_STOP_S = 5.0

Header = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to produce."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


class TooLargeError(GressError):
    """The broker does not take a message of this size."""


class OutputProducer:
    """An idempotent producer (KIP-98) for batches; what fails and may pass is sent until it passes.

    Order per partition is kept: aiokafka sends one batch at a time per partition.
    """

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._settings: dict[str, Any] = {
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_batch_size": MAX_BATCH_BYTES,
            "max_request_size": 16 * MAX_BATCH_BYTES,
            "request_timeout_ms": 30_000,
            **client,
        }
        self._producer: AIOKafkaProducer | None = None
        self._serial = 0
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Connect. Raises BrokerUnavailable."""
        self._producer = AIOKafkaProducer(**self._settings)
        try:
            await self._producer.start()
        except KafkaConnectionError as error:
            await self.stop()
            raise BrokerUnavailable(f"Kafka does not answer: {error}") from error

    async def stop(self) -> None:
        """Send what is buffered and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    @property
    def client(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise BrokerUnavailable("the producer is not connected")
        return self._producer

    async def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has. Raises BrokerUnavailable."""
        try:
            return len(await self.client.partitions_for(topic))
        except KafkaError as error:
            raise BrokerUnavailable(f"topic {topic!r} cannot be looked up: {error!r}") from error

    async def deliver(
        self, topic: str, partition: int, messages: Sequence[Message], timestamp_ms: int
    ) -> Awaitable[None]:
        """Hand the messages over now, in order; await the answer for their acknowledgement.

        What may pass (a broker that restarts, an expired batch) is sent again with back-off until
        it is acknowledged. The answer raises TooLargeError, which no repetition mends.
        """

        async def send() -> asyncio.Future[Any]:
            acks = [
                await self.client.send_batch(batch, topic, partition=partition)
                for batch in self._batches(messages, timestamp_ms)
            ]
            return acks[0] if len(acks) == 1 else asyncio.gather(*acks)

        serial = self._serial
        try:
            first: asyncio.Future[Any] | Exception = await send()
        except (KafkaError, BrokerUnavailable) as error:
            first = error
        return self._acknowledged(first, send, serial)

    async def _acknowledged(
        self,
        first: asyncio.Future[Any] | Exception,
        send: Callable[[], Awaitable[asyncio.Future[Any]]],
        serial: int,
    ) -> None:
        try:
            if isinstance(first, Exception):
                raise first
            await first
        except MessageSizeTooLargeError as error:
            raise TooLargeError(str(error)) from error
        except (KafkaError, BrokerUnavailable) as error:
            log.warning("produce_failed_will_retry", error=repr(error))
            await self._again(send, serial)

    async def _again(self, send: Callable[[], Awaitable[asyncio.Future[Any]]], serial: int) -> None:
        for pause in chain(_BACKOFF_S, repeat(_BACKOFF_S[-1])):
            await asyncio.sleep(pause)
            try:
                serial = await self._renew(serial)
                await (await send())
                return
            except MessageSizeTooLargeError as error:
                raise TooLargeError(str(error)) from error
            except (KafkaError, BrokerUnavailable) as error:
                log.warning("produce_failed_will_retry", error=repr(error))

    async def _renew(self, serial: int) -> int:
        """A fresh producer after an indefinite error: the old one's sequence numbers have a gap.

        Jepsen's advice for Kafka clients (Bufstream 0.1.0 report, 2024). Only the first of those
        who failed with a producer renews it.
        """
        async with self._renewing:
            if serial == self._serial:
                old, self._producer = self._producer, None
                self._serial += 1
                if old is not None:
                    with suppress(KafkaError, TimeoutError):
                        await asyncio.wait_for(old.stop(), _STOP_S)
                await self.start()
            return self._serial

    def _batches(self, messages: Sequence[Message], timestamp_ms: int) -> Iterator[Any]:
        batch = self.client.create_batch()
        filled = False
        for message in messages:
            fields = {"key": message.key, "value": message.value, "timestamp": timestamp_ms}
            headers = list(message.headers)
            if batch.append(**fields, headers=headers) is None:
                if filled:
                    batch.close()
                    yield batch
                batch = self.client.create_batch()
                # the first message of a batch is taken whatever its size; the broker judges it
                batch.append(**fields, headers=headers)
            filled = True
        batch.close()
        yield batch


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner (murmur2), remembered per key: it is pure Python in aiokafka."""
    hashed: int = murmur2(key) & 0x7FFFFFFF
    return hashed % partitions
