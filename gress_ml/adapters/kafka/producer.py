"""OutputProducer: messages leave as ready-made record batches, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice, repeat
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from gress_ml.errors import BrokerUnavailable, GressError
from gress_ml.ports import Clock

log = structlog.get_logger(__name__)

#: Large record batches: the broker's default limit for one is 1 MiB (message.max.bytes).
MAX_BATCH_BYTES = 1_000_000
#: Those of every producer of a worker.
_SETTINGS: Mapping[str, Any] = {
    "acks": "all",
    "linger_ms": 0,
    "max_batch_size": MAX_BATCH_BYTES,
    "max_request_size": 16 * MAX_BATCH_BYTES,
    "request_timeout_ms": 30_000,
    "metadata_max_age_ms": 5_000,  # partitions that are added are soon written to
}
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
#: How long the number of a topic's partitions is asked for, until somebody is told of the wait.
_LOOK_UP_S = 1.0
#: How long a broken producer may take to let go.
_STOP_S = 5.0

Header = tuple[str, bytes]
_NO_HEADERS: list[Header] = []
_Place = tuple[str, int]  # topic and partition
_Acks = asyncio.Future[Any]


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message to produce. A struct, as one is made for each event."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


class TooLargeError(GressError):
    """The broker does not take a message of this size."""


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What goes to one partition at once, and the delivery that must get through before it."""

    place: _Place
    send: Callable[[], Awaitable[_Acks]]
    before: asyncio.Task[None] | None


class OutputProducer:
    """An idempotent producer (KIP-98) for batches; what fails and may pass is sent until it passes.

    Order per partition is kept, also by what has to be sent again: aiokafka sends one batch at a
    time per partition, and while one of them is mended those behind it wait for it.
    """

    def __init__(self, client: Mapping[str, Any], clock: Clock) -> None:
        self._clock = clock
        self._client = client
        self._producer: AIOKafkaProducer | None = None
        self._closed = False
        self._serial = 0
        self._renewing = asyncio.Lock()
        self._last: dict[_Place, asyncio.Task[None]] = {}
        self._mending: Counter[_Place] = Counter()  # deliveries that failed and are sent again

    async def start(self) -> None:
        """Connect. Raises BrokerUnavailable."""
        self._producer = await connected(self._client, enable_idempotence=True)

    async def stop(self) -> None:
        """Send what is buffered, if Kafka takes it soon, and disconnect."""
        self._closed = True
        producer, self._producer = self._producer, None
        if producer is not None:
            await let_go(producer)

    @property
    def client(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise BrokerUnavailable("the producer is not connected")
        return self._producer

    def known_partitions(self, topic: str) -> int:
        """How many partitions a topic has by the last metadata; 0 when it is not in there."""
        producer = self._producer
        known = None if producer is None else producer.client.cluster.partitions_for_topic(topic)
        return len(known or ())

    async def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has. Raises BrokerUnavailable."""
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                return len(await self.client.partitions_for(topic))
        except (KafkaError, TimeoutError) as error:
            raise BrokerUnavailable(f"topic {topic!r} cannot be looked up: {error!r}") from error

    async def deliver(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> asyncio.Task[None]:
        """Hand the messages over now, in order; await the answer for their acknowledgement.

        What may pass (a broker that restarts, a producer that is fenced off) is sent again with
        back-off until it is acknowledged. The answer raises TooLargeError, which no repetition
        mends.
        """
        place = (topic, partition)

        async def send() -> _Acks:
            return await self._send(place, messages)

        serial = self._serial
        first: _Acks | Exception | None = None
        behind = self._mending[place] > 0
        if not behind:
            try:
                first = await send()
            except (KafkaError, BrokerUnavailable) as error:
                first = error
        delivery = _Delivery(place, send, self._last.get(place))
        task = asyncio.create_task(self._acknowledged(delivery, first, serial))
        if behind:
            self._mending[place] += 1
            task.add_done_callback(lambda _: self._mended(place))
        self._last[place] = task
        return task

    async def _send(self, place: _Place, messages: Sequence[Message]) -> _Acks:
        acks: list[asyncio.Future[Any]] = []
        try:
            # stamped at each try: a broker refuses what is from its future, and clocks get set
            for batch in record_batches(self.client, messages, self._clock.wall_ms()):
                ack = await self._accepted(place, batch)
                acks.append(ack)
        except BaseException:
            for ack in acks:
                ack.cancel()  # nobody asks for these answers any more
            raise
        return acks[0] if len(acks) == 1 else asyncio.gather(*acks)

    async def _accepted(self, place: _Place, batch: Any) -> asyncio.Future[Any]:
        """Wait for the batch's turn, however long the one before it takes to get through."""
        topic, partition = place
        while True:
            try:
                ack: _Acks = await send_batch(self.client, batch, topic, partition)
            except KafkaTimeoutError:
                log.warning("waiting_for_kafka", topic=topic, partition=partition)
            else:
                return ack

    async def _acknowledged(
        self, delivery: _Delivery, first: _Acks | Exception | None, serial: int
    ) -> None:
        if first is None:  # others before it are being mended with the producer of now
            await self._mend(delivery, None)
            return
        try:
            if isinstance(first, Exception):
                raise first
            await first
        except MessageSizeTooLargeError as error:
            raise TooLargeError(str(error)) from error
        except (KafkaError, BrokerUnavailable) as error:
            log.warning("produce_failed_will_retry", error=repr(error))
            self._mending[delivery.place] += 1
            try:
                await self._mend(delivery, serial)
            finally:
                self._mended(delivery.place)

    def _mended(self, place: _Place) -> None:
        self._mending[place] -= 1

    async def _mend(self, delivery: _Delivery, failed: int | None) -> None:
        """Send again, after all before it got through; ``failed`` is the producer that did."""
        if delivery.before is not None:
            await asyncio.wait([delivery.before])
        for pause in chain(_BACKOFF_S, repeat(_BACKOFF_S[-1])):
            if self._closed:
                raise BrokerUnavailable("the producer was stopped")
            try:
                failed = await self._renew(failed)
                await (await delivery.send())
                return
            except MessageSizeTooLargeError as error:
                raise TooLargeError(str(error)) from error
            except (KafkaError, BrokerUnavailable) as error:
                log.warning("produce_failed_will_retry", error=repr(error))
            await asyncio.sleep(pause)

    async def _renew(self, failed: int | None) -> int:
        """A fresh producer after an indefinite error: the old one's sequence numbers have a gap.

        Jepsen's advice for Kafka clients (Bufstream 0.1.0 report, 2024). Only the first of those
        who failed with a producer renews it.
        """
        async with self._renewing:
            if failed == self._serial or self._producer is None:
                old, self._producer = self._producer, None
                if old is not None:
                    await let_go(old)
                await self.start()
                self._serial += 1
            return self._serial


async def connected(client: Mapping[str, Any], **settings: Any) -> AIOKafkaProducer:
    """A producer that has started. Raises BrokerUnavailable, KafkaError; nothing is left then."""
    producer = AIOKafkaProducer(**{**_SETTINGS, **settings, **client})
    # A batch that was never sent does not expire: the one behind it would overtake it.
    producer._message_accumulator._batch_ttl = math.inf
    producer.client.coordinator_lookup = partial(_coordinator, producer.client.coordinator_lookup)
    try:
        await producer.start()
    except BaseException as error:
        await let_go(producer)
        if isinstance(error, KafkaConnectionError):
            raise BrokerUnavailable(f"Kafka does not answer: {error}") from error
        raise
    return producer


async def _coordinator(look_up: Callable[[int, str], Awaitable[int]], kind: int, name: str) -> int:
    """Which broker coordinates. Raises CoordinatorNotAvailableError where it is to be asked again.

    A connection that ends while it is asked, as a broker's death ends it, would end aiokafka's
    sender for good (Sender._find_coordinator): the transaction would be lost with it.
    """
    try:
        return await look_up(kind, name)
    except KafkaConnectionError as error:
        raise CoordinatorNotAvailableError(str(error)) from error


async def send_batch(
    producer: AIOKafkaProducer, batch: BatchBuilder, topic: str, partition: int
) -> asyncio.Future[Any]:
    """Hand a batch over; await the answer for its acknowledgement. Raises KafkaError.

    aiokafka asks about all topics until it has to watch one, and then about the watched ones only:
    it forgets where those are that it did not have to ask for, and their batches wait for ever. So
    it watches each topic that is sent to.
    """
    producer.client.add_topic(topic)
    ack: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=partition)
    return ack


