"""One partition from assignment to revocation, with memory in place of Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.kafka.producer import Message
from gress_ml.adapters.kafka.transport import CommitRefusedError
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.adapters.snapshots import MemorySnapshots
from gress_ml.batch import Batch
from gress_ml.engine.afterwards import Afterwards
from gress_ml.engine.calls import Calls
from gress_ml.engine.outages import Outages
from gress_ml.engine.partition import PartitionRunner, Shell
from gress_ml.engine.prefetch import Prefetch
from gress_ml.engine.publishing import Publishing
from gress_ml.engine.together import Together
from gress_ml.errors import BrokerUnavailable, StoreUnavailable
from gress_ml.metrics import COMMITS, EVENTS
from gress_ml.operator import BatchPolicy, Operator, OperatorConfig, Output, Snapshot
from gress_ml.ports import SavedState
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.plan import Plan, Route, Step
from gress_ml.runtime.task import PartitionTask, TaskSettings
from gress_ml.schema import Columns, ColumnType, EventSchema, Field


class Counting(Operator[OperatorConfig]):
    """State: the sum of all x so far."""

    name = "counting"
    Config = OperatorConfig

    def __init__(self) -> None:
        super().__init__(OperatorConfig())
        self.total = 0.0
        self.closed = 0

    def reads(self) -> frozenset[str]:
        return frozenset({"x"})

    def signature(self, columns: Columns) -> Columns:
        return columns

    def process(self, batch: Batch) -> Output:
        totals = self.total + np.cumsum(batch["x"])
        self.total = float(totals[-1])
        return Output(batch.with_columns({"total": totals}))

    def snapshot(self) -> Snapshot:
        return Snapshot(1, str(self.total).encode())

    def restore(self, snapshot: Snapshot) -> None:
        self.total = float(snapshot.data)

    def close(self) -> None:
        self.closed += 1


class Wire:
    """An ``Outlet`` whose broker is two lists; it may hold or fail acknowledgements and commits."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.errors: list[Exception] = []  # those of the next commits
        self.closed = 0
        self.values: list[bytes | None] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    def known_partitions(self, topic: str) -> int:
        return 0

    async def partitions_of(self, topic: str) -> int:
        return 4

    async def deliver(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> Awaitable[None]:
        self.values += [message.value for message in messages]

        async def acknowledged() -> None:
            await self.open.wait()
            if self.error is not None:
                raise self.error

        return asyncio.ensure_future(acknowledged())

    async def commit(self, offset: int) -> None:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        self.offsets.append(offset)

    async def close(self) -> None:
        self.closed += 1


class NoSnapshots(MemorySnapshots):
    """A snapshot store that does not answer."""

    async def save(self, topology: str, topic: str, partition: int, state: SavedState) -> None:
        raise StoreUnavailable("away")


async def nobody(model: str, alias: str, version: str, time: str) -> None:
    raise AssertionError("no model is published")


class World:
    """A runner with its surroundings."""

    def __init__(self, *, start: int = 0, committed: int = 0, snapshots: Any = None) -> None:
        clock, self.metrics = SystemClock(), PrometheusMetrics()
        self.wire, self.prefetch = Wire(), Prefetch()
        self.snapshots = MemorySnapshots() if snapshots is None else snapshots
        self.operator = Counting()
        schema = EventSchema("e", (Field("x", ColumnType.FLOAT, required=True),))
        route = Route("o", "out", "c", {"total": "total"})
        self.plan = Plan("in", Decoder(schema), [Step("c", self.operator, "in")], [route])
        calls = Calls(clock, self.metrics)
        shell = Shell(
            topology="t",
            clock=clock,
            together=Together(calls.run),
            prefetch=self.prefetch,
            most_rows=calls.most_rows,
            outlets=None,  # type: ignore[arg-type] # the outlet is given
            features=MemoryFeatures(clock),
            snapshots=self.snapshots,
            metrics=self.metrics,
            afterwards=Afterwards(None, self.metrics, clock),  # type: ignore[arg-type] # no late work
            outages=Outages(self.metrics, clock.monotonic()),
            publishing=Publishing(None, nobody, self.metrics, clock),
        )
        config = TaskSettings(BatchPolicy(2), 0.01, 0.02, in_flight_limit=2)
        task = PartitionTask(
            start=start,
            committed=committed,
            stateful=True,
            settings=config,
            now=clock.monotonic(),
            restored=start < committed,
        )
        self.runner = PartitionRunner(
            ("in", 0),
            self.plan,
            task,
            "in.dlq",
            self.wire,  # type: ignore[arg-type] # answers with a future where a task is promised
            shell,
        )
        self.running = asyncio.create_task(self.runner.run())

    def deliver(self, *offsets: int) -> None:
        self.runner.deliver([FileRecord(o, b'{"x": 1}', b"k", 1) for o in offsets])

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - the condition is in code under test
                await asyncio.sleep(0.001)

    async def end(self) -> None:
        self.runner.drain()
        async with asyncio.timeout(60):
            await self.running
        await self.runner.close()

    @property
    def totals(self) -> list[float]:
        return [orjson.loads(value or b"")["total"] for value in self.wire.values]


async def test_records_become_outputs_commits_and_snapshots() -> None:
    world = World()
    world.deliver(0, 1, 2)
    world.deliver(5)
    await world.until(lambda: world.wire.offsets[-1:] == [6])
    assert world.totals == [1, 2, 3, 4]
    await world.end()
    assert world.wire.offsets == sorted(set(world.wire.offsets))
    state = await world.snapshots.load("t", "in", 0, 6)
    assert state == SavedState(6, {"c": (1, b"4.0")})
    assert world.operator.closed == 1
    assert world.metrics.value(EVENTS, ("in",)) == 4


async def test_a_replay_rebuilds_the_state_and_produces_nothing() -> None:
    world = World(start=0, committed=3)
    world.deliver(0, 1, 2, 3)
    await world.until(lambda: world.wire.offsets == [4])
    assert world.totals == [4]
    await world.end()


async def test_nothing_is_committed_before_its_outputs_are_acknowledged() -> None:
    world = World()
    world.wire.open.clear()
    world.deliver(0, 1, 2, 3, 4, 5)
    await world.until(lambda: len(world.wire.values) == 4)  # two batches are in flight
    await asyncio.sleep(0.05)
    assert len(world.wire.values) == 4
    assert world.wire.offsets == []
    world.wire.open.set()
    await world.until(lambda: world.wire.offsets[-1:] == [6])
    await world.end()


async def test_a_drain_waits_for_acknowledgements_and_commits_them() -> None:
    world = World()
    world.wire.open.clear()
    world.deliver(0, 1)
    await world.until(lambda: len(world.wire.values) == 2)
    world.runner.drain()
    await asyncio.sleep(0.02)
    assert not world.running.done()
    world.deliver(2)  # too late
    world.wire.open.set()
    await world.end()
    assert world.wire.offsets == [2]
    assert len(world.wire.values) == 2


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), CommitRefusedError("gone")])
async def test_a_failed_commit_is_counted_and_tried_again(error: Exception) -> None:
    world = World()
    world.wire.errors = [error, error]
    world.deliver(0)
    await world.until(lambda: world.wire.offsets == [1])
    result = "refused" if isinstance(error, CommitRefusedError) else "unavailable"
    assert world.metrics.value(COMMITS, (result,)) == 2
    assert world.metrics.value(COMMITS, ("committed",)) == 1
    await world.end()


