"""Late work: in slices, while nothing else waits, bounded, and of no influence."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from gress_ml.adapters.clock import ManualClock
from gress_ml.adapters.kafka.producer import Message
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.batch import JOINT, Batch, Origins
from gress_ml.engine import afterwards
from gress_ml.engine.afterwards import LIMIT_ROWS, SLICE_ROWS, Afterwards
from gress_ml.engine.pace import LONG_S
from gress_ml.errors import BrokerUnavailable
from gress_ml.metrics import OUTPUTS, Kind, Measure, Metric
from gress_ml.operator import Later, Output, Stages, Timed
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.plan import Late, Plan, Route
from gress_ml.schema import EventSchema

DONE = Metric("done_total", Kind.COUNTER, "Rows done.")
SHED = Metric("shed_total", Kind.COUNTER, "Rows let go.", ("why",))
TIME = Metric("time_seconds", Kind.HISTOGRAM, "Time.")
HERE = ("in", 1)


class Wire:
    """A producer whose broker is a list; it may be away, or keep its acknowledgements back."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, Message]] = []
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    def known_partitions(self, topic: str) -> int:
        return 0

    async def partitions_of(self, topic: str) -> int:
        if self.away:
            raise BrokerUnavailable("away")
        return 4

    async def deliver(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> asyncio.Task[None]:
        self.sent += [(topic, partition, message) for message in messages]

        async def acknowledged() -> None:
            await self.answers.wait()
            if self.error is not None:
                raise self.error

        return asyncio.create_task(acknowledged())

    @property
    def rows(self) -> list[int]:
        return [orjson.loads(message.value or b"")["x"] for _, _, message in self.sent]


class World:
    def __init__(self) -> None:
        self.wire, self.metrics = Wire(), PrometheusMetrics()
        self.afterwards = Afterwards(
            self.wire,  # type: ignore[arg-type]
            self.metrics,
            ManualClock(),
        )
        route = Route("shadow", "shadow-topic", "ab.shadow", {"x": "x", "id": "decision_id"})
        self.plan = Plan("in", Decoder(EventSchema("e", ())), [], [route])
        self.slices: list[int] = []
        self.threads: set[int] = set()

    def stages(self, batch: Batch) -> Stages:
        self.slices.append(len(batch))
        yield Timed(lambda: self.threads.add(threading.get_ident()), [(TIME, ())])
        return Output(batch, measures=[Measure(DONE, len(batch))])

    def failing(self, batch: Batch) -> Stages:
        yield lambda: None
        raise ValueError("no")

    def offer(
        self,
        rows: int,
        partition: tuple[str, int] = HERE,
        stages: Callable[[Batch], Stages] | None = None,
        first: int = 0,
        step: str = "ab",
    ) -> None:
        columns = {"x": np.arange(first, first + rows)}
        keys = [b"k-%d" % row for row in range(rows)]
        batch = Batch.of(columns, topic="in", partition=1, first_offset=first, keys=keys)
        later = Later("shadow", batch, stages or self.stages, (SHED, ("busy",)))
        self.afterwards.offer(partition, self.plan, [Late(f"{step}.shadow", later)])

    @property
    def done(self) -> float:
        return self.metrics.value(DONE)

    @property
    def shed(self) -> float:
        return self.metrics.value(SHED, ("busy",))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.afterwards.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - what is waited for is no event
                await asyncio.sleep(0.001)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(afterwards, "GATHER_S", 0.0)
    return World()


async def test_it_is_done_in_slices(world: World) -> None:
    async with world.running():
        world.offer(SLICE_ROWS * 2 + 5)
        await world.until(lambda: world.done == SLICE_ROWS * 2 + 5)
        await world.until(lambda: world.metrics.value(OUTPUTS, ("shadow-topic",)) == world.done)
    assert world.slices == [SLICE_ROWS, SLICE_ROWS, 5]
    assert world.wire.rows == [*range(SLICE_ROWS * 2 + 5)] or sorted(world.wire.rows) == [
        *range(SLICE_ROWS * 2 + 5)
    ]
    assert world.afterwards.rows == 0
    assert b"time_seconds_count 3" in world.metrics.page()


async def test_what_takes_long_is_done_in_a_thread(world: World) -> None:
    def stages(batch: Batch) -> Stages:
        def work() -> None:
            world.threads.add(threading.get_ident())
            until = time.thread_time() + LONG_S
            while time.thread_time() < until:
                pass

        yield work
        return Output(batch, measures=[Measure(DONE, len(batch))])

    async with world.running():
        world.offer(SLICE_ROWS * 3, stages=stages)
        await world.until(lambda: world.done == 3 * SLICE_ROWS)
    assert threading.get_ident() not in world.threads


async def test_what_is_known_to_be_short_is_done_on_the_spot(world: World) -> None:
    async with world.running():
        world.offer(SLICE_ROWS)
        await world.until(lambda: world.done == SLICE_ROWS)
        assert threading.get_ident() not in world.threads  # nobody knew
        world.threads.clear()
        world.offer(SLICE_ROWS)
        await world.until(lambda: world.done == 2 * SLICE_ROWS)
    assert world.threads == {threading.get_ident()}


async def test_a_row_goes_to_the_partition_of_its_key_with_its_identity(world: World) -> None:
    async with world.running():
        world.offer(3, first=40)
        await world.until(lambda: len(world.wire.sent) == 3)
    ids = {orjson.loads(message.value or b"")["id"] for _, _, message in world.wire.sent}
    assert ids == {"in-1-40", "in-1-41", "in-1-42"}
    assert {topic for topic, _, _ in world.wire.sent} == {"shadow-topic"}


async def test_nothing_is_done_while_a_partition_is_busy(world: World) -> None:
    busy = True
    world.afterwards.yield_to(lambda: busy)
    async with world.running():
        world.offer(3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert world.slices == []
        busy = False
        await world.until(lambda: world.done == 3)


async def test_rows_of_many_batches_share_a_slice(world: World) -> None:
    for row in range(SLICE_ROWS + 3):
        world.offer(1, first=row)
    async with world.running():
        await world.until(lambda: world.done == SLICE_ROWS + 3)
        await world.until(lambda: len(world.wire.sent) == SLICE_ROWS + 3)
    assert world.slices == [SLICE_ROWS, 3]
    ids = {orjson.loads(message.value or b"")["id"] for _, _, message in world.wire.sent}
    assert ids == {f"in-1-{row}" for row in range(SLICE_ROWS + 3)}


async def test_rows_of_several_partitions_share_a_slice_and_stay_whose_they_are(
    world: World,
) -> None:
    for partition in (2, 3):
        batch = Batch.of({"x": np.arange(2)}, topic="in", partition=partition, first_offset=7)
        later = Later("shadow", batch, world.stages)
        world.afterwards.offer(("in", partition), world.plan, [Late("ab.shadow", later)])
    async with world.running():
        await world.until(lambda: len(world.wire.sent) == 4)
    assert world.slices == [4]
    ids = {orjson.loads(message.value or b"")["id"] for _, _, message in world.wire.sent}
    assert ids == {"in-2-7", "in-2-8", "in-3-7", "in-3-8"}


async def test_a_row_without_a_key_goes_to_the_partition_that_it_came_from(world: World) -> None:
    for partition in (2, 3):
        batch = Batch.of({"x": np.arange(2)}, topic="in", partition=partition)
        later = Later("shadow", batch, world.stages)
        world.afterwards.offer(("in", partition), world.plan, [Late("ab.shadow", later)])
    async with world.running():
        await world.until(lambda: len(world.wire.sent) == 4)
    assert world.slices == [4]
    for _, partition, message in world.wire.sent:
        assert orjson.loads(message.value or b"")["id"].startswith(f"in-{partition}-")


async def test_joint_batches_share_a_slice_and_their_rows_stay_whose_they_are(
    world: World,
) -> None:
    for first in (0, 10):
        origins = Origins(np.array([2, 3]), np.array([first, first]))
        batch = Batch.of({"x": np.arange(2)}, topic="in", partition=JOINT, keys=[b"a", b"b"])
        later = Later("shadow", replace(batch, origins=origins), world.stages)
        world.afterwards.offer(HERE, world.plan, [Late("ab.shadow", later)])
    async with world.running():
        await world.until(lambda: len(world.wire.sent) == 4)
    assert world.slices == [4]
    ids = {orjson.loads(message.value or b"")["id"] for _, _, message in world.wire.sent}
    assert ids == {"in-2-0", "in-3-0", "in-2-10", "in-3-10"}


async def test_rows_of_two_operators_share_nothing_and_take_turns(world: World) -> None:
    other: list[int] = []

    def stages(batch: Batch) -> Stages:
        other.append(len(world.slices))
        yield lambda: None
        return Output(batch, measures=[Measure(DONE, len(batch))])

    world.offer(SLICE_ROWS * 2)
    world.offer(3, stages=stages, step="other")
    async with world.running():
        await world.until(lambda: world.done == SLICE_ROWS * 2 + 3)
    assert other == [1]  # after the first slice of the others


async def test_few_rows_wait_for_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afterwards, "GATHER_S", 60.0)
    async with world.running():
        world.offer(SLICE_ROWS)
        await world.until(lambda: world.done == SLICE_ROWS)
        world.offer(1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert world.afterwards.rows == 1


async def test_what_is_over_a_slice_waits_for_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(afterwards, "GATHER_S", 60.0)
    async with world.running():
        world.offer(SLICE_ROWS + 3)
        await world.until(lambda: world.done == SLICE_ROWS)
        world.offer(SLICE_ROWS - 3, first=SLICE_ROWS + 3)
        await world.until(lambda: world.done == 2 * SLICE_ROWS)
    assert world.slices == [SLICE_ROWS, SLICE_ROWS]


async def test_between_two_slices_a_partition_may_come(world: World) -> None:
    world.afterwards.yield_to(lambda: len(world.slices) == 1)
    async with world.running():
        world.offer(SLICE_ROWS * 3)
        await world.until(lambda: world.done == SLICE_ROWS)
        for _ in range(20):
            await asyncio.sleep(0)
        assert world.slices == [SLICE_ROWS]


async def test_what_does_not_fit_is_let_go_and_counted(world: World) -> None:
    world.offer(LIMIT_ROWS - 10)
    world.offer(11)
    assert (world.afterwards.rows, world.shed) == (LIMIT_ROWS - 10, 11)
    world.offer(10)
    assert (world.afterwards.rows, world.shed) == (LIMIT_ROWS, 11)


async def test_a_partition_that_goes_takes_its_late_work_with_it(world: World) -> None:
    world.offer(5)
    world.offer(7, partition=("in", 2))
    world.afterwards.drop({HERE})
    assert (world.afterwards.rows, world.shed) == (7, 5)
    async with world.running():
        await world.until(lambda: world.done == 7)


async def test_the_end_lets_go_of_all_that_waits(world: World) -> None:
    world.afterwards.yield_to(lambda: True)
    async with world.running():
        world.offer(5)
        await asyncio.sleep(0)
    assert (world.afterwards.rows, world.shed) == (0, 5)


async def test_work_that_fails_is_let_go_and_the_next_is_done(world: World) -> None:
    async with world.running():
        world.offer(4, stages=world.failing, step="other")
        world.offer(3)
        await world.until(lambda: world.done == 3)
    assert world.shed == 4


async def test_a_broker_that_is_away_costs_rows_and_nothing_else(world: World) -> None:
    world.wire.away = True
    async with world.running():
        world.offer(4)
        await world.until(lambda: world.shed == 4)
        world.wire.away = False
        world.offer(3)
        await world.until(lambda: len(world.wire.sent) == 3)


async def test_while_the_broker_does_not_answer_the_queue_fills(world: World) -> None:
    world.wire.answers.clear()
    async with world.running():
        for _ in range(40):
            world.offer(SLICE_ROWS)
        await world.until(lambda: len(world.wire.sent) >= SLICE_ROWS)
        for _ in range(200):
            await asyncio.sleep(0)
        assert world.afterwards.rows > 0
        assert len(world.wire.sent) < 40 * SLICE_ROWS
        world.wire.answers.set()
        await world.until(lambda: len(world.wire.sent) == 40 * SLICE_ROWS)


async def test_a_message_that_is_refused_is_lost_and_said_so(world: World) -> None:
    world.wire.error = BrokerUnavailable("no")
    async with world.running():
        world.offer(3)
        await world.until(lambda: world.done == 3)
        for _ in range(20):
            await asyncio.sleep(0)
    assert world.metrics.value(OUTPUTS, ("shadow-topic",)) == 0
