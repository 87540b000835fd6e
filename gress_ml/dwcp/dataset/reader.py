"""Reader: the data set as columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from gress_ml.dwcp.dataset.columns import ARM_FIELDS, EVENT_NAMES, arm_column
from gress_ml.dwcp.dataset.parquet import read_columns
from gress_ml.dwcp.events import HISTORY_FIELDS
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.transfers import Arm, Message, outcome_of

#: The files of a data set.
TRANSFERS, PAYLOADS, MANIFEST = "transfers.parquet", "payloads.parquet", "manifest.json"

Values = npt.NDArray[Any]
_BLOCK = 4096  # rows that become messages at once


@dataclass(frozen=True, slots=True)
class Dataset:
    """Transfers in order of time, as columns of equal length; a float that is unknown is NaN."""

    columns: Mapping[str, Values]
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that were read."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Values:
        try:
            return self.columns[name]
        except KeyError:
            raise KeyError(f"no column {name!r}: there are {', '.join(self.columns)}") from None

    def arms(self, name: str) -> npt.NDArray[np.float64]:
        """One of ARM_FIELDS for every profile: (rows, profiles), in the order of ALGORITHMS."""
        found = [self[arm_column(algorithm, name)] for algorithm in ALGORITHMS]
        return np.column_stack(found).astype(np.float64)

    @property
    def label(self) -> npt.NDArray[np.intp]:
        """Position in ALGORITHMS of the cheapest arm."""
        cheapest: npt.NDArray[np.intp] = self.arms("cost").argmin(axis=1)
        return cheapest

    def take(self, rows: npt.ArrayLike) -> Dataset:
        """The rows at these positions, or where this mask is true."""
        picked = np.asarray(rows)
        return Dataset({n: values[picked] for n, values in self.columns.items()}, self.manifest)

    def part(self, start: float, end: float) -> Dataset:
        """The cohorts between two shares of all, e.g. ``part(0.7, 0.85)``.

        Two parts that do not overlap share no source, VM or link, and follow one another in time.
        """
        cohorts = np.unique(self["cohort"])
        chosen = cohorts[round(start * len(cohorts)) : round(end * len(cohorts))]
        return self.take(np.isin(self["cohort"], chosen))


def read(path: Path, columns: Collection[str] | None = None) -> Dataset:
    """A data set's folder, or one Parquet file; all columns unless told otherwise.

    Raises DatasetError when there is none, and for a column that it does not have.
    """
    manifest = path / MANIFEST
    known = orjson.loads(manifest.read_bytes()) if manifest.is_file() else {}
    file = path / TRANSFERS if path.is_dir() else path
    return Dataset(read_columns(file, columns), known)


def transfers(data: Dataset) -> Iterator[Message]:
    """The ``dwcp.transfer`` messages, with history where it is known, as the store adds it."""
    names = [name for name in EVENT_NAMES if name in data.columns]
    for row in _rows(data, names):
        unknown = [name for name in HISTORY_FIELDS if isnan(row.get(name, 0.0))]
        yield {name: value for name, value in row.items() if name not in unknown}


def outcomes(data: Dataset) -> Iterator[Message]:
    """The ``dwcp.outcome`` messages of the cheapest arm, with all arms."""
    names = [arm_column(algorithm, field) for algorithm in ALGORITHMS for field in ARM_FIELDS]
    known = [*EVENT_NAMES, *names, "label", "time_ms", "baseline_ratio"]
    for row in _rows(data, known):
        arms = {
            algorithm: Arm(**{field: row[arm_column(algorithm, field)] for field in ARM_FIELDS})
            for algorithm in ALGORITHMS
        }
        used = row["label"]
        yield outcome_of(
            row,
            used,
            arms,
            time_ms=row["time_ms"] + int(arms[used].total_ms),
            baseline_ratio=row["baseline_ratio"],
        )


def _rows(data: Dataset, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(data), _BLOCK):
        block = [data[name][start : start + _BLOCK].tolist() for name in names]
        for values in zip(*block, strict=True):
            yield dict(zip(names, values, strict=True))