async def test_without_a_snapshot_store_work_goes_on_and_nothing_is_committed() -> None:
    world = World(snapshots=NoSnapshots())
    world.deliver(0, 1, 2, 3)
    await world.until(lambda: len(world.wire.values) == 4)
    await asyncio.sleep(0.05)
    await world.end()
    assert world.wire.offsets == []


async def test_an_error_that_nobody_expects_ends_the_partition_with_it() -> None:
    world = World()
    world.wire.error = RuntimeError("unheard of")
    world.deliver(0)
    with pytest.raises(RuntimeError, match="unheard of"):
        async with asyncio.timeout(60):
            await world.running
    await world.runner.close()
    assert world.wire.offsets == []


async def test_bad_records_alone_are_buried_and_committed() -> None:
    world = World()
    world.runner.deliver([FileRecord(0, b"nonsense"), FileRecord(1, None)])
    await world.until(lambda: world.wire.offsets == [2])
    assert world.wire.values == [b"nonsense", None]
    await world.end()


async def test_an_idle_partition_sleeps() -> None:
    world = World()
    world.deliver(0)
    await world.until(lambda: world.runner.task.committable == 1 and world.wire.offsets == [1])
    asked = 0
    ask = world.runner.task.next

    def counted(now: float) -> Any:
        nonlocal asked
        asked += 1
        return ask(now)

    world.runner.task.next = counted  # type: ignore[method-assign]
    async with asyncio.timeout(60):
        while True:  # the last snapshot is still to come
            before = asked
            await asyncio.sleep(0.1)
            if asked <= before + 1:
                break
    await world.end()
