"""History: says from which offset on which model version decides a partition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from gress_ml.adapters.kafka.decided import DECIDED_TOPIC, Decided
from gress_ml.adapters.kafka.sink import Partition
from gress_ml.bundle import ModelUse
from gress_ml.ports import Clock
from gress_ml.rfc3339 import rfc3339
from gress_ml.runtime.plan import Produced


class History:
    """Makes the records of a worker. ``ensure`` says whether their topic is there."""

    def __init__(self, topology: str, clock: Clock, ensure: Callable[[], Awaitable[bool]]) -> None:
        self._topology = topology
        self._clock = clock
        self._ensure = ensure
        self._on: bool | None = None
        self._asking = asyncio.Lock()

    async def ready(self) -> None:
        """Find out, once, whether there is a topic to write to."""
        async with self._asking:
            if self._on is None:
                self._on = await self._ensure()

    def records(
        self, partition: Partition, offset: int, uses: Iterable[ModelUse]
    ) -> Produced | None:
        """That these models decide from ``offset`` on, as an output of the batch that begins there.

        None when there is nothing to say, or nowhere to say it.
        """
        time = rfc3339(self._clock.wall_ms())
        found = [
            Decided(self._topology, *partition, offset, use.model, use.reference, use.version, time)
            for use in dict.fromkeys(uses)
        ]
        if not found or not self._on:
            return None
        return Produced(
            DECIDED_TOPIC,
            keys=[one.key for one in found],
            values=[one.value for one in found],
            records=[0] * len(found),
        )
