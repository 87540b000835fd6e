"""Expression: arithmetic and conditions over columns, compiled once from a whitelisted syntax.

The language is a small part of Python's expressions, parsed by Python's own ``ast`` and never
executed by Python: names are columns, everything else is listed in ``ALLOWED``. Laws:

- Numbers are float64; integers, booleans and timestamps are converted (``MISSING_TIME`` to NaN).
- A missing value is NaN or None. Arithmetic with it gives a missing value; every comparison with it
  is false, ``!=`` and ``not in`` included; as a condition it counts as false.
- Dividing by zero gives an infinity or NaN, as in IEEE 754, and no warning.
- Row ``i`` of the result depends on row ``i`` of the columns only.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.batch import Array
from gress_ml.errors import SchemaError
from gress_ml.schema import MISSING_TIME, ColumnType

_FLOAT64 = np.dtype(np.float64)
MAX_LENGTH = 1000  # characters
MAX_DEPTH = 32  # nested nodes

ALLOWED = (
    "+ - * / % **, comparisons, and or not, in (…), numbers, 'text', True, False, column names and "
    "abs min max clip(x, lo, hi) log log1p exp sqrt where(c, a, b) isnan coalesce(a, b, …)"
)

Mask = npt.NDArray[np.bool_]
Run = Callable[[Mapping[str, Array]], Any]

_ARITHMETIC: Mapping[type[ast.AST], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARISONS: Mapping[type[ast.AST], Any] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
#: Functions of numbers: the ufunc, the fewest and the most arguments.
_FUNCTIONS: Mapping[str, tuple[Any, int, int]] = {
    "abs": (np.absolute, 1, 1),
    "log": (np.log, 1, 1),
    "log1p": (np.log1p, 1, 1),
    "exp": (np.exp, 1, 1),
    "sqrt": (np.sqrt, 1, 1),
    "min": (np.minimum, 2, 16),
    "max": (np.maximum, 2, 16),
    "clip": (lambda x, low, high: np.minimum(np.maximum(x, low), high), 3, 3),
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression; the same columns always give the same values."""

    text: str
    #: The columns that it reads, with the type that each is used as: float, bool or string; None
    #: where any type fits. A float may come from any number, a bool too.
    needs: Mapping[str, ColumnType | None]
    #: What it gives: float, bool or string; None where the columns' own types decide.
    result: ColumnType | None
    run: Run = field(repr=False, compare=False)

    @property
    def reads(self) -> frozenset[str]:
        """Names of the columns that it reads."""
        return frozenset(self.needs)

    def evaluate(self, columns: Mapping[str, Array]) -> Array:
        """The values, of shape (n,). Raises SchemaError for a column that is absent or unfit."""
        try:
            with np.errstate(all="ignore"):
                value = self.run(columns)
        except KeyError as error:
            raise SchemaError(f"expression {self.text!r}: there is no column {error}") from None
        if np.ndim(value) == 0:
            return np.full(_rows(columns), value, object if isinstance(value, str) else None)
        return np.asarray(value)

    def mask(self, columns: Mapping[str, Array]) -> Mask:
        """The rows for which it holds, of shape (n,). A missing value does not hold."""
        held: Mask = truth(self.evaluate(columns))
        return held


def compile_expression(text: str, names: Mapping[str, str] | None = None) -> Expression:
    """The expression that a text stands for.

    ``names`` says under which key a name is found in the columns, where it is not the name itself.
    Raises SchemaError with the position of the fault and what is allowed.
    """
    if len(text) > MAX_LENGTH:
        raise SchemaError(f"expression of {len(text)} characters: at most {MAX_LENGTH} are allowed")
    needs: dict[str, ColumnType | None] = {}
    while True:  # what a column is used as may come after a comparison with it: look once more
        compiler = _Compiler(text, names or {}, needs)
        run, result = compiler.value(compiler.parse())
        if compiler.needs == needs:
            return Expression(text, MappingProxyType(needs), result, run)
        needs = compiler.needs


# --- values ---------------------------------------------------------------------------------------


def numbers(column: Any) -> Any:
    """A column as float64, NaN where it is missing. Raises SchemaError for text and vectors."""
    if type(column) is np.ndarray and column.dtype is _FLOAT64 and column.ndim == 1:
        return column  # as nearly all are
    if isinstance(column, float):
        return column
    if isinstance(column, str):
        raise SchemaError("a number is needed, this is text")
    kind = column.dtype.kind
    if column.ndim > 1 or kind not in "fiub":
        raise SchemaError(f"a number is needed, the column holds {column.dtype} {column.shape[1:]}")
    if kind == "f":
        return column
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
        return np.fromiter((v is None for v in values), np.bool_, len(values))
    return np.isnan(numbers(column))


