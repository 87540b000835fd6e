"""Expression: a text compiled once, evaluated on the columns of any batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from gress_ml.batch import Array
from gress_ml.errors import SchemaError
from gress_ml.expression.compiler import MAX_LENGTH, Compiler
from gress_ml.expression.program import Part, Program
from gress_ml.expression.values import one_per_row, truth
from gress_ml.schema import ColumnType

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; the same columns always give the same values."""

    text: str
    #: The columns that it reads, with the type that each is used as: float, bool or string; None
    #: where any type fits. A float may come from any number, a bool too.
    needs: Mapping[str, ColumnType | None]
    #: What it gives: float, bool or string; None where the columns' own types decide.
    result: ColumnType | None
    #: The program that it is a value of, and its place there.
    program: Program = field(repr=False, compare=False)
    place: int = field(repr=False, compare=False)
    _part: Part = field(repr=False, compare=False)

    @property
    def reads(self) -> frozenset[str]:
        """Names of the columns that it reads."""
        return frozenset(self.needs)

    def evaluate(self, columns: Mapping[str, Array]) -> Array:
        """The values, of shape (n,). Raises SchemaError for a column that is absent or unfit."""
        rows = len(next(iter(columns.values()))) if columns else 0
        values = self.program.values(rows)
        try:
            with np.errstate(all="ignore"):
                self._part.run(columns, values, rows)
        except KeyError as error:
            raise SchemaError(f"expression {self.text!r}: there is no column {error}") from None
        return one_per_row(values[self.place], rows)

    def mask(self, columns: Mapping[str, Array]) -> Mask:
        """The rows for which it holds, of shape (n,). A missing value does not hold."""
        held: Mask = truth(self.evaluate(columns))
        return held


def compile_expression(
    text: str, program: Program | None = None, known: Mapping[str, int] | None = None
) -> Expression:
    """The expression that a text stands for, as a value of a program: its own, if none is given.

    ``known`` are names of numbers that the program has already, with their places; all others are
    columns. Raises SchemaError with the position of the fault and what is allowed.
    """
    if len(text) > MAX_LENGTH:
        raise SchemaError(f"expression of {len(text)} characters: at most {MAX_LENGTH} are allowed")
    program = program or Program()
    needs: dict[str, ColumnType | None] = {}
    while True:  # what a column is used as may come after a comparison with it: look once more
        compiler = Compiler(text, program, known or {}, needs)
        place, result = compiler.value(compiler.parse())
        if compiler.needs == needs:
            break
        needs = compiler.needs
    part = program.part([place], set())
    return Expression(text, MappingProxyType(needs), result, program, place, part)
