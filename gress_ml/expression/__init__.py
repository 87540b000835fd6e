"""Expressions: arithmetic and conditions over columns, in a small part of Python's syntax.

The text is parsed by Python's own ``ast`` and never executed by Python: names are columns,
everything else is listed in ``ALLOWED``. Laws:

- Numbers are float64; integers, booleans and timestamps are converted (``MISSING_TIME`` to NaN).
- A missing value is NaN or None. Arithmetic with it gives a missing value; every comparison with it
  is false, ``!=`` and ``not in`` included; as a condition it counts as false.
- Dividing by zero gives an infinity or NaN, as in IEEE 754, and no warning.
- Row ``i`` of the result depends on row ``i`` of the columns only.
"""

from gress_ml.expression.compiler import ALLOWED, MAX_LENGTH
from gress_ml.expression.expression import Expression, compile_expression
from gress_ml.expression.one_row import number_of
from gress_ml.expression.program import Part, Program
from gress_ml.expression.values import missing_rows, numbers, one_per_row

__all__ = [
    "ALLOWED",
    "MAX_LENGTH",
    "Expression",
    "Part",
    "Program",
    "compile_expression",
    "missing_rows",
    "number_of",
    "numbers",
    "one_per_row",
]
