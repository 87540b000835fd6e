"""At-least-once: all partitions of a worker share a producer; offsets follow acknowledgements."""

from __future__ import annotations

from gress_ml.adapters.kafka.committer import GroupCommitter
from gress_ml.adapters.kafka.producer import OutputProducer
from gress_ml.adapters.kafka.sink import Partition


class SharedOutlet:
    """The part of one partition in what the worker shares."""

    def __init__(
        self, partition: Partition, producer: OutputProducer, committer: GroupCommitter
    ) -> None:
        self._partition = partition
        self._producer = producer
        self._committer = committer
        self.known_partitions = producer.known_partitions
        self.partitions_of = producer.partitions_of
        self.deliver = producer.deliver

    async def commit(self, offset: int) -> None:
        """Raises CommitRefusedError, BrokerUnavailable."""
        await self._committer.commit(self._partition, offset)

    async def close(self) -> None:
        """Nothing: the producer outlives the partition."""


class SharedOutlets:
    """Outlets of ``guarantee: at_least_once``."""

    def __init__(self, producer: OutputProducer, committer: GroupCommitter) -> None:
        self._producer = producer
        self._committer = committer

    async def open(self, partition: Partition) -> SharedOutlet:
        return SharedOutlet(partition, self._producer, self._committer)
