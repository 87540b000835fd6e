"""BatchSink: who takes the records of batch topics from the transport."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from gress_ml.record import Record

#: Topic name and partition number. Faust's and aiokafka's own tuples are equal to it.
Partition = tuple[str, int]


class BatchSink(Protocol):
    """The transport's other side: partitions come, records come, partitions go."""

    @property
    def topics(self) -> Collection[str]:
        """Topics whose records are handed on as batches."""
        ...

    async def claim(self, partitions: Collection[Partition]) -> None:
        """Become the only one that writes for these: their committed offsets are read after it."""
        ...

    async def assigned(self, partition: Partition, committed: int, beginning: int) -> int:
        """Get ready for a partition; answers the offset to read from.

        It is at or before ``committed``, and not before the ``beginning`` of what is still there.
        """
        ...

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Finish what is under way in these partitions, in bounded time; no records come after."""
        ...

    def wants(self, partition: Partition) -> bool:
        """False while the partition is paused for back-pressure."""
        ...

    def deliver(self, partition: Partition, records: Sequence[Record]) -> None:
        """Take the records that are there now."""
        ...

    async def ready(self) -> None:
        """Return when it is time to ask the broker for more records."""
        ...
