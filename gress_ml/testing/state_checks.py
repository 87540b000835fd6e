"""Checks of an operator's state: saved, restored, bounded, let go."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gress_ml.batch import Batch
from gress_ml.errors import SnapshotError
from gress_ml.operator import Operator, Snapshot
from gress_ml.schema import MISSING_TIME, ColumnType
from gress_ml.testing.effect import assert_same, effect_of
from gress_ml.testing.harness import run_batch
from gress_ml.testing.subject import Subject, cut

ROUNDS = 150
DAY_MS = 86_400_000
#: Bytes of growth that are not yet a leak.
SLACK = 64 * 1024


def restores_at_every_cut(subject: Subject) -> None:
    """Stopped after any row and restored elsewhere, the run goes on as if uninterrupted.

    The first operator works on after its snapshot was taken; the snapshot does not notice.
    """
    batch = subject.batch()
    for at in range(len(batch) + 1):
        before, after = cut(batch, at)
        first, second = subject.fresh(), subject.fresh()
        run_batch(first, before)
        snapshot = first.snapshot()
        expected = effect_of([run_batch(first, after)])
        if snapshot is not None:
            second.restore(snapshot)
        else:
            run_batch(second, before)
        restored = effect_of([run_batch(second, after)])
        assert_same(restored, expected, f"restored after {at} rows")
        _assert_same_state(first, second, at)


def _assert_same_state(first: Operator[Any], second: Operator[Any], at: int) -> None:
    one, two = first.snapshot(), second.snapshot()
    assert (one is None) == (two is None), "there is a snapshot now and none before"
    if one is not None and two is not None:
        assert one == two, f"restored after {at} rows, the state ends up different"
    first.close()
    second.close()


def snapshot_is_sound(subject: Subject) -> None:
    """A snapshot is bytes with a version, no pickle; what cannot be restored is a SnapshotError."""
    operator = subject.fresh()
    run_batch(operator, subject.batch())
    snapshot = operator.snapshot()
    if snapshot is None:
        return
    assert type(snapshot.data) is bytes, f"data is {type(snapshot.data).__name__}, not bytes"
    assert snapshot.version >= 1, f"version is {snapshot.version}"
    pickled = snapshot.data[:1] == b"\x80" and snapshot.data[-1:] == b"." and snapshot.data[1] < 6
    assert not pickled, "the snapshot is a pickle"
    assert operator.snapshot() == snapshot, "taking a snapshot changed the state"
    _assert_refused(subject, replace(snapshot, version=snapshot.version + 1000), "a newer version")
    _assert_refused(subject, replace(snapshot, data=b"\xc1\x00not a snapshot"), "damaged data")


def _assert_refused(subject: Subject, snapshot: Snapshot, what: str) -> None:
    try:
        subject.fresh().restore(snapshot)
    except SnapshotError:
        return
    except Exception as error:
        raise AssertionError(f"{what}: {error!r} was raised, not SnapshotError") from error
    raise AssertionError(f"{what} was restored without a word")


def close_is_idempotent(subject: Subject) -> None:
    """Closing twice is closing once, after work and without any."""
    used, idle = subject.fresh(), subject.fresh()
    run_batch(used, subject.batch())
    for operator in (used, used, idle, idle):
        operator.close()


def memory_is_bounded(subjects: Sequence[Subject]) -> None:
    """Ever new keys and texts, a day apart, do not make an operator grow without end.

    Checked on the snapshot where there is one, else on the memory in use. An operator whose bound
    is a setting shows it by one example in which the bound is small: one is enough.
    """
    stateful = [subject for subject in subjects if subject.fresh().snapshot() is not None]
    stateless = [subject for subject in subjects if subject not in stateful]
    growing = [fault for subject in stateful if (fault := _growth(subject))]
    assert len(growing) < len(stateful) or not growing, "; ".join(growing)
    leaking = [fault for subject in stateless if (fault := _growth(subject))]
    assert not leaking, "; ".join(leaking)


def _growth(subject: Subject) -> str | None:
    operator = subject.fresh()
    stateful = operator.snapshot() is not None
    if not stateful:
        tracemalloc.start()
    try:
        sizes = []
        for part in range(3):
            for number in range(ROUNDS):
                run_batch(operator, _varied(subject.batch(), part * ROUNDS + number, subject))
            sizes.append(_size(operator))
    finally:
        if not stateful:
            tracemalloc.stop()
    operator.close()
    allowed = sizes[1] * 1.1 + 64 if stateful else sizes[1] + SLACK
    if sizes[2] <= allowed:
        return None
    return f"{subject.example.title!r}: {sizes[1]} bytes, then {sizes[2]} after as much again"


def _size(operator: Operator[Any]) -> int:
    snapshot = operator.snapshot()
    return tracemalloc.get_traced_memory()[0] if snapshot is None else len(snapshot.data)


def _varied(batch: Batch, number: int, subject: Subject) -> Batch:
    """The batch some days later, with other keys; every other time with other texts too."""
    columns = {}
    for name, column in subject.example.columns.items():
        values = batch[name]
        if column.type is ColumnType.STRING and number % 2:
            texts = [None if v is None else f"{v}-{number}" for v in values.tolist()]
            columns[name] = np.array(texts, object)
        elif column.type is ColumnType.TIMESTAMP:
            columns[name] = np.where(values == MISSING_TIME, values, values + number * DAY_MS)
    moved = replace(
        batch,
        offsets=batch.offsets + number * 1000,
        event_time_ms=batch.event_time_ms + number * DAY_MS,
        keys=[f"{number}-{row}".encode() for row in range(len(batch))],
    )
    return moved.with_columns(columns)