def record_batches(
    producer: AIOKafkaProducer, messages: Sequence[Message], timestamp_ms: int
) -> Iterator[BatchBuilder]:
    """The messages, in order, in as few record batches as the producer's size for one allows."""
    taken = 0
    while taken < len(messages):
        batch = producer.create_batch()
        taken += _fill(batch, islice(messages, taken, None), timestamp_ms)
        batch.close()
        yield batch


def _fill(batch: BatchBuilder, messages: Iterable[Message], timestamp_ms: int) -> int:
    """Put in what there is room for; how many that are. The first is taken whatever its size: the
    broker judges it."""
    # past ``BatchBuilder.append``, which takes as long again for each message as what it calls
    append = batch._builder.append
    taken = 0
    for message in messages:
        headers = [*message.headers] if message.headers else _NO_HEADERS
        if append(taken, timestamp_ms, message.key, message.value, headers) is None:
            break
        taken += 1
    batch._relative_offset = taken
    return taken


async def let_go(producer: AIOKafkaProducer) -> None:
    """Stop a producer, in bounded time: its flush would wait for a broker that is gone."""
    stopping = asyncio.create_task(producer.stop())
    _, late = await asyncio.wait([stopping], timeout=_STOP_S)
    if late:
        sender = producer._sender.sender_task
        sender.cancel()
        await producer.client.close()  # ends the requests that the sender waits for
        await asyncio.wait([sender], timeout=_STOP_S)
        _fail_rest(producer)
        await asyncio.wait([stopping], timeout=_STOP_S)
    if stopping.done() and not stopping.cancelled() and (error := stopping.exception()):
        log.debug("producer_stopped_with_error", error=repr(error))


def _fail_rest(producer: AIOKafkaProducer) -> None:
    """Tell those who wait for their batches; those that nobody waits for make no noise."""
    accumulator = producer._message_accumulator
    queued = [batch for batches in accumulator._batches.values() for batch in batches]
    accumulator._pending_batches.update(queued)  # there each looks for itself when it ends
    rest = list(accumulator._pending_batches)
    accumulator.fail_all(ProducerClosed())
    for batch in rest:
        for future in (batch.future, batch._drain_waiter):
            if future.done() and not future.cancelled():
                future.exception()


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner (murmur2), remembered per key: it is pure Python in aiokafka."""
    hashed: int = murmur2(key) & 0x7FFFFFFF
    return hashed % partitions
