"""Outlet: where one input partition's outputs and offsets go. The one place of a guarantee."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from gress_ml.adapters.kafka.producer import Message
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.errors import GressError


class OutletLostError(GressError):
    """What was sent since the last commit is void: open the partition anew from that commit.

    Another owner has fenced this one off, or Kafka and the producer disagree about what came.
    """


class Outlet(Protocol):
    """Takes the outputs of one input partition, then the offset up to which it is decided."""

    def known_partitions(self, topic: str) -> int:
        """How many partitions a topic has by the last metadata; 0 when it is not in there."""
        ...

    async def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has. Raises BrokerUnavailable."""
        ...

    async def deliver(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> asyncio.Task[None]:
        """Hand messages over in order; await the answer for their acknowledgement.

        Raises OutletLostError, and TooLargeError for what is known to be refused: nothing of it was
        sent then. The answer raises both as well.
        """
        ...

    async def commit(self, offset: int) -> None:
        """Make everything before this offset done. All that was delivered is acknowledged by then.

        Raises CommitRefusedError, BrokerUnavailable: it may be tried again. Raises OutletLostError.
        """
        ...

    async def close(self) -> None:
        """Let go, in bounded time. What was not committed is void."""
        ...


class Outlets(Protocol):
    """Opens outlets; one per worker."""

    async def open(self, partition: Partition) -> Outlet:
        """Become the only one that writes for a partition. Raises BrokerUnavailable.

        To be called before its committed offset is read: a predecessor may commit until then.
        """
        ...
