"""Prefetch: when the next records are asked for."""

from __future__ import annotations

import asyncio

from gress_ml.adapters.kafka.sink import Partition

#: With so many records since the partitions rested the next ones are asked for at once: to wait for
#: them afterwards would cost a good part of what deciding takes.
MANY_ROWS = 512
#: So long a request waits at most; a round trip to the broker is little beside longer decisions.
PATIENCE_S = 0.02


class Prefetch:
    """Few records are decided before the next ones are asked for; many while these are on the way.

    A broker answers at once with what it has. An answer that comes while records are decided waits
    until they are, and with it all that came after it was made: they go a round later. Asked for
    when the partitions rest, it has all that came meanwhile, and fewer rounds share the work.
    """

    def __init__(self) -> None:
        self._active: set[Partition] = set()
        self._rows = 0  # that came since all partitions rested
        self._waiting: list[asyncio.Future[None]] = []

    def delivered(self, partition: Partition, rows: int) -> None:
        """Records came, and are about to be decided."""
        self._active.add(partition)
        self._rows += rows

    def rested(self, partition: Partition) -> None:
        """A partition has nothing to decide for now: no records, or they wait for others."""
        self._active.discard(partition)
        if not self._active:
            self._rows = 0
            self._release()

    async def ready(self) -> None:
        """Return when it is time to ask."""
        if self._rows >= MANY_ROWS or not self._active:
            return
        loop = asyncio.get_running_loop()
        resting = loop.create_future()
        self._waiting.append(resting)
        alarm = loop.call_later(PATIENCE_S, self._release)
        try:
            await resting
        finally:
            alarm.cancel()

    def _release(self) -> None:
        for resting in self._waiting:
            if not resting.done():
                resting.set_result(None)
        self._waiting.clear()
