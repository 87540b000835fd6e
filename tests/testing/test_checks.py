"""Each check fails on an operator that breaks just its law, and passes on a good one."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from gress_ml.batch import Batch, concat
from gress_ml.errors import SnapshotError
from gress_ml.operator import (
    Example,
    Later,
    Lookup,
    Operator,
    OperatorConfig,
    Output,
    Rejected,
    Snapshot,
    Stages,
)
from gress_ml.schema import Column, Columns, ColumnType, columns_of
from gress_ml.testing import CHECKS, Harness, batch_of, checks_for, rows_of

COLUMNS = columns_of(
    [
        Column("x", ColumnType.FLOAT, nullable=True),
        Column("name", ColumnType.STRING, nullable=True),
        Column("at", ColumnType.TIMESTAMP, nullable=True),
    ]
)
ROWS = [{"x": 1.0, "name": "a"}, {"x": None}, {"x": 3.0}]


class Config(OperatorConfig):
    limit: int = 3
    """How many values are remembered."""


EXAMPLE = Example(
    title="running totals",
    config={},
    columns=COLUMNS,
    rows=ROWS,
    expected=[{"total": 1.0}, {"total": 4.0}],
    rejected={1: "missing_value"},
)


class Total(Operator[Config]):
    """The total so far; a row without a number is rejected."""

    name = "total"
    Config = Config
    examples = (EXAMPLE,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.total = 0.0
        self.seen: list[str] = []

    def reads(self) -> frozenset[str]:
        return frozenset({"x"})

    def signature(self, columns: Columns) -> Columns:
        return columns_of([*columns.values(), Column("total", ColumnType.FLOAT)])

    def process(self, batch: Batch) -> Output:
        good = np.isfinite(batch["x"]) & (np.abs(batch["x"]) < 1e9)
        rejected = [
            Rejected(int(offset), "missing_value", "x has no value")
            for offset in batch.offsets[~good]
        ]
        kept = batch.take(good)
        totals = self.total + np.cumsum(kept["x"])
        self.total = float(totals[-1]) if len(kept) else self.total
        return Output(kept.with_columns({"total": totals}), rejected)

    def snapshot(self) -> Snapshot | None:
        return Snapshot(1, json.dumps([self.total, self.seen]).encode())

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.version != 1:
            raise SnapshotError("another layout")
        try:
            self.total, self.seen = json.loads(snapshot.data)
        except ValueError as error:
            raise SnapshotError("damaged") from error


def results(operator: type[Operator[Any]]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, check in checks_for(operator):
        try:
            check()
            found[name] = None
        except AssertionError as error:
            found[name] = str(error)
    return found


def test_a_good_operator_passes_every_check() -> None:
    assert results(Total) == dict.fromkeys(["waivers", *CHECKS])


# --- one operator per broken law ------------------------------------------------------------------


class WrongExample(Total):
    """Its example promises something else."""

    examples = (replace(EXAMPLE, expected=[{"total": 1.0}, {"total": 5.0}]),)


class Mutates(Total):
    """Changes the keys of the batch that came in."""

    def process(self, batch: Batch) -> Output:
        output = super().process(batch)
        assert isinstance(batch.keys, list)
        batch.keys.reverse()
        return replace(output, batch=replace(output.batch, keys=[*reversed(output.batch.keys)]))


class MutatesColumns(Total):
    """Writes through to the memory below a read-only column."""

    def process(self, batch: Batch) -> Output:
        output = super().process(batch)
        owner = batch["x"].base
        if owner is not None:
            owner[:1] = 7.0
        return output


class Keeps(Total):
    """Keeps the last batch."""

    def process(self, batch: Batch) -> Output:
        self.last = batch
        return super().process(batch)


class Chance(Total):
    """Adds noise."""

    def process(self, batch: Batch) -> Output:
        output = super().process(batch)
        noise = np.random.default_rng().normal(size=len(output.batch))
        return replace(output, batch=output.batch.with_columns({"total": noise}))


class PerBatch(Total):
    """Starts anew with each batch."""

    def process(self, batch: Batch) -> Output:
        self.total = 0.0
        return super().process(batch)


class FailsOnNothing(Total):
    """Reads the first row without asking whether there is one."""

    def process(self, batch: Batch) -> Output:
        batch["x"][0]
        return super().process(batch)


class Drops(Total):
    """Loses rows without a word."""

    def process(self, batch: Batch) -> Output:
        return replace(super().process(batch), rejected=())


class Doubles(Total):
    """Makes rows up."""

    def process(self, batch: Batch) -> Output:
        output = super().process(batch)
        return replace(output, batch=concat(output.batch, output.batch))


class Raises(Total):
    """Raises for one bad row."""

    def process(self, batch: Batch) -> Output:
        if np.isinf(batch["x"]).any():
            raise ValueError("infinite")
        return super().process(batch)


class Leaves(Total):
    """A rejected row changes the total."""

    def process(self, batch: Batch) -> Output:
        finite = batch["x"][np.isfinite(batch["x"])]
        output = super().process(batch)
        self.total += float(finite[np.abs(finite) >= 1e9].size)
        return output


class ReadsSecretly(Total):
    """Uses a column that it does not name."""

    def process(self, batch: Batch) -> Output:
        output = super().process(batch)
        empty = np.array([value is None for value in output.batch["name"].tolist()], float)
        return replace(output, batch=output.batch.with_columns({"total": empty}))


class ShortLookup(Total):
    """Asks for fewer keys than there are rows."""

    def lookups(self, batch: Batch) -> Sequence[Lookup]:
        return [Lookup("l", "t", ("f",), [b"k"])]

    def process(self, batch: Batch) -> Output:
        kept = {name: column for name, column in batch.columns.items() if name != "l"}
        return super().process(replace(batch, columns=kept))


class WrongType(Total):
    """Declares a number and gives an integer."""

    def process(self, batch: Batch) -> Output:
        output = super().process(batch)
        whole = output.batch["total"].astype(np.int64)
        return replace(output, batch=output.batch.with_columns({"total": whole}))


class Undeclared(Total):
    """Adds a column that it does not declare."""

    def signature(self, columns: Columns) -> Columns:
        return columns


class Clock(Total):
    """Looks at the clock."""

    def process(self, batch: Batch) -> Output:
        time.monotonic()
        return super().process(batch)


class Today(Total):
    """Asks for the date."""

    def process(self, batch: Batch) -> Output:
        datetime.now()  # noqa: DTZ005
        return super().process(batch)


class OpensFile(Total):
    """Reads a file."""

    def process(self, batch: Batch) -> Output:
        Path(__file__).read_bytes()
        return super().process(batch)


class SharedChance(Total):
    """Draws from the generator that all share."""

    def process(self, batch: Batch) -> Output:
        random.random()
        return super().process(batch)


class SharedNumpyChance(Total):
    """Draws from NumPy's generator that all share."""

    def process(self, batch: Batch) -> Output:
        np.random.rand()
        return super().process(batch)


