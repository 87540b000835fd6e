"""Batch: the records of a partition that are there now, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


#: The ``partition`` of a joint batch.
JOINT = -1


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the rows of a joint batch came from: partition and offset of each."""

    partitions: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]

    def take(self, rows: Array | slice) -> Origins:
        """Those of the given rows."""
        return Origins(self.partitions[rows], self.offsets[rows])


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one partition as read-only columns; it is never mutated (law 5).

    Row ``i`` came from the record at ``offsets[i]``. Column shapes are ``(n,)``, or ``(n, width)``
    for vectors. Column types and their missing values are those of
    :class:`gress_ml.schema.ColumnType`.

    A joint batch holds rows of several partitions, for operators that are ``partition_free``: its
    ``partition`` is ``JOINT``, its ``offsets`` number the rows, and ``origins`` says where each
    came from.
    """

    topic: str
    partition: int
    offsets: npt.NDArray[np.int64]
    event_time_ms: npt.NDArray[np.int64]  # milliseconds since the epoch, UTC
    keys: Sequence[bytes | None]
    columns: Mapping[str, Array] = field(default_factory=dict)
    #: Systems that were away while this batch was made, e.g. ``{"feature_store"}``.
    degraded: frozenset[str] = frozenset()
    origins: Origins | None = None  # of a joint batch

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(self._sound(self.columns)))

    def _sound(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """These columns, read-only. Raises ValueError where one has not a value per row."""
        rows = len(self.offsets)
        sound = dict(columns)
        for name, column in columns.items():
            if len(column) != rows:
                raise ValueError(f"column {name!r} has {len(column)} rows, the batch has {rows}")
            if column.flags.writeable:
                sound[name] = view = column.view()  # the caller's own array keeps its flags
                view.setflags(write=False)
        return sound

    @classmethod
    def proven(
        cls,
        topic: str,
        partition: int,
        offsets: npt.NDArray[np.int64],
        event_time_ms: npt.NDArray[np.int64],
        keys: Sequence[bytes | None],
        columns: dict[str, Array],
        degraded: frozenset[str] = frozenset(),
        origins: Origins | None = None,
    ) -> Self:
        """A batch of columns that are known to be read-only and of one length: none is looked at.

        For who makes all columns himself, as decoding does; the dictionary is kept.
        """
        made = object.__new__(cls)
        put = object.__setattr__  # past __init__, which checks
        put(made, "topic", topic)
        put(made, "partition", partition)
        put(made, "offsets", offsets)
        put(made, "event_time_ms", event_time_ms)
        put(made, "keys", keys)
        put(made, "columns", MappingProxyType(columns))
        put(made, "degraded", degraded)
        put(made, "origins", origins)
        return made

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Array],
        *,
        topic: str = "input",
        partition: int = 0,
        first_offset: int = 0,
        event_time_ms: Iterable[int] | None = None,
        keys: Sequence[bytes | None] | None = None,
    ) -> Self:
        """A batch from columns alone, with consecutive offsets: for tests and notebooks."""
        rows = len(next(iter(columns.values()))) if columns else 0
        times = (
            np.zeros(rows, np.int64)
            if event_time_ms is None
            else np.array([*event_time_ms], np.int64)
        )
        return cls(
            topic=topic,
            partition=partition,
            offsets=np.arange(first_offset, first_offset + rows, dtype=np.int64),
            event_time_ms=times,
            keys=[None] * rows if keys is None else keys,
            columns=columns,
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def with_columns(self, columns: Mapping[str, Array]) -> Self:
        """The same rows with these columns added or replaced."""
        return self._holding(self.copied_columns() | self._sound(columns))

    def only(self, columns: Mapping[str, Array]) -> Self:
        """The same rows with these columns alone."""
        return self._holding(self._sound(columns))

    def without_column(self, name: str) -> Self:
        """The same rows without this column."""
        columns = self.copied_columns()
        del columns[name]
        return self._holding(columns)

    def _holding(self, columns: dict[str, Array]) -> Self:
        """The same rows with these columns, which are sound."""
        return self.proven(
            self.topic,
            self.partition,
            self.offsets,
            self.event_time_ms,
            self.keys,
            columns,
            self.degraded,
            self.origins,
        )

    def copied_columns(self) -> dict[str, Array]:
        """The columns in a dictionary of the caller's own."""
        columns = self.columns
        assert isinstance(columns, MappingProxyType)
        return columns.copy()  # of the dictionary within, where ``dict()`` asks for item after item

    def with_degraded(self, *systems: str) -> Self:
        """The same rows, marked as made while these systems were away."""
        return replace(self, degraded=self.degraded | set(systems))

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Self:
        """The given rows, by index or by mask, in the order given."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        keys = self.keys
        return self._rows(index, [keys[i] for i in index.tolist()])

    def cut(self, start: int, stop: int) -> Self:
        """The rows from ``start`` to before ``stop``, of which nothing is copied."""
        if start == 0 and stop == len(self):
            return self
        rows = slice(start, stop)
        return self._rows(rows, self.keys[rows])

    def _rows(self, rows: Any, keys: Sequence[bytes | None]) -> Self:
        return self.proven(
            self.topic,
            self.partition,
            self.offsets[rows],
            self.event_time_ms[rows],
            keys,
            _read_only({name: column[rows] for name, column in self.columns.items()}),
            self.degraded,
            None if self.origins is None else self.origins.take(rows),
        )


def place_of(batch: Batch) -> tuple[int | Array, npt.NDArray[np.int64]]:
    """Partition, one for all rows or one for each, and offset of the rows in the log."""
    origins = batch.origins
    if origins is None:
        return batch.partition, batch.offsets
    return origins.partitions, origins.offsets


def joint(batch: Batch) -> Batch:
    """The same rows as a joint batch."""
    if batch.origins is not None:
        return batch
    partitions = np.full(len(batch), batch.partition, np.int64)
    return batch.proven(
        batch.topic,
        JOINT,
        np.arange(len(batch)),
        batch.event_time_ms,
        batch.keys,
        batch.copied_columns(),
        batch.degraded,
        Origins(partitions, batch.offsets),
    )


def concat(*batches: Batch) -> Batch:
    """One after the other; all have the same columns and the same partition."""
    first = batches[0]
    return first.proven(
        first.topic,
        first.partition,
        np.concatenate([one.offsets for one in batches]),
        np.concatenate([one.event_time_ms for one in batches]),
        [key for one in batches for key in one.keys],
        _read_only(
            {name: np.concatenate([o.columns[name] for o in batches]) for name in first.columns}
        ),
        frozenset().union(*(one.degraded for one in batches)),
        _joined([one.origins for one in batches]),
    )


def _read_only(columns: dict[str, Array]) -> dict[str, Array]:
    """These columns, which nobody else holds."""
    for column in columns.values():
        column.setflags(write=False)
    return columns


def _joined(parts: Sequence[Origins | None]) -> Origins | None:
    known = [origins for origins in parts if origins is not None]
    if len(known) < len(parts):
        return None
    return Origins(
        np.concatenate([origins.partitions for origins in known]),
        np.concatenate([origins.offsets for origins in known]),
    )
