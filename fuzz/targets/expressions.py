"""Expressions: odd texts, compiled and run over odd columns."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, ClassVar

import numpy as np

from fuzz import bytes_mutation
from fuzz.target import Target, require
from gress_ml.batch import Array
from gress_ml.errors import SchemaError
from gress_ml.expression import Expression, compile_expression
from gress_ml.schema import MISSING_TIME, ColumnType

_PARTS = (
    "a", "b", "when", "name", "flag", "nope", "0", "1", "-2.5", "1e400", "1e999", "0x1f", "1_0",
    "1j", "'x'", "''", "'wan'", "True", "False", "None", "...", "__import__", "nan",
)  # fmt: skip
_FORMS = (
    "({} + {})", "({} - {})", "({} * {})", "({} / {})", "({} % {})", "({} ** {})", "({} // {})",
    "({} < {})", "({} == {})", "({} != {})", "({} >= {})", "({} < {} <= {})", "({} is {})",
    "({} and {})", "({} or {})", "(not {})", "(-{})", "(+{})", "(~{})", "({} in ({}, {}))",
    "({} not in ({},))", "({} in ())", "abs({})", "min({}, {})", "max({}, {}, {})",
    "clip({}, {}, {})", "log({})", "log1p({})", "exp({})", "sqrt({})", "where({}, {}, {})",
    "isnan({})", "coalesce({}, {})", "coalesce({}, {}, {})", "{}.real", "{}[{}]", "{}({})",
    "f'{{{}}}'", "({} if {} else {})", "[{} for x in {}]", "(lambda: {})()", "({}, {})",
    "(x := {})", "where({}, {})", "min(*{})", "abs(x={})",
)  # fmt: skip
_FORBIDDEN = ("exec", "open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "import")

_seen: list[str] | None = None


def _audit(event: str, _: tuple[Any, ...]) -> None:
    if _seen is not None and event.startswith(_FORBIDDEN):
        _seen.append(event)


@contextmanager
def _nothing_is_run() -> Iterator[None]:
    """Python tells its audit hooks what is executed, imported and opened (PEP 578)."""
    global _seen
    _seen = []
    try:
        yield
        require(not _seen, f"Python executes nothing: {_seen}")
    finally:
        _seen = None


class Expressions(Target):
    """One input is one expression."""

    name: ClassVar[str] = "expressions"
    law: ClassVar[str] = "A text compiles or is a SchemaError; rows are apart; Python runs nothing."

    _hooked = False

    def __init__(self) -> None:
        if not Expressions._hooked:  # a hook cannot be taken away again
            sys.addaudithook(_audit)
            Expressions._hooked = True

    def seeds(self) -> Sequence[bytes]:
        return [
            b"a / (b + 1) > 2 and name in ('wan', 'x')",
            b"where(isnan(a), 0, clip(log1p(a), -1, 1))",
            b"coalesce(name, 'x') == 'wan' or not flag",
        ]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        text = _built(random, random.choice((1, 2, 2, 3, 4))).encode()
        if random.random() < 0.6:
            return text
        return bytes_mutation.mutated(random.choice([text, random.choice(pool)]), random, pool)

    def check(self, data: bytes) -> str:
        text = data.decode("utf-8", "surrogateescape")
        with _nothing_is_run():
            try:
                expression = compile_expression(text)
            except SchemaError as error:
                return str(error).rpartition("; allowed are")[0].rpartition("position")[2]
        columns = {name: _column(name, kind) for name, kind in expression.needs.items()}
        columns["rows"] = np.arange(float(_ROWS))  # says how many rows there are
        with _nothing_is_run():
            return _evaluated(expression, columns)


def _evaluated(expression: Expression, columns: Mapping[str, Array]) -> str:
    try:
        values = expression.evaluate(columns)
        mask = expression.mask(columns) if expression.result is not ColumnType.STRING else None
    except SchemaError as error:
        require(None in expression.needs.values(), f"typed columns fit: {error}")
        return "unfit columns"
    require(values.shape == (_ROWS,), f"one value per row, found {values.shape}")
    if mask is not None:
        require(mask.shape == (_ROWS,) and mask.dtype.kind == "b", "a mask is bool, one per row")
    for row in range(_ROWS):
        alone = expression.evaluate({name: c[row : row + 1] for name, c in columns.items()})
        same = _same(values.tolist()[row], alone.tolist()[0])
        require(same, f"row {row} depends on itself only: {values[row]!r}, alone {alone[0]!r}")
    return f"{expression.result} {values.dtype}"


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return one == two or (one != one and two != two) or abs(one - two) <= 1e-9 * abs(one)
    return bool(one == two)


_FLOATS = [0.0, -1.5, float("nan"), float("inf"), 1e308, 7.0]
_ROWS = len(_FLOATS)


def _column(name: str, kind: ColumnType | None) -> Array:
    match kind or (ColumnType.STRING if name == "name" else ColumnType.FLOAT):
        case ColumnType.STRING:
            return np.array(["wan", None, "", "x", "é", "wan"], object)
        case ColumnType.BOOL:
            return np.array([True, False, True, True, False, False])
    if name == "when":
        return np.array([0, MISSING_TIME, 2**63 - 1, -1, 1, 10**15], np.int64)
    return np.array(_FLOATS)


def _built(random: Random, depth: int) -> str:
    if depth == 0 or random.random() < 0.15:
        return random.choice(_PARTS)
    form = random.choice(_FORMS)
    holes = form.replace("{{", "").count("{}")
    return form.format(*[_built(random, depth - 1) for _ in range(holes)])