class Forgets(Total):
    """Saves less than it remembers."""

    def snapshot(self) -> Snapshot | None:
        return Snapshot(1, json.dumps([0.0, []]).encode())


class AnyVersion(Total):
    """Restores a version that it cannot know."""

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(replace(snapshot, version=1))


class Damaged(Total):
    """Lets the decoder's own exception out."""

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.version != 1:
            raise SnapshotError("another layout")
        self.total, self.seen = json.loads(snapshot.data)


class Pickles(Total):
    """Pickles its state."""

    def snapshot(self) -> Snapshot | None:
        return Snapshot(1, b"\x80\x04K\x01.")


class Grows(Total):
    """Remembers every name."""

    def process(self, batch: Batch) -> Output:
        self.seen += [str(key) for key in batch.keys]
        return super().process(batch)


class GrowsInSecret(Total):
    """Remembers every name, outside its snapshot."""

    def process(self, batch: Batch) -> Output:
        self.seen += [str(key) * 100 for key in batch.keys]
        return super().process(replace(batch, columns={**batch.columns}))

    def snapshot(self) -> Snapshot | None:
        return None


class ClosesOnce(Total):
    """Cannot be closed twice."""

    closed = False

    def close(self) -> None:
        assert not self.closed, "closed before"
        self.closed = True


class NoFallback(Total):
    """Has a deadline, a state and no way out."""

    @property
    def deadline_s(self) -> float | None:
        return 1.0


class SilentConfig(OperatorConfig):
    limit: int = 3


class Undocumented(Total):
    """Says nothing of its setting."""

    Config = SilentConfig


class CountsLater(Total):
    """Says later how many rows came together."""

    def sides(self, columns: Columns) -> dict[str, Columns]:
        return {"later": columns_of([Column("together", ColumnType.INT)])}

    @property
    def late_sides(self) -> frozenset[str]:
        return frozenset({"later"})

    def process(self, batch: Batch) -> Output:
        waiting = replace(batch, columns={})
        return replace(super().process(batch), later=[Later("later", waiting, self._count)])

    def _count(self, batch: Batch) -> Stages:
        counted = yield lambda: len(batch)
        return Output(batch.with_columns({"together": np.full(len(batch), counted)}))


class NoExamples(Total):
    """Shows nothing."""

    examples = ()


