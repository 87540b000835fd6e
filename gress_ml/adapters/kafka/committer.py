"""GroupCommitter: one owner of all commits of a worker's group; at-least-once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gress_ml.adapters.kafka.sink import Partition

CommitOffsets = Callable[[Mapping[Partition, int]], Awaitable[None]]


class GroupCommitter:
    """Collects the commits of many partitions into one request at a time.

    While a request is on its way the next ones gather; each ``commit`` returns, or raises, with
    the request that carried it.
    """

    def __init__(self, commit_offsets: CommitOffsets) -> None:
        self._commit_offsets = commit_offsets
        self._waiting: dict[Partition, int] = {}
        self._next: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def commit(self, partition: Partition, offset: int) -> None:
        """Commit one partition's offset. Raises what the commit raises."""
        self._waiting[partition] = offset
        if self._next is None:
            self._next = asyncio.create_task(self._flush())
            self._next.add_done_callback(_heard)  # those who asked may all be gone by then
        await asyncio.shield(self._next)

    async def _flush(self) -> None:
        async with self._lock:  # waits for the request under way; meanwhile others join
            offsets, self._waiting = self._waiting, {}
            self._next = None
            await self._commit_offsets(offsets)


def _heard(flush: asyncio.Task[None]) -> None:
    if not flush.cancelled():
        flush.exception()
