"""Program: operations on columns, each done once, however many expressions share it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gress_ml.batch import Array
from gress_ml.expression.one_row import FUNCTIONS, value_of

#: A function of values: columns of shape (n,), or single values of shape ().
Function = Callable[..., Any]
#: Place of the result, the function, and the places of one to three values that it works on: apart
#: from each other, since to unpack a list of them takes a third of what an operation takes.
Operation = tuple[int, Function, int, int | None, int | None]


@dataclass(frozen=True, slots=True)
class Part:
    """The columns and operations that some values of a program are made of, in order."""

    columns: tuple[tuple[int, str], ...]  # place, and key of the column
    operations: tuple[Operation, ...]
    of_one_row: tuple[Operation, ...]  # the same, on scalars

    def run(self, columns: Mapping[str, Array], values: list[Any], rows: int) -> None:
        """Put each value in its place; the caller keeps NumPy quiet. Raises KeyError.

        ``values`` are those of the program for so many rows.
        """
        for place, key in self.columns:
            values[place] = value_of(columns[key]) if rows == 1 else columns[key]
        operations = self.of_one_row if rows == 1 else self.operations
        for place, function, first, second, third in operations:
            if second is None:
                values[place] = function(values[first])
            elif third is None:
                values[place] = function(values[first], values[second])
            else:
                values[place] = function(values[first], values[second], values[third])


class Program:
    """The values of expressions, each known by its place; equal ones have the same place.

    Values are equal if they are the same column, the same constant, or the same function of equal
    values (value numbering: Cocke and Schwartz, Programming Languages and Their Compilers, 1970).
    What depends on constants only is computed when it is added.
    """

    def __init__(self) -> None:
        self._places: dict[Hashable, int] = {}
        self._columns: dict[int, str] = {}
        self._operations: dict[int, tuple[Function, tuple[int, ...]]] = {}
        self._constants: list[Any] = []  # by place, None for all others
        self._scalars: list[Any] = []  # the same, as scalars of NumPy

    def column(self, key: str) -> int:
        """The place of a column."""
        place = self._place(("column", key), None)
        self._columns[place] = key
        return place

    def constant(self, value: Any) -> int:
        """The place of a number, a flag (both are kept as arrays of shape ()), or anything else."""
        if isinstance(value, bool | float):
            value = np.array(value)  # NumPy takes it as it is, and converts a float every time
        # the text tells 1.0 from True, and 0.0 from -0.0, which are equal
        return self._place(("constant", type(value), repr(value)), value)

    def apply(self, function: Function, *inputs: int) -> int:
        """The place of a function of one to three values. It gives the same for equal ones."""
        if all(self._is_constant(one) for one in inputs):
            with np.errstate(all="ignore"):
                result = function(*[self._constants[one] for one in inputs])
            return self.constant(result if isinstance(result, str) else result.item())
        place = self._place(("operation", function, inputs), None)
        self._operations[place] = function, inputs
        return place

    def part(self, wanted: Iterable[int], done: set[int]) -> Part:
        """What the wanted values need and is not done yet; it counts as done from now on."""
        needed: set[int] = set()
        waiting = [*wanted]
        while waiting:
            place = waiting.pop()
            if place not in needed and place not in done:
                needed.add(place)
                waiting.extend(self._operations.get(place, (None, ()))[1])
        done |= needed
        order = sorted(needed)  # an operation has a higher place than what it works on
        known = self._operations
        operations = tuple(_operation(p, *known[p]) for p in order if p in known)
        return Part(
            tuple((p, self._columns[p]) for p in order if p in self._columns),
            operations,
            tuple((p, FUNCTIONS.get(f, f), a, b, c) for p, f, a, b, c in operations),
        )

    def values(self, rows: int) -> list[Any]:
        """The values by place before any part has run on so many rows: the constants."""
        return self._scalars.copy() if rows == 1 else self._constants.copy()

    def _is_constant(self, place: int) -> bool:
        return place not in self._columns and place not in self._operations

    def _place(self, meaning: Hashable, value: Any) -> int:
        place = self._places.setdefault(meaning, len(self._constants))
        if place == len(self._constants):
            self._constants.append(value)
            self._scalars.append(value[()] if isinstance(value, np.ndarray) else value)
        return place


def _operation(place: int, function: Function, inputs: tuple[int, ...]) -> Operation:
    first, second, third = (*inputs, None, None)[:3]
    assert first is not None
    return place, function, first, second, third
