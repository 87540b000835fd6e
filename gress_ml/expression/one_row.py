"""One row: the functions of a program on one number, as a scalar of NumPy instead of a column.

A call on a column of one row takes six times as long as the same operator on a scalar, and the
same bits come out. A scalar is a value of shape (), which holds for all rows: for the one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gress_ml.batch import Array
from gress_ml.expression import values


def number_of(column: Any) -> Any:
    """The number in a column of one row, NaN where it is missing. Raises SchemaError."""
    if type(column) is np.float64:
        return column
    found = values.numbers(column)
    return found[0] if found.ndim else found


def value_of(column: Array) -> Any:
    """A column of one row as a scalar, if it is one of numbers."""
    return column[0] if column.dtype is values.FLOAT64 and column.ndim == 1 else column


def _larger(left: Any, right: Any) -> Any:
    if left > right or left != left:  # NaN is handed on, as NumPy does
        return left
    if right > left or right != right:
        return right
    return np.maximum(left, right)  # of two zeros the processor decides which sign comes out


def _smaller(left: Any, right: Any) -> Any:
    if left < right or left != left:
        return left
    if right < left or right != right:
        return right
    return np.minimum(left, right)


def _chosen(condition: Any, yes: Any, no: Any) -> Any:
    if type(yes) is np.float64 and type(no) is np.float64:
        return yes if condition else no
    return values.chosen(condition, yes, no)


#: What is not among them is called as it is: all take values of shape ().
FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
    np.negative: operator.neg,
    np.equal: operator.eq,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.logical_and: operator.and_,
    np.logical_or: operator.or_,
    np.maximum: _larger,
    np.minimum: _smaller,
    values.numbers: number_of,
    values.chosen: _chosen,
}
