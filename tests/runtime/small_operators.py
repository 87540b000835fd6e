"""Small operators for the tests of the runtime, and a way to drive a plan with lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from gress_ml.batch import Array, Batch
from gress_ml.metrics import Kind, Measure, Metric
from gress_ml.operator import (
    Later,
    Lookup,
    Operator,
    OperatorConfig,
    Output,
    Rejected,
    Snapshot,
    Stages,
    Write,
)
from gress_ml.record import FileRecord
from gress_ml.runtime.decode import Decoder
from gress_ml.runtime.plan import Call, Fetch, Flow, Plan, Result, Route, Step
from gress_ml.schema import Column, Columns, ColumnType, EventSchema, Field, columns_of

SEEN = Metric("seen_total", Kind.COUNTER, "Rows seen.")

SCHEMA = EventSchema(
    "event",
    (
        Field("id", ColumnType.STRING, required=True),
        Field("x", ColumnType.FLOAT, default=0.0),
        Field("j", ColumnType.JSON),
    ),
)


class _Small(Operator[OperatorConfig]):
    Config = OperatorConfig

    def __init__(self) -> None:
        super().__init__(OperatorConfig())

    def reads(self) -> frozenset[str]:
        return frozenset({"x"})

    def signature(self, columns: Columns) -> Columns:
        return columns

    def process(self, batch: Batch) -> Output:
        return Output(batch)


class Postponed(_Small):
    """Leaves for later to say twice what x is; fails as a whole when a row has x = 13."""

    name = "postponed"

    @property
    def late_sides(self) -> frozenset[str]:
        return frozenset({"twice"})

    def process(self, batch: Batch) -> Output:
        if (batch["x"] == 13.0).any():
            raise ValueError("13")
        return Output(batch, later=[Later("twice", batch, self._twice)])

    def _twice(self, batch: Batch) -> Stages:
        doubled = yield lambda: batch["x"] * 2
        return Output(batch.with_columns({"twice": doubled}), measures=[Measure(SEEN, len(batch))])


class Poisoned(_Small):
    """Adds ``y`` = 2x; fails as a whole when a row has x = 13, rejects x < 0, splits off x > 100.

    ``calls`` notes the sizes of all batches.
    """

    name = "poisoned"

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def process(self, batch: Batch) -> Output:
        self.calls.append(len(batch))
        x = batch["x"]
        if (x == 13).any():
            raise ValueError("thirteen")
        bad, large = x < 0, x > 100
        out = batch.take(~bad).with_columns({"y": 2 * x[~bad]})
        return Output(
            out,
            rejected=[
                Rejected(offset, "negative", "x is below 0")
                for offset in batch.offsets[bad].tolist()
            ],
            writes=[Write("seen", ("x",), [b"k"], np.array([[x[-1]]], np.float32))],
            # a stream that is there only when it has rows
            side={"large": batch.take(large)} if large.any() else {},
            measures=[Measure(SEEN, len(batch))],
            logs=[{"rows": len(batch)}],
        )


class SideAlways(_Small):
    """A side stream that is there, if empty, for every batch; fails as a whole on x = 13."""

    name = "side_always"

    def process(self, batch: Batch) -> Output:
        if (batch["x"] == 13).any():
            raise ValueError("thirteen")
        return Output(batch, side={"large": batch.take(batch["x"] > 100)})


class Summing(_Small):
    """State: the sum of x per id so far; adds it as ``sum``. Fails as a whole on x = 13."""

    name = "summing"

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[str, float] = {}

    def process(self, batch: Batch) -> Output:
        if (batch["x"] == 13).any():
            raise ValueError("thirteen")
        sums = np.empty(len(batch))
        for row, (key, x) in enumerate(zip(batch["id"], batch["x"].tolist(), strict=True)):
            self.sums[key] = sums[row] = self.sums.get(key, 0.0) + x
        return Output(batch.with_columns({"sum": sums}))

    def snapshot(self) -> Snapshot:
        return Snapshot(1, json.dumps(self.sums).encode())

    def restore(self, snapshot: Snapshot) -> None:
        self.sums = json.loads(snapshot.data)


class LookingUp(_Small):
    """Adds what the store has for each id; fails as a whole on x = 13."""

    name = "looking_up"

    def lookups(self, batch: Batch) -> Sequence[Lookup]:
        return [Lookup("found", "table", ("a", "b"), [key.encode() for key in batch["id"]])]

    def process(self, batch: Batch) -> Output:
        if (batch["x"] == 13).any():
            raise ValueError("thirteen")
        return Output(batch)


class Switched(_Small):
    """Takes switches of its own name."""

    name = "switched"

    def __init__(self, switch: str) -> None:
        super().__init__()
        self.switch, self.value, self.closed = switch, "", 0

    def control(self, switch: str, value: str) -> bool:
        if switch == self.switch:
            self.value = value
        return switch == self.switch

    def close(self) -> None:
        self.closed += 1


class Applying(_Small):
    """Does what a function says."""

    name = "applying"

    def __init__(self, function: Callable[[Batch], Output]) -> None:
        super().__init__()
        self.function = function

    def process(self, batch: Batch) -> Output:
        return self.function(batch)


def plan(*steps: Step, routes: Sequence[Route] = ()) -> Plan:
    return Plan("events", Decoder(SCHEMA), steps, routes)


def event(offset: int, x: Any = 0.0, *, key: str = "k", **more: Any) -> FileRecord:
    value = orjson.dumps({"id": key, "x": x, **more})
    return FileRecord(offset, value, key.encode(), 1000 + offset)


Answer = Callable[[Fetch], Sequence[Array | None]]


def away(fetch: Fetch) -> Sequence[None]:
    return [None] * len(fetch.lookups)


def drive(
    plan: Plan,
    records: Sequence[FileRecord],
    answer: Answer = away,
    *,
    topic: str = "in",
    partition: int = 0,
) -> Result:
    """Run a batch through a plan as the shell does."""
    return drive_flow(plan.run(topic, partition, records), answer)


def drive_flow(flow: Flow, answer: Answer = away) -> Result:
    """Run a flow to its end as the shell does."""
    reply: Any = None
    error: Exception | None = None
    while True:
        try:
            wish = flow.send(reply) if error is None else flow.throw(error)
        except StopIteration as end:
            result: Result = end.value
            return result
        reply, error = None, None
        try:
            match wish:
                case Fetch():
                    reply = answer(wish)
                case Call(step, batch):
                    reply = step.operator.process(batch)
        except Exception as raised:
            error = raised


def messages(result: Result, topic: str) -> list[Mapping[str, Any]]:
    """What leaves on a topic, in order."""
    return [
        orjson.loads(value)
        for produced in result.produced
        if produced.topic == topic
        for value in produced.values
    ]


def sources(result: Result, topic: str) -> list[int]:
    """The positions of the input records of what leaves on a topic, in order."""
    return [
        position
        for produced in result.produced
        if produced.topic == topic
        for position in produced.records
    ]


X = columns_of([Column("x", ColumnType.FLOAT)])
