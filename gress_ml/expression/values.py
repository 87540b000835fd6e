"""Values of expressions: what operations give for columns with missing values and of all types.

A value is a column of shape (n,), or one of shape () that holds for all rows; text is a column of
objects, or a ``str``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gress_ml.batch import Array
from gress_ml.errors import SchemaError
from gress_ml.schema import MISSING_TIME

FLOAT64 = np.dtype(np.float64)


def numbers(column: Any) -> Any:
    """A column as float64, NaN where it is missing. Raises SchemaError for text and vectors."""
    if type(column) is np.ndarray and column.dtype is FLOAT64 and column.ndim == 1:
        return column  # as nearly all are
    if type(column) is np.float64:
        return column
    if isinstance(column, str):
        raise SchemaError("a number is needed, this is text")
    kind = column.dtype.kind
    if column.ndim > 1 or kind not in "fiub":
        raise SchemaError(f"a number is needed, the column holds {column.dtype} {column.shape[1:]}")
    values = column.astype(np.float64)
    if kind == "i" and np.count_nonzero(missing := column == MISSING_TIME):
        values[missing] = np.nan
    return values


def missing_rows(column: Any) -> Any:
    """Where a column has no value: NaN, None or ``MISSING_TIME``."""
    if isinstance(column, str):
        return np.False_
    if isinstance(column, np.ndarray) and column.dtype == object:
        values = column.tolist()
        if None not in values:  # a third of the time of asking each
            return np.zeros(len(values), np.bool_)
        return np.fromiter((value is None for value in values), np.bool_, len(values))
    return np.isnan(numbers(column))


def truth(column: Any) -> Any:
    """A column as a condition: true where it is a number other than 0, false where missing."""
    if isinstance(column, np.ndarray) and column.dtype == np.bool_:
        return column
    values = numbers(column)
    return (values != 0) & ~np.isnan(values)


def one_per_row(value: Any, rows: int) -> Array:
    """A value as a column of shape (rows,)."""
    if np.ndim(value) == 0:
        return np.full(rows, value, object if isinstance(value, str) else None)
    return np.asarray(value)


def differ(left: Any, right: Any) -> Any:
    """Where numbers differ; false where either is missing."""
    return (left != right) & ~(np.isnan(left) | np.isnan(right))


def _text_list(column: Any, rows: int) -> list[Any]:
    if isinstance(column, str):
        return [column] * rows
    if column.dtype != object:
        raise SchemaError(f"text is needed, the column holds {column.dtype}")
    return list(column.tolist())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object)


def compare(ufunc: Any, left: Any, right: Any) -> Any:
    """``left`` compared with ``right`` of whatever type; false where either is missing."""
    if not (_is_text(left) or _is_text(right)):
        left, right = numbers(left), numbers(right)
        return differ(left, right) if ufunc is np.not_equal else ufunc(left, right)
    compare_texts = _TEXT_COMPARISONS[ufunc]
    if isinstance(left, str) and isinstance(right, str):
        return np.array(compare_texts(left, right))
    rows = np.size(left) if isinstance(right, str) else np.size(right)
    pairs = zip(_text_list(left, rows), _text_list(right, rows), strict=True)
    holds = (a is not None and b is not None and compare_texts(a, b) for a, b in pairs)
    try:
        return np.fromiter(holds, np.bool_, rows)
    except TypeError:  # a column of JSON values
        raise SchemaError("text is needed, the column holds other values as well") from None


_TEXT_COMPARISONS: Mapping[Any, Callable[[str, str], bool]] = {
    np.equal: lambda a, b: a == b,
    np.not_equal: lambda a, b: a != b,
    np.less: lambda a, b: a < b,
    np.less_equal: lambda a, b: a <= b,
    np.greater: lambda a, b: a > b,
    np.greater_equal: lambda a, b: a >= b,
}


def among(column: Any, wanted: frozenset[Any]) -> Any:
    """Where a value is one of the wanted; false where it is missing."""
    return _member(column, wanted, inside=True)


def not_among(column: Any, wanted: frozenset[Any]) -> Any:
    """Where a value is none of the wanted; false where it is missing."""
    return _member(column, wanted, inside=False)


def _member(column: Any, wanted: frozenset[Any], *, inside: bool) -> Any:
    if isinstance(column, str):
        return np.array((column in wanted) is inside)
    if _is_text(column):
        values = _text_list(column, np.size(column))
        return np.fromiter(
            (v is not None and (v in wanted) is inside for v in values), np.bool_, len(values)
        )
    values = numbers(column)
    found = np.isin(values, list(wanted))
    return found if inside else ~found & ~np.isnan(values)


def first_present(left: Any, right: Any) -> Any:
    """``left``, and ``right`` where it is missing."""
    return chosen(missing_rows(left), right, left)


def chosen(condition: Any, yes: Any, no: Any) -> Any:
    """Row by row one of two; a single value where all three are. Raises SchemaError."""
    found = np.where(condition, _objects(yes), _objects(no))
    if found.dtype == object and not (_is_text(yes) and _is_text(no)):
        raise SchemaError("values of one type are needed, these are text and numbers")
    return found[()]


def _objects(value: Any) -> Any:
    """Text as an array of objects, so that NumPy does not make fixed-width strings of it."""
    return np.array(value, object) if isinstance(value, str) else value
