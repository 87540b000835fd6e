"""A partition opens with the newest state that can be had, whatever lies in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.adapters.snapshots import FolderSnapshots, MemorySnapshots
from gress_ml.batch import Batch
from gress_ml.engine.restoring import restored
from gress_ml.errors import SnapshotError, StoreUnavailable
from gress_ml.metrics import SNAPSHOTS_REFUSED
from gress_ml.operator import Operator, OperatorConfig, Output, Snapshot
from gress_ml.ports import SavedState, SnapshotStore
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.plan import Plan, Step
from gress_ml.schema import Columns, ColumnType, EventSchema, Field

WHERE = ("t", ("in", 0))


class Remembering(Operator[OperatorConfig]):
    """State: what it was given, of layout 1."""

    name = "remembering"
    Config = OperatorConfig

    def __init__(self) -> None:
        super().__init__(OperatorConfig())
        self.state = b"fresh"

    def reads(self) -> frozenset[str]:
        return frozenset()

    def signature(self, columns: Columns) -> Columns:
        return columns

    def process(self, batch: Batch) -> Output:
        return Output(batch)

    def snapshot(self) -> Snapshot:
        return Snapshot(1, self.state)

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.version != 1:
            raise SnapshotError(f"layout {snapshot.version}")
        self.state = snapshot.data


def plan_of(*operators: Operator[OperatorConfig]) -> Plan:
    schema = EventSchema("in", [Field("x", ColumnType.FLOAT, required=True)])
    steps = [Step(name, each, "in") for name, each in zip("ab", operators, strict=False)]
    return Plan("in", Decoder(schema), steps, [])


def stateful() -> Plan:
    return plan_of(Remembering(), Remembering())


def states(plan: Plan) -> list[bytes]:
    return [step.operator.snapshot().data for step in plan.steps]


def saved(offset: int, *, layout_of_b: int = 1) -> SavedState:
    data = str(offset).encode()
    return SavedState(offset, {"a": (1, data), "b": (layout_of_b, data)})


async def opened(
    store: SnapshotStore, at: int, build: Callable[[], Plan] = stateful
) -> tuple[Plan, int | None, float]:
    metrics = PrometheusMetrics()
    plan, offset = await restored(build, store, metrics, *WHERE, at)
    return plan, offset, metrics.value(SNAPSHOTS_REFUSED, ("in",))


@pytest.mark.parametrize(("at", "expected"), [(8, None), (9, 9), (99, 9), (100, 100), (999, 100)])
async def test_the_newest_at_or_before_the_committed_offset_is_restored(
    at: int, expected: int | None
) -> None:
    store = MemorySnapshots()
    for offset in (9, 100):
        await store.save("t", "in", 0, saved(offset))
    plan, offset, refused = await opened(store, at)
    assert offset == expected
    assert states(plan) == [b"fresh" if offset is None else str(offset).encode()] * 2
    assert refused == 0


async def test_one_that_an_operator_refuses_is_passed_over_in_whole() -> None:
    """Step a had taken its part when b refused: both must have the older state."""
    store = MemorySnapshots()
    await store.save("t", "in", 0, saved(10))
    await store.save("t", "in", 0, saved(20, layout_of_b=2))
    plan, offset, refused = await opened(store, 99)
    assert (offset, refused) == (10, 1)
    assert states(plan) == [b"10", b"10"]


async def test_where_none_can_be_read_the_state_begins_fresh(tmp_path: Path) -> None:
    store = FolderSnapshots(tmp_path)
    for offset in (10, 20, 30):
        await store.save("t", "in", 0, saved(offset))
    for number, path in enumerate(sorted(tmp_path.rglob("*.snapshot"))):
        path.write_bytes((b"", path.read_bytes()[:-1], b"\x80\x04.")[number])
    plan, offset, refused = await opened(store, 99)
    assert (offset, refused) == (None, 3)
    assert states(plan) == [b"fresh", b"fresh"]


async def test_one_that_was_half_restored_leaves_nothing_behind() -> None:
    store = MemorySnapshots()
    await store.save("t", "in", 0, saved(20, layout_of_b=2))
    plan, offset, _ = await opened(store, 99)
    assert offset is None
    assert states(plan) == [b"fresh", b"fresh"]


async def test_a_store_that_is_away_is_waited_for() -> None:
    class Away(MemorySnapshots):
        trouble = 2

        async def load(self, topology: str, topic: str, partition: int, offset: int) -> SavedState:
            self.trouble -= 1
            if self.trouble >= 0:
                raise StoreUnavailable("away")
            return await super().load(topology, topic, partition, offset)

    store = Away()
    await store.save("t", "in", 0, saved(10))
    plan, offset, refused = await opened(store, 99)
    assert (offset, refused) == (10, 0)
    assert states(plan) == [b"10", b"10"]


async def test_without_state_the_store_is_not_asked() -> None:
    class Closed(MemorySnapshots):
        async def offsets(self, topology: str, topic: str, partition: int) -> list[int]:
            raise AssertionError("asked")

    assert (await opened(Closed(), 99, plan_of))[1] is None