class ByPartition(Total):
    """Says that partitions make no difference, and adds their number."""

    partition_free: ClassVar = True

    def process(self, batch: Batch) -> Output:
        good = np.isfinite(batch["x"]) & (np.abs(batch["x"]) < 1e9)
        kept = batch.take(good)
        bad = batch.offsets[~good].tolist()
        totals = np.full(len(kept), float(batch.partition))
        return Output(
            kept.with_columns({"total": totals}),
            [Rejected(offset, "missing_value", "x has no value") for offset in bad],
        )

    def snapshot(self) -> Snapshot | None:
        return None


BROKEN = [
    (WrongExample, "example_holds"),
    (Mutates, "input_not_mutated"),
    (MutatesColumns, "input_not_mutated"),
    (Keeps, "input_not_kept"),
    (Chance, "deterministic"),
    (PerBatch, "split_invariant"),
    (ByPartition, "joint_if_partition_free"),
    (CountsLater, "later_work_may_be_cut"),
    (FailsOnNothing, "empty_batch"),
    (Drops, "row_origin_preserved"),
    (Doubles, "row_origin_preserved"),
    (Raises, "bad_row_rejected"),
    (Leaves, "bad_row_rejected"),
    (ReadsSecretly, "reads_is_truthful"),
    (ShortLookup, "lookups_in_line"),
    (WrongType, "signature_matches"),
    (Undeclared, "signature_matches"),
    (Clock, "no_clock_and_no_io"),
    (Today, "no_clock_and_no_io"),
    (OpensFile, "no_clock_and_no_io"),
    (SharedChance, "no_clock_and_no_io"),
    (SharedNumpyChance, "no_clock_and_no_io"),
    (Forgets, "restores_at_every_cut"),
    (AnyVersion, "snapshot_is_sound"),
    (Damaged, "snapshot_is_sound"),
    (Pickles, "snapshot_is_sound"),
    (Grows, "memory_is_bounded"),
    (GrowsInSecret, "memory_is_bounded"),
    (ClosesOnce, "close_is_idempotent"),
    (NoFallback, "fallback_matches"),
    (Undocumented, "config_is_documented"),
    (NoExamples, "declared"),
]


@pytest.mark.parametrize(
    ("operator", "check"), BROKEN, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_broken_law_is_found(operator: type[Operator[Any]], check: str) -> None:
    with pytest.raises(AssertionError):
        dict(checks_for(operator))[check]()


def test_every_check_has_an_operator_that_breaks_it() -> None:
    assert {check for _, check in BROKEN} == set(CHECKS)


# --- waivers --------------------------------------------------------------------------------------


class Waived(PerBatch):
    """Breaks a law and says why."""

    waivers: ClassVar = {"split_invariant": "a batch is a session here"}


class Outlived(Total):
    """Waives a check that holds."""

    waivers: ClassVar = {"deterministic": "it was not, once"}


class Misspelt(Total):
    """Waives a check that does not exist."""

    waivers: ClassVar = {"no_such_check": "why"}


class NoReason(PerBatch):
    """Waives without a reason."""

    waivers: ClassVar = {"split_invariant": " "}


def test_a_waived_check_that_fails_is_passed_over() -> None:
    assert results(Waived)["split_invariant"] is None


def test_a_waived_check_that_passes_fails_the_run() -> None:
    assert "take away its waiver" in str(results(Outlived)["deterministic"])


@pytest.mark.parametrize("operator", [Misspelt, NoReason])
def test_a_waiver_names_a_check_and_a_reason(operator: type[Operator[Any]]) -> None:
    assert results(operator)["waivers"] is not None


# --- rows and harness -----------------------------------------------------------------------------


def test_rows_become_typed_columns_and_come_back() -> None:
    columns = columns_of(
        [
            Column("f", ColumnType.FLOAT),
            Column("i", ColumnType.INT),
            Column("b", ColumnType.BOOL),
            Column("s", ColumnType.STRING),
            Column("t", ColumnType.TIMESTAMP),
            Column("j", ColumnType.JSON),
            Column("v", ColumnType.VECTOR),
        ]
    )
    rows = [
        {
            "f": 1,
            "i": 2,
            "b": True,
            "s": "ü",
            "t": "1970-01-01T00:00:01Z",
            "j": [1, 2],
            "v": [1, 2],
        },
        {},
    ]
    batch = batch_of(rows, columns, key="s")
    assert batch.keys == ["ü".encode(), None]
    assert batch.event_time_ms.tolist() == [1000, 0]
    assert rows_of(batch)[0] == {**rows[0], "t": 1000}
    assert rows_of(batch)[1]["s"] is None
    assert rows_of(batch_of([], columns)) == []


def test_the_harness_goes_on_from_run_to_run() -> None:
    harness = Harness(Total, {"limit": 1}, COLUMNS)
    assert harness.run(ROWS).rejected == {1: "missing_value"}
    assert [row["total"] for row in harness.run([{"x": 6}]).rows] == [10.0]
