"""Checks of what an operator does to rows: every check takes one subject and raises on a breach."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gress_ml.batch import JOINT, Array, Batch, Origins, concat
from gress_ml.operator import Later, Operator, Output, in_one_go
from gress_ml.schema import MISSING_TIME, Columns, ColumnType
from gress_ml.testing.effect import Effect, alike, assert_same, effect_of
from gress_ml.testing.harness import run_batch
from gress_ml.testing.purity import watched
from gress_ml.testing.rows import rows_of
from gress_ml.testing.subject import Subject, cut


def example_holds(subject: Subject) -> None:
    """The rows that come out and the rows that are rejected are those that the example states."""
    batch = subject.batch()
    output = subject.run(batch)
    place = {offset: row for row, offset in enumerate(batch.offsets.tolist())}
    rejected = {place[row.offset]: row.code for row in output.rejected}
    assert rejected == dict(subject.example.rejected), f"rejected: {output.rejected}"
    rows, expected = rows_of(output.batch), subject.example.expected
    assert len(rows) == len(expected), f"{len(rows)} rows came out, {len(expected)} are expected"
    for number, (row, wanted) in enumerate(zip(rows, expected, strict=True)):
        for name, value in wanted.items():
            assert name in row, f"row {number}: no column {name!r} among {sorted(row)}"
            assert _deeply_alike(row[name], value), f"row {number}: {name} is {row[name]!r}"


def _deeply_alike(found: Any, expected: Any) -> bool:
    if isinstance(expected, Mapping):
        same = isinstance(found, Mapping) and set(found) == set(expected)
        return same and all(_deeply_alike(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        same = isinstance(found, list | tuple) and len(found) == len(expected)
        return same and all(map(_deeply_alike, found, expected))
    return alike(found, expected)


def input_not_mutated(subject: Subject) -> None:
    """The batch that went in is as it was."""
    batch, before = subject.batch(), copy.deepcopy(_content(subject.batch()))
    subject.run(batch)
    for name, value in _content(batch).items():
        assert repr(value) == repr(before[name]), f"{name} of the input was changed"


def _content(batch: Batch) -> dict[str, Any]:
    columns = {name: column.tolist() for name, column in batch.columns.items()}
    own = {"offsets": batch.offsets.tolist(), "event_time_ms": batch.event_time_ms.tolist()}
    return {**columns, **own, "keys": [*batch.keys]}


def input_not_kept(subject: Subject) -> None:
    """Once the batch and the output are let go, the operator holds none of the columns."""
    operator = subject.fresh()
    batch = subject.batch()
    columns = {name: weakref.ref(_owner(column)) for name, column in batch.columns.items()}
    output = run_batch(operator, batch)
    del batch, output
    gc.collect()
    kept = sorted(name for name, column in columns.items() if column() is not None)
    operator.close()
    assert not kept, f"columns {kept} are still held after the batch"


def _owner(column: Array) -> Array:
    while isinstance(column.base, np.ndarray):
        column = column.base
    return column


def deterministic(subject: Subject) -> None:
    """Two new operators make the same of the same batch."""
    first, second = subject.run(subject.batch()), subject.run(subject.batch())
    assert_same(effect_of([second]), effect_of([first]), "second run", exact=True)


def split_invariant(subject: Subject) -> None:
    """However the batch is cut in two, or into single rows, the effect is the same."""
    batch = subject.batch()
    whole = effect_of([subject.run(batch)])
    for at in range(1, len(batch)):
        parts = effect_of(subject.run_parts(cut(batch, at)))
        assert_same(parts, whole, f"cut before row {at}")
    singles = [batch.take(np.array([row])) for row in range(len(batch))]
    assert_same(effect_of(subject.run_parts(singles)), whole, "row by row")


def joint_if_partition_free(subject: Subject) -> None:
    """A joint batch gives what its parts give, where that is ``partition_free`` without state."""
    operator = subject.fresh()
    stateful = operator.snapshot() is not None
    operator.close()
    batch = subject.batch()
    if stateful or not operator.partition_free or not len(batch):
        return
    numbers = {offset: row for row, offset in enumerate(batch.offsets.tolist())}
    for at in range(1, len(batch)):
        first, second = cut(batch, at)
        second = replace(second, partition=first.partition + 1)
        apart = effect_of([subject.run(first), subject.run(second)])
        joint = effect_of([subject.run(_joined(first, second))])
        assert_same(joint, _numbered(apart, numbers), f"joint, cut before row {at}")


def _joined(first: Batch, second: Batch) -> Batch:
    both = concat(first, second)
    partitions = [first.partition] * len(first) + [second.partition] * len(second)
    origins = Origins(np.array(partitions, np.int64), both.offsets)
    return replace(both, partition=JOINT, offsets=np.arange(len(both)), origins=origins)


def _numbered(effect: Effect, numbers: Mapping[int, int]) -> Effect:
    """The same, with the rows called by their numbers in the joint batch."""
    return replace(
        effect,
        offsets=[numbers[offset] for offset in effect.offsets],
        rejected=sorted((numbers[at], code, why) for at, code, why in effect.rejected),
        sides={name: _numbered(side, numbers) for name, side in effect.sides.items()},
    )


def later_work_may_be_cut(subject: Subject) -> None:
    """However the shell cuts the work for after the answer, what comes of it is the same."""
    for later in subject.run(subject.batch()).later:

        def made(part: Batch, later: Later = later) -> Output:
            return in_one_go(later.stages(part))

        whole = effect_of([made(later.batch)])
        for at in range(1, len(later.batch)):
            parts = [made(part) for part in cut(later.batch, at)]
            assert_same(effect_of(parts), whole, f"later work cut before row {at}")


def empty_batch(subject: Subject) -> None:
    """An empty batch gives an empty batch and no effect, and changes nothing for what follows."""
    batch = subject.batch()
    nothing = batch.take(np.zeros(len(batch), np.bool_))
    output, after = subject.run_parts([nothing, batch])
    assert len(output.batch) == 0, f"{len(output.batch)} rows came out of none"
    assert not output.rejected, "rows were rejected"
    assert all(len(write.keys) == 0 for write in output.writes), "rows were written"
    assert_same(effect_of([after]), effect_of([subject.run(batch)]), "after an empty batch")


def row_origin_preserved(subject: Subject) -> None:
    """Every row comes out or is rejected, once, in order, with its offset, key and event time."""
    batch = subject.batch()
    _assert_origin(batch, subject.run(batch))


def _assert_origin(batch: Batch, output: Output) -> None:
    out, rejected = output.batch.offsets.tolist(), [row.offset for row in output.rejected]
    assert out == sorted(set(out)), f"offsets out are not ascending: {out}"
    assert sorted(out + rejected) == batch.offsets.tolist(), (
        f"in {batch.offsets.tolist()}, out {out}, rejected {rejected}"
    )
    assert (output.batch.topic, output.batch.partition) == (batch.topic, batch.partition)
    place = {offset: row for row, offset in enumerate(batch.offsets.tolist())}
    for row, offset in enumerate(out):
        assert output.batch.keys[row] == batch.keys[place[offset]], f"key of offset {offset}"
        time = batch.event_time_ms[place[offset]]
        assert output.batch.event_time_ms[row] == time, f"event time of offset {offset}"


def bad_row_rejected(subject: Subject) -> None:
    """A value that makes no sense never raises; a row that is rejected leaves no other trace."""
    batch = subject.batch()
    if not len(batch):
        return
    row = len(batch) // 2
    operator = subject.fresh()
    for name in sorted(operator.reads() & set(batch.columns)):
        for poison in _poisons(subject.example.columns[name].type):
            where = f"column {name!r} of row {row} is {poison!r:.40}"
            _assert_harmless(subject, _poisoned(batch, name, row, poison), row, where)


def _assert_harmless(subject: Subject, batch: Batch, row: int, where: str) -> None:
    try:
        output = subject.run(batch)
    except Exception as error:
        raise AssertionError(f"{where}: raised {type(error).__name__}: {error}") from error
    _assert_origin(batch, output)
    offset = int(batch.offsets[row])
    if offset in {rejected.offset for rejected in output.rejected}:
        effect = effect_of(subject.run_parts(cut(batch, row + 1)))
        effect.rejected[:] = [reject for reject in effect.rejected if reject[0] != offset]
        without = effect_of([subject.run(batch.take(batch.offsets != offset))])
        assert_same(effect, without, f"{where}, rejected: the others")


def _poisons(type_: ColumnType) -> list[Any]:
    match type_:
        case ColumnType.FLOAT:
            return [np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0, -1.0]
        case ColumnType.INT:
            return [0, -1, 2**63 - 1, -(2**63)]
        case ColumnType.STRING:
            return [None, "", "\0\x1f", "né 💥" * 50, "x" * 10_000]
        case ColumnType.TIMESTAMP:
            return [MISSING_TIME, 0, -1, 2**53, 2**63 - 1]
        case ColumnType.JSON:
            return [None, 5, "text", [], {}, [{"a": [None]}]]
        case ColumnType.VECTOR:
            return [np.nan, np.inf, -np.inf, 3.4e38]
        case ColumnType.BOOL:
            return [True, False]


def _poisoned(batch: Batch, name: str, row: int, value: Any) -> Batch:
    column = batch[name].copy()
    if column.dtype == object:
        column[row : row + 1] = _one(value)
    else:
        column[row] = value
    return batch.with_columns({name: column})


def _one(value: Any) -> Array:
    """An array that holds just this object, lists included."""
    array = np.empty(1, object)
    array[0] = value
    return array


def reads_is_truthful(subject: Subject) -> None:
    """Columns that ``reads`` does not name can be left out; the rest comes out the same."""
    batch = subject.batch()
    operator = subject.fresh()
    unread = {name for name in batch.columns if name not in operator.reads()}
    full = effect_of([run_batch(operator, batch)])
    kept = {name: column for name, column in batch.columns.items() if name not in unread}
    try:
        less = effect_of([subject.run(_with_only(batch, kept))])
    except Exception as error:
        raise AssertionError(f"without {sorted(unread)}: {error!r}; reads() lacks it") from error
    for effect in (full, less, *full.sides.values(), *less.sides.values()):
        for name in unread:
            effect.columns.pop(name, None)  # type: ignore[attr-defined]
    assert_same(less, full, f"without the unread columns {sorted(unread)}")


def _with_only(batch: Batch, columns: Mapping[str, Array]) -> Batch:
    return Batch(
        batch.topic,
        batch.partition,
        batch.offsets,
        batch.event_time_ms,
        batch.keys,
        columns,
        batch.degraded,
        batch.origins,
    )


def no_clock_and_no_io(subject: Subject) -> None:
    """``lookups``, ``process`` and ``snapshot`` read no clock, touch no file or socket, draw no
    number from a generator that they share with others."""
    operator, batch = subject.fresh(), subject.batch()
    with watched() as found:
        output = run_batch(operator, batch)
        for later in output.later:
            in_one_go(later.stages(later.batch))
        operator.snapshot()
    operator.close()
    assert not found, f"the work called {sorted(set(found))}"


def lookups_in_line(subject: Subject) -> None:
    """A lookup has one key per row and a name that is no column of the batch."""
    operator, batch = subject.fresh(), subject.batch()
    for lookup in operator.lookups(batch):
        assert len(lookup.keys) == len(batch), f"{len(lookup.keys)} keys for {len(batch)} rows"
        assert lookup.name not in batch, f"the answer would replace column {lookup.name!r}"
    operator.close()


def signature_matches(subject: Subject) -> None:
    """What comes out has the columns and types that ``signature`` and ``sides`` say."""
    operator = subject.fresh()
    output = run_batch(operator, subject.batch())
    assert_columns(output.batch, operator, subject)
    sides = operator.sides(subject.example.columns)
    assert set(output.side) <= set(sides), f"streams {sorted(output.side)} are not declared"
    assert not set(output.side) & operator.late_sides, "a late stream came at once"
    for later in output.later:
        assert later.side in sides.keys() & operator.late_sides, f"{later.side!r} is not declared"
        made = in_one_go(later.stages(later.batch)).batch
        _assert_declared(made, sides[later.side])


def assert_columns(batch: Batch, operator: Operator[Any], subject: Subject) -> None:
    """The columns of a batch are those of the signature."""
    _assert_declared(batch, subject.signature(operator))


def _assert_declared(batch: Batch, declared: Columns) -> None:
    if not len(batch):
        return
    undeclared, absent = set(batch.columns) - set(declared), set(declared) - set(batch.columns)
    assert not undeclared, f"columns {sorted(undeclared)} are not in the signature"
    assert not absent, f"columns {sorted(absent)} of the signature did not come out"
    for name, column in declared.items():
        for fault in _type_faults(batch[name], column.type, nullable=column.nullable):
            raise AssertionError(f"column {name!r} {fault}")
        if column.features is not None:
            width = len(column.features.names)
            assert batch[name].shape[1] == width, f"{name!r} is not {width} wide"


_FORMS = {
    ColumnType.FLOAT: ("f", 1),
    ColumnType.INT: ("i", 1),
    ColumnType.BOOL: ("b", 1),
    ColumnType.STRING: ("O", 1),
    ColumnType.TIMESTAMP: ("i", 1),
    ColumnType.JSON: ("O", 1),
    ColumnType.VECTOR: ("f", 2),
}


def _type_faults(column: Array, type_: ColumnType, *, nullable: bool) -> Iterator[str]:
    kind, dimensions = _FORMS[type_]
    if (column.dtype.kind, column.ndim) != (kind, dimensions):
        yield f"is declared {type_} and came out as {column.dtype} with {column.ndim} dimensions"
    elif type_ is ColumnType.STRING and any(
        not isinstance(value, str | None) for value in column.tolist()
    ):
        yield "is declared string and holds something else"
    elif not nullable and type_ is not ColumnType.JSON and _lacks(column):
        yield "is declared never missing and has a missing value"


def _lacks(column: Array) -> bool:
    match column.dtype.kind:
        case "f":
            return bool(np.isnan(column).any())
        case "O":
            return None in column.tolist()
        case "i":
            return bool((column == MISSING_TIME).any())
    return False


def fallback_matches(subject: Subject) -> None:
    """An operator with a deadline has no state, and its fallback answers every row likewise."""
    operator, batch = subject.fresh(), subject.batch()
    if operator.deadline_s is None:
        return
    assert operator.snapshot() is None, "an operator with a deadline has no state"
    for cause in ("timeout", "overload"):
        output = operator.fallback(batch, cause)
        _assert_origin(batch, output)
        assert_columns(output.batch, operator, subject)
