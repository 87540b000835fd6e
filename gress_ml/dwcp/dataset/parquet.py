"""Parquet: columns to a file and back. The only place that needs pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.dataset.columns import BOOL, COLUMNS, FLOAT, INT, TEXT
from gress_ml.errors import GressError

_DTYPES: Mapping[str, Any] = {FLOAT: np.float64, INT: np.int64, BOOL: np.bool_, TEXT: object}
_TYPES = {FLOAT: "float64", INT: "int64", BOOL: "bool_", TEXT: "string"}
_KINDS = {column.name: column.kind for column in COLUMNS}


class DatasetError(GressError):
    """A data set cannot be built or read as it is."""


def write_columns(path: Path, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> None:
    """The declared columns in their order; a float that is NaN is null. Whole or not at all."""
    arrow = _library("pyarrow")
    arrays = [
        arrow.array(
            np.asarray(columns[name], _DTYPES[kind]),
            getattr(arrow, _TYPES[kind])(),
            from_pandas=True,
        )
        for name, kind in _KINDS.items()
    ]
    _write(path, arrow.table(arrays, names=list(_KINDS)))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of any shape, one column per name that any of them has, in the same manner."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    _write(path, _library("pyarrow").table(columns))


def read_columns(path: Path, names: Collection[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """Columns as float64, int64, bool or text; null as NaN.

    Raises DatasetError for no such file, no such column, or what is no data set.
    """
    parquet = _library("pyarrow.parquet")
    if not path.is_file():
        raise DatasetError(f"{path}: no data set here; make one with: gress dataset build")
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a Parquet file: {error}") from error
    known = [name for name in file.schema_arrow.names if name in _KINDS]
    absent = [name for name in (names or _KINDS) if name not in known]
    if absent:
        raise DatasetError(
            f"{path}: has no column {', '.join(absent)}; it was made by another version: "
            "run gress dataset label again"
        )
    table = file.read(columns=known if names is None else list(names))
    return {
        name: table[name].to_numpy().astype(_DTYPES[_KINDS[name]], copy=False)
        for name in table.column_names
    }


def _write(path: Path, table: Any) -> None:
    beside = path.with_name(f"{path.name}.new")
    _library("pyarrow.parquet").write_table(table, beside, compression="zstd", compression_level=9)
    beside.replace(path)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise DatasetError(
            "a data set is read and written with pyarrow, not installed here: "
            "pip install 'gress-ml[train]'"
        ) from error
