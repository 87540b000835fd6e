"""Exactly-once: one transactional producer per input partition; outputs and offset commit as one.

aiokafka does not send the group's metadata with the offsets (KIP-447), so the broker cannot tell
that a member was thrown out. The transactional id does it instead: it names the input partition,
and who opens that partition fences whoever had it before (KIP-98). See decision record 0007.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    IllegalOperation,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFenced,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from gress_ml.adapters.kafka.outlet import OutletLostError
from gress_ml.adapters.kafka.producer import (
    MAX_BATCH_BYTES,
    Message,
    OutputProducer,
    TooLargeError,
    connected,
    let_go,
    record_batches,
    send_batch,
)
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.errors import BrokerUnavailable
from gress_ml.ports import Clock

log = structlog.get_logger(__name__)

#: How long Kafka keeps a transaction open whose worker is gone and whose partition nobody opens.
#: Readers of committed records wait for it. Twice a session timeout and the time to open.
_TRANSACTION_TIMEOUT_S = 20.0
#: How long Kafka may take to tell a new owner that its predecessor is out.
_FENCE_S = 15.0
_ABORT_S = 1.0

_Acks = Sequence[tuple[BatchBuilder, "asyncio.Future[Any]"]]


@dataclass(slots=True)
class SizeLimits:
    """What brokers were seen to refuse. A refusal ends a transaction, so it is not asked for twice.

    ``pack`` is how large a record batch of several messages is made; ``refused`` is the size of the
    smallest lone message that a topic did not take.
    """

    pack: int = MAX_BATCH_BYTES
    refused: dict[str, int] = field(default_factory=dict)

    def learn(self, topic: str, batch: BatchBuilder) -> None:
        """A broker refused this batch."""
        if batch.record_count() > 1:
            self.pack = max(batch.size() // 2, 1)
        else:
            self.refused[topic] = min(batch.size(), self.refused.get(topic, batch.size()))

    def check(self, topic: str, batch: BatchBuilder) -> None:
        """Raises TooLargeError for what the broker would refuse."""
        limit = self.refused.get(topic)
        if limit is not None and batch.record_count() == 1 and batch.size() >= limit:
            raise TooLargeError(
                f"topic {topic!r} takes no message of {batch.size()} bytes: it refused {limit}; "
                "raise max.message.bytes of the topic, or send smaller messages"
            )


class TransactionalOutlet:
    """One partition's transactions, one after the other; the first is open from the start."""

    def __init__(
        self,
        partition: Partition,
        group: str,
        producer: AIOKafkaProducer,
        topics: OutputProducer,
        limits: SizeLimits,
        clock: Clock,
    ) -> None:
        self._partition = TopicPartition(*partition)
        self._group = group
        self._producer = producer
        self._limits = limits
        self._clock = clock
        self._lost: OutletLostError | None = None
        self._dirty = False  # whether something was delivered since the last commit
        self._committing = False
        self.known_partitions = topics.known_partitions
        self.partitions_of = topics.partitions_of

    async def deliver(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> asyncio.Task[None]:
        """See Outlet. Nothing is sent twice: what fails voids the whole transaction."""
        if self._lost is not None:
            raise self._lost
        batches = [*record_batches(self._producer, messages, self._clock.wall_ms())]
        for batch in batches:
            self._limits.check(topic, batch)
        self._dirty = True
        acks = [(batch, await self._accepted(topic, partition, batch)) for batch in batches]
        return asyncio.create_task(self._acknowledged(topic, acks))

    async def _accepted(
        self, topic: str, partition: int, batch: BatchBuilder
    ) -> asyncio.Future[Any]:
        """Wait for the batch's turn, however long the one before it takes to get through."""
        while True:
            try:
                ack: asyncio.Future[Any]
                ack = await send_batch(self._producer, batch, topic, partition)
            except KafkaTimeoutError:
                log.warning("waiting_for_kafka", topic=topic, partition=partition)
            except (KafkaError, IllegalOperation) as error:
                raise self._lose(error) from error
            else:
                return ack

    async def _acknowledged(self, topic: str, acks: _Acks) -> None:
        for batch, ack in acks:
            try:
                await ack
            except MessageSizeTooLargeError as error:
                self._limits.learn(topic, batch)
                raise self._lose(error) from error
            except KafkaError as error:
                raise self._lose(error) from error

    async def commit(self, offset: int) -> None:
        """The offset joins the transaction, and all of it becomes visible. Raises OutletLostError.

        While the broker is away this waits: aiokafka asks until it answers.
        """
        if self._lost is not None:
            raise self._lost
        self._committing = True
        offsets = {self._partition: OffsetAndMetadata(offset, "")}
        try:
            await self._producer.send_offsets_to_transaction(offsets, self._group)
            await self._producer.commit_transaction()
            await self._producer.begin_transaction()
        # aiokafka asserts what it may do in its present state: the state after a failure is one
        # where nothing is allowed
        except (KafkaError, IllegalOperation, AssertionError) as error:
            raise self._lose(error) from error
        self._committing = self._dirty = False

    async def close(self) -> None:
        """Take back what was not committed, if Kafka answers soon; the next owner does it else."""
        clean = self._lost is None and not self._committing
        self._lose(IllegalOperation("closed"))
        if clean and self._dirty:
            aborting = asyncio.ensure_future(self._producer.abort_transaction())
            await asyncio.wait([aborting], timeout=_ABORT_S)
            if aborting.done() and not aborting.cancelled():
                aborting.exception()  # the next owner's fence aborts as well
            aborting.cancel()
        await let_go(self._producer)

    def _lose(self, error: BaseException) -> OutletLostError:
        if self._lost is None:
            why = "fenced off" if isinstance(error, ProducerFenced) else repr(error)
            self._lost = OutletLostError(f"transaction of {self._partition}: {why}")
        return self._lost


class TransactionalOutlets:
    """Outlets of ``guarantee: exactly_once``; ``topics`` answers for partition counts."""

    def __init__(
        self, client: Mapping[str, Any], group: str, topics: OutputProducer, clock: Clock
    ) -> None:
        self._clock = clock
        self._client = client
        self._group = group
        self._topics = topics
        self._limits = SizeLimits()

    async def open(self, partition: Partition) -> TransactionalOutlet:
        """Fence off who wrote for the partition before, which ends its open transaction.

        When this returns, the committed offset is the last one: no other commit is on its way.
        Raises BrokerUnavailable, KafkaError.
        """
        topic, number = partition
        try:
            async with asyncio.timeout(_FENCE_S):
                producer = await connected(
                    self._client,
                    transactional_id=f"{self._group}/{topic}/{number}",
                    transaction_timeout_ms=round(_TRANSACTION_TIMEOUT_S * 1000),
                    max_batch_size=self._limits.pack,
                    # a transaction's end takes some milliseconds to be written; the next step
                    # waits for it
                    retry_backoff_ms=20,
                )
        except TimeoutError as error:
            raise BrokerUnavailable(f"no transaction for {partition}: {error!r}") from error
        try:
            await producer.begin_transaction()
        except BaseException:
            await let_go(producer)
            raise
        return TransactionalOutlet(
            partition, self._group, producer, self._topics, self._limits, self._clock
        )
