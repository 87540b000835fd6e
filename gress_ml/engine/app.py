"""BatchApp: the Faust app of a worker, whose batch topics go to a sink."""

from __future__ import annotations

from typing import cast

import faust
from faust.tables import TableManager

from gress_ml.adapters.kafka.sink import BatchSink
from gress_ml.adapters.kafka.transport import Consumer


class BatchApp(faust.App):
    """A Faust app whose batch topics go to a sink; agents, timers and leader election as ever."""

    batch_sink: BatchSink

    @property
    def assigned(self) -> set[faust.types.TP] | None:
        """The partitions that the group gave this worker; None before it has joined."""
        return self._assignment

    def _create_directories(self) -> None:
        """None: Faust keeps tables there, and would leave a folder wherever a worker starts."""

    async def on_stop(self) -> None:
        if self._consumer is not None:
            await cast(Consumer, self._consumer).let_go(self.assigned or ())
        await super().on_stop()


class Tables(TableManager):
    """Faust's tables, without the second that it gives agents to make some after their start.

    Ours are made before the worker runs. Until it has joined its group, partitions may stand still.
    """

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()