def truth(column: Any) -> Any:
    """A column as a condition: true where it is a number other than 0, false where missing."""
    if isinstance(column, np.ndarray) and column.dtype == np.bool_:
        return column
    values = numbers(column)
    return (values != 0) & ~np.isnan(values)


def _rows(columns: Mapping[str, Array]) -> int:
    return len(next(iter(columns.values()))) if columns else 0


def _text_list(column: Any, rows: int) -> list[Any]:
    if isinstance(column, str):
        return [column] * rows
    if column.dtype != object:
        raise SchemaError(f"text is needed, the column holds {column.dtype}")
    return list(column.tolist())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype == object)


def _compare(ufunc: Any, left: Any, right: Any) -> Any:
    """``left`` compared with ``right``; false where either is missing."""
    if not (_is_text(left) or _is_text(right)):
        left, right = numbers(left), numbers(right)
        result = ufunc(left, right)
        if ufunc is np.not_equal:
            result = result & ~(np.isnan(left) | np.isnan(right))
        return result
    compare = _TEXT_COMPARISONS[ufunc]
    if isinstance(left, str) and isinstance(right, str):
        return np.array(compare(left, right))
    rows = np.size(left) if isinstance(right, str) else np.size(right)
    pairs = zip(_text_list(left, rows), _text_list(right, rows), strict=True)
    holds = (a is not None and b is not None and compare(a, b) for a, b in pairs)
    return np.fromiter(holds, np.bool_, rows)


_TEXT_COMPARISONS: Mapping[Any, Callable[[str, str], bool]] = {
    np.equal: lambda a, b: a == b,
    np.not_equal: lambda a, b: a != b,
    np.less: lambda a, b: a < b,
    np.less_equal: lambda a, b: a <= b,
    np.greater: lambda a, b: a > b,
    np.greater_equal: lambda a, b: a >= b,
}


def _member(column: Any, wanted: frozenset[Any], inside: bool) -> Any:
    """Where a column's value is (or is not) among the wanted; false where it is missing."""
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


def _coalesce(values: Sequence[Any]) -> Any:
    def first(left: Any, right: Any) -> Any:
        return _chosen(missing_rows(left), right, left)

    return reduce(first, values)


def _chosen(condition: Any, yes: Any, no: Any) -> Any:
    """Row by row one of two; a single value where all three are."""
    return np.where(condition, _objects(yes), _objects(no))[()]


def _objects(value: Any) -> Any:
    """Text as an array of objects, so that NumPy does not make fixed-width strings of it."""
    return np.array(value, object) if isinstance(value, str) else value


# --- compiling ------------------------------------------------------------------------------------


class _Compiler:
    """Turns a syntax tree into closures; learns what each column is used as on the way."""

    def __init__(
        self, text: str, names: Mapping[str, str], needs: Mapping[str, ColumnType | None]
    ) -> None:
        self.text = text
        self.names = names
        self.needs = dict(needs)  # as far as it is known
        self.compiled: dict[ast.AST, tuple[Run, ColumnType | None]] = {}

    def parse(self) -> ast.expr:
        source = self.text.strip().replace("\n", " ")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                tree = ast.parse(source, mode="eval").body
        except SyntaxError as error:
            raise self._fault(error.offset or 1, error.msg) from None
        except (RecursionError, MemoryError, ValueError, Warning) as error:
            raise self._fault(1, str(error) or "it is nested too deeply") from None
        self._check_depth(tree)
        return tree

    def _check_depth(self, tree: ast.expr) -> None:
        level: list[ast.AST] = [tree]
        for _ in range(MAX_DEPTH):
            level = [child for node in level for child in ast.iter_child_nodes(node)]
            if not level:
                return
        raise self._fault(1, f"it is nested more than {MAX_DEPTH} deep")

    def _fault(self, position: int, fault: str) -> SchemaError:
        return SchemaError(
            f"expression {self.text!r}, position {position}: {fault}; allowed are {ALLOWED}"
        )

    def refusal(self, node: ast.AST, fault: str) -> SchemaError:
        source = self.text.strip().encode()
        offset = getattr(node, "col_offset", 0)
        indent = len(self.text) - len(self.text.lstrip())
        return self._fault(indent + len(source[:offset].decode(errors="replace")) + 1, fault)

    # Each returns a closure and the type of its values; None for a column of any type.

    def value(self, node: ast.AST) -> tuple[Run, ColumnType | None]:
        """The values of any node. A node is compiled once, however it is used."""
        if node not in self.compiled:
            self.compiled[node] = self._value(node)
        return self.compiled[node]

    def _value(self, node: ast.AST) -> tuple[Run, ColumnType | None]:
        match node:
            case ast.Name():
                return self._column(node, None), self.needs[node.id]
            case ast.Constant(value=str() as text):
                return (lambda _: text), ColumnType.STRING
            case ast.Constant(value=bool() | int() | float() as constant):
                return self._constant(node, constant)
            case ast.BinOp() | ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self.number(node), ColumnType.FLOAT
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                return self.condition(node), ColumnType.BOOL
            case ast.Call():
                return self._call(node)
        raise self.refusal(node, f"{type(node).__name__.lower()} is not allowed")

    def number(self, node: ast.AST) -> Run:
        """The values of a node that has to give numbers."""
        match node:
            case ast.Name():
                self._column(node, ColumnType.FLOAT)
                key = self.names.get(node.id, node.id)
                return lambda columns: numbers(columns[key])
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.UnaryOp(op=ast.USub()):
                operand = self.number(node.operand)
                return lambda columns: np.negative(operand(columns))
            case ast.UnaryOp(op=ast.UAdd()):
                return self.number(node.operand)
        return self._as_number(node, *self.value(node))

    def _as_number(
        self,
        node: ast.AST,
        run: Run,
        kind: ColumnType | None,
        used_as: ColumnType = ColumnType.FLOAT,
    ) -> Run:
        if isinstance(node, ast.Name):
            run = self._column(node, used_as)
        if kind is ColumnType.STRING:
            raise self.refusal(node, "a number is needed, this is text")
        if kind is ColumnType.FLOAT and not isinstance(node, ast.Name):
            return run
        return lambda columns: numbers(run(columns))

    def condition(self, node: ast.AST) -> Run:
        """The values of a node that has to give a condition."""
        match node:
            case ast.Name():
                column = self._column(node, ColumnType.BOOL)
                return lambda columns: truth(column(columns))
            case ast.Compare():
                return self._comparison(node)
            case ast.UnaryOp(op=ast.Not()):
                operand = self.condition(node.operand)
                return lambda columns: np.logical_not(operand(columns))
            case ast.BoolOp():
                ufunc = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                parts = [self.condition(part) for part in node.values]
                return lambda columns: reduce(ufunc, [part(columns) for part in parts])
        run, kind = self.value(node)
        if kind is ColumnType.STRING:
            raise self.refusal(node, "a condition is needed, this is text")
        return run if kind is ColumnType.BOOL else lambda columns: truth(run(columns))

    def _text(self, node: ast.AST) -> Run:
        """The values of a node that has to give text."""
        return self._as_text(node, *self.value(node))

    def _as_text(self, node: ast.AST, run: Run, kind: ColumnType | None) -> Run:
        if isinstance(node, ast.Name):
            return self._column(node, ColumnType.STRING)
        if kind in (ColumnType.FLOAT, ColumnType.BOOL):
            raise self.refusal(node, "text is needed, this is a number")
        return run

    def _column(self, node: ast.Name, kind: ColumnType | None) -> Run:
        name = node.id
        known = self.needs.get(name)
        if kind is not None and known is not None and kind is not known:
            if ColumnType.STRING in (kind, known):
                raise self.refusal(node, f"{name!r} is used both as text and as a number")
            kind = ColumnType.FLOAT
        self.needs[name] = kind or known
        key = self.names.get(name, name)
        return lambda columns: columns[key]

    def _constant(self, node: ast.AST, value: float) -> tuple[Run, ColumnType]:
        if isinstance(value, bool):
            flag = np.array(value)
            return (lambda _: flag), ColumnType.BOOL
        try:
            number = float(value)
        except OverflowError:
            raise self.refusal(node, "the number is too large") from None
        return (lambda _: number), ColumnType.FLOAT

    def _arithmetic(self, node: ast.BinOp) -> Run:
        ufunc = _ARITHMETIC.get(type(node.op))
        if ufunc is None:
            raise self.refusal(node, f"the operator {type(node.op).__name__} is not allowed")
        left, right = self.number(node.left), self.number(node.right)
        # a constant is looked at now, not with every batch
        if isinstance(node.right, ast.Constant):
            second = right({})
            return lambda columns: ufunc(left(columns), second)
        if isinstance(node.left, ast.Constant):
            first = left({})
            return lambda columns: ufunc(first, right(columns))
        return lambda columns: ufunc(left(columns), right(columns))

    def _comparison(self, node: ast.Compare) -> Run:
        operands = [node.left, *node.comparators]
        if any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops):
            if len(node.ops) > 1:
                raise self.refusal(node, "'in' cannot be part of a chain of comparisons")
            return self._membership(node.left, operands[1], inside=isinstance(node.ops[0], ast.In))
        ufuncs = [_COMPARISONS.get(type(operator)) for operator in node.ops]
        if None in ufuncs:
            raise self.refusal(node, "the comparison 'is' is not allowed")
        parts, _ = self._alike(operands)

        def run(columns: Mapping[str, Array]) -> Any:
            values = [part(columns) for part in parts]
            pairs = zip(ufuncs, values, values[1:], strict=False)
            return reduce(np.logical_and, [_compare(*pair) for pair in pairs])

        return run

    def _membership(self, left: ast.AST, right: ast.AST, *, inside: bool) -> Run:
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            raise self.refusal(right, "after 'in' comes a list of values, such as ('a', 'b')")
        wanted = frozenset(self._member_value(item) for item in right.elts)
        if len({isinstance(value, str) for value in wanted}) > 1:
            raise self.refusal(right, "the values are of one type, all text or all numbers")
        text = any(isinstance(value, str) for value in wanted)
        column = self._text(left) if text else self.number(left)
        return lambda columns: _member(column(columns), wanted, inside)

    def _member_value(self, node: ast.AST) -> str | float:
        match node:
            case ast.Constant(value=str() as text):
                return text
            case ast.Constant(value=bool() | int() | float() as number):
                return float(number)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -float(number)
        raise self.refusal(node, "only numbers and text stand in a list")

    def _alike(self, nodes: Sequence[ast.AST]) -> tuple[list[Run], ColumnType | None]:
        """Closures for nodes that have to be of one type: all text, or all numbers."""
        parts = [self.value(node) for node in nodes]
        kinds = [kind for _, kind in parts]
        if all(kind is None for kind in kinds):  # columns only: their types decide
            return [run for run, _ in parts], None
        if ColumnType.STRING in kinds:
            typed = zip(nodes, parts, strict=True)
            return [self._as_text(node, *part) for node, part in typed], ColumnType.STRING
        typed = zip(nodes, parts, strict=True)
        used_as = ColumnType.BOOL if set(kinds) <= {ColumnType.BOOL, None} else ColumnType.FLOAT
        return [self._as_number(node, *part, used_as) for node, part in typed], ColumnType.FLOAT

    def _call(self, node: ast.Call) -> tuple[Run, ColumnType | None]:
        if not isinstance(node.func, ast.Name):
            raise self.refusal(node, "only the listed functions can be called")
        name, arguments = node.func.id, node.args
        if node.keywords or any(isinstance(a, ast.Starred) for a in arguments):
            raise self.refusal(node, "arguments are given by position")
        if name == "isnan":
            self._expect(node, 1, 1)
            run = self.value(arguments[0])[0]
            return (lambda columns: missing_rows(run(columns))), ColumnType.BOOL
        if name == "coalesce":
            self._expect(node, 2, 16)
            parts, kind = self._alike(arguments)
            return (lambda columns: _coalesce([p(columns) for p in parts])), kind
        if name == "where":
            return self._where(node)
        if name not in _FUNCTIONS:
            raise self.refusal(node, f"there is no function {name!r}")
        return self._function(node, *_FUNCTIONS[name]), ColumnType.FLOAT

    def _where(self, node: ast.Call) -> tuple[Run, ColumnType | None]:
        self._expect(node, 3, 3)
        condition = self.condition(node.args[0])
        (yes, no), kind = self._alike(node.args[1:])

        def run(columns: Mapping[str, Array]) -> Any:
            return _chosen(condition(columns), yes(columns), no(columns))

        return run, kind

    def _function(self, node: ast.Call, function: Any, fewest: int, most: int) -> Run:
        self._expect(node, fewest, most)
        parts = [self.number(argument) for argument in node.args]
        if fewest == 1:
            (part,) = parts
            return lambda columns: function(part(columns))
        if most == fewest:
            return lambda columns: function(*[part(columns) for part in parts])
        return lambda columns: reduce(function, [part(columns) for part in parts])

    def _expect(self, node: ast.Call, fewest: int, most: int) -> None:
        if not fewest <= len(node.args) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise self.refusal(node, f"{ast.unparse(node.func)} takes {wanted} arguments")
