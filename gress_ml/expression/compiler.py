"""Compiler: from the text of an expression to values of a program."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from functools import partial, reduce

import numpy as np

from gress_ml.errors import SchemaError
from gress_ml.expression import values
from gress_ml.expression.program import Function, Program
from gress_ml.schema import ColumnType

MAX_LENGTH = 1000  # characters
MAX_DEPTH = 32  # nested nodes

ALLOWED = (
    "+ - * / % **, comparisons, and or not, in (…), numbers, 'text', True, False, column names and "
    "abs min max clip(x, lo, hi) log log1p exp sqrt where(c, a, b) isnan coalesce(a, b, …)"
)

_ARITHMETIC: Mapping[type[ast.AST], Function] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARISONS: Mapping[type[ast.AST], Function] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
#: Comparisons of what is known to be numbers; where one is missing they are false by themselves.
_OF_NUMBERS: Mapping[type[ast.AST], Function] = {**_COMPARISONS, ast.NotEq: values.differ}
#: Comparisons of text, or of columns whose type shows with the batch.
_OF_ANYTHING: Mapping[type[ast.AST], Function] = {
    operator: partial(values.compare, ufunc) for operator, ufunc in _COMPARISONS.items()
}
_OF_ONE: Mapping[str, Function] = {
    "abs": np.absolute,
    "log": np.log,
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
}
_OF_MANY: Mapping[str, Function] = {"min": np.minimum, "max": np.maximum}
_MOST = 16  # arguments


class Compiler:
    """Adds the values of a syntax tree to a program; learns what each column is used as."""

    def __init__(
        self,
        text: str,
        program: Program,
        known: Mapping[str, int],
        needs: Mapping[str, ColumnType | None],
    ) -> None:
        self.text = text
        self.program = program
        self.known = known
        self.needs = dict(needs)  # as far as it is known
        self.compiled: dict[ast.AST, tuple[int, ColumnType | None]] = {}

    def parse(self) -> ast.expr:
        """The syntax tree. Raises SchemaError."""
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

    def _refusal(self, node: ast.AST, fault: str) -> SchemaError:
        source = self.text.strip().encode()
        offset = getattr(node, "col_offset", 0)
        indent = len(self.text) - len(self.text.lstrip())
        return self._fault(indent + len(source[:offset].decode(errors="replace")) + 1, fault)

    # Each gives a place in the program, and the type of its values; None for a column of any type.

    def value(self, node: ast.AST) -> tuple[int, ColumnType | None]:
        """The values of any node. A node is compiled once, however it is used."""
        if node not in self.compiled:
            self.compiled[node] = self._value(node)
        return self.compiled[node]

    def _value(self, node: ast.AST) -> tuple[int, ColumnType | None]:
        match node:
            case ast.Name():
                return self._column(node, None), self.needs[node.id]
            case ast.Constant(value=str() as text):
                return self.program.constant(text), ColumnType.STRING
            case ast.Constant(value=bool() as flag):
                return self.program.constant(flag), ColumnType.BOOL
            case ast.Constant(value=int() | float() as number):
                return self._number_constant(node, number), ColumnType.FLOAT
            case ast.BinOp() | ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self._number(node), ColumnType.FLOAT
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                return self._condition(node), ColumnType.BOOL
            case ast.Call():
                return self._call(node)
        raise self._refusal(node, f"{type(node).__name__.lower()} is not allowed")

    def _number(self, node: ast.AST) -> int:
        """The values of a node that has to give numbers."""
        match node:
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.UnaryOp(op=ast.USub()):
                return self.program.apply(np.negative, self._number(node.operand))
            case ast.UnaryOp(op=ast.UAdd()):
                return self._number(node.operand)
        return self._as_number(node, *self.value(node))

    def _as_number(
        self,
        node: ast.AST,
        place: int,
        kind: ColumnType | None,
        used_as: ColumnType = ColumnType.FLOAT,
    ) -> int:
        column = isinstance(node, ast.Name) and node.id not in self.known
        if isinstance(node, ast.Name):
            place = self._column(node, used_as)
        if kind is ColumnType.STRING:
            raise self._refusal(node, "a number is needed, this is text")
        if kind is ColumnType.FLOAT and not column:
            return place
        return self.program.apply(values.numbers, place)

    def _condition(self, node: ast.AST) -> int:
        """The values of a node that has to give a condition."""
        match node:
            case ast.Name():
                return self.program.apply(values.truth, self._column(node, ColumnType.BOOL))
            case ast.Compare():
                return self._comparison(node)
            case ast.UnaryOp(op=ast.Not()):
                return self.program.apply(np.logical_not, self._condition(node.operand))
            case ast.BoolOp():
                ufunc = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                return self._chain(ufunc, [self._condition(part) for part in node.values])
        place, kind = self.value(node)
        if kind is ColumnType.STRING:
            raise self._refusal(node, "a condition is needed, this is text")
        return place if kind is ColumnType.BOOL else self.program.apply(values.truth, place)

    def _text(self, node: ast.AST) -> int:
        """The values of a node that has to give text."""
        return self._as_text(node, *self.value(node))

    def _as_text(self, node: ast.AST, place: int, kind: ColumnType | None) -> int:
        if isinstance(node, ast.Name):
            return self._column(node, ColumnType.STRING)
        if kind in (ColumnType.FLOAT, ColumnType.BOOL):
            raise self._refusal(node, "text is needed, this is a number")
        return place

    def _column(self, node: ast.Name, kind: ColumnType | None) -> int:
        name = node.id
        before = ColumnType.FLOAT if name in self.known else self.needs.get(name)
        if kind is not None and before is not None and kind is not before:
            if ColumnType.STRING in (kind, before):
                raise self._refusal(node, f"{name!r} is used both as text and as a number")
            kind = ColumnType.FLOAT
        self.needs[name] = kind or before
        return self.known[name] if name in self.known else self.program.column(name)

    def _number_constant(self, node: ast.AST, value: float) -> int:
        try:
            return self.program.constant(float(value))
        except OverflowError:
            raise self._refusal(node, "the number is too large") from None

    def _chain(self, function: Function, places: Sequence[int]) -> int:
        """A function of two applied to the first two, to that and the third, and so on."""
        return reduce(partial(self.program.apply, function), places)

    def _arithmetic(self, node: ast.BinOp) -> int:
        ufunc = _ARITHMETIC.get(type(node.op))
        if ufunc is None:
            raise self._refusal(node, f"the operator {type(node.op).__name__} is not allowed")
        return self.program.apply(ufunc, self._number(node.left), self._number(node.right))

    def _comparison(self, node: ast.Compare) -> int:
        operands = [node.left, *node.comparators]
        if any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops):
            if len(node.ops) > 1:
                raise self._refusal(node, "'in' cannot be part of a chain of comparisons")
            return self._membership(node.left, operands[1], inside=isinstance(node.ops[0], ast.In))
        if not all(type(operator) in _COMPARISONS for operator in node.ops):
            raise self._refusal(node, "the comparison 'is' is not allowed")
        places, kind = self._alike(operands)
        functions = _OF_NUMBERS if kind is ColumnType.FLOAT else _OF_ANYTHING
        compared = [
            self.program.apply(functions[type(operator)], left, right)
            for operator, left, right in zip(node.ops, places, places[1:], strict=False)
        ]
        return self._chain(np.logical_and, compared)

    def _membership(self, left: ast.AST, right: ast.AST, *, inside: bool) -> int:
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            raise self._refusal(right, "after 'in' comes a list of values, such as ('a', 'b')")
        wanted = frozenset(self._member_value(item) for item in right.elts)
        if len({isinstance(value, str) for value in wanted}) > 1:
            raise self._refusal(right, "the values are of one type, all text or all numbers")
        text = any(isinstance(value, str) for value in wanted)
        column = self._text(left) if text else self._number(left)
        function = values.among if inside else values.not_among
        return self.program.apply(function, column, self.program.constant(wanted))

    def _member_value(self, node: ast.AST) -> str | float:
        match node:
            case ast.Constant(value=str() as text):
                return text
            case ast.Constant(value=bool() | int() | float() as number):
                return float(number)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -float(number)
        raise self._refusal(node, "only numbers and text stand in a list")

    def _alike(self, nodes: Sequence[ast.AST]) -> tuple[list[int], ColumnType | None]:
        """The values of nodes that have to be of one type: all text, or all numbers."""
        parts = [self.value(node) for node in nodes]
        kinds = [kind for _, kind in parts]
        if all(kind is None for kind in kinds):  # columns only: their types decide
            return [place for place, _ in parts], None
        if ColumnType.STRING in kinds:
            typed = zip(nodes, parts, strict=True)
            return [self._as_text(node, *part) for node, part in typed], ColumnType.STRING
        typed = zip(nodes, parts, strict=True)
        used_as = ColumnType.BOOL if set(kinds) <= {ColumnType.BOOL, None} else ColumnType.FLOAT
        return [self._as_number(node, *part, used_as) for node, part in typed], ColumnType.FLOAT

    def _call(self, node: ast.Call) -> tuple[int, ColumnType | None]:
        if not isinstance(node.func, ast.Name):
            raise self._refusal(node, "only the listed functions can be called")
        name, arguments = node.func.id, node.args
        if node.keywords or any(isinstance(a, ast.Starred) for a in arguments):
            raise self._refusal(node, "arguments are given by position")
        if name == "isnan":
            self._expect(node, 1, 1)
            place = self.value(arguments[0])[0]
            return self.program.apply(values.missing_rows, place), ColumnType.BOOL
        if name == "coalesce":
            self._expect(node, 2, _MOST)
            places, kind = self._alike(arguments)
            return self._chain(values.first_present, places), kind
        if name == "where":
            self._expect(node, 3, 3)
            condition = self._condition(arguments[0])
            places, kind = self._alike(arguments[1:])
            return self.program.apply(values.chosen, condition, *places), kind
        return self._function(node, name), ColumnType.FLOAT

    def _function(self, node: ast.Call, name: str) -> int:
        """A function of numbers."""
        if name in _OF_ONE:
            self._expect(node, 1, 1)
            return self.program.apply(_OF_ONE[name], self._number(node.args[0]))
        if name in _OF_MANY:
            self._expect(node, 2, _MOST)
            return self._chain(_OF_MANY[name], [self._number(one) for one in node.args])
        if name == "clip":
            self._expect(node, 3, 3)
            value, low, high = [self._number(one) for one in node.args]
            return self.program.apply(np.minimum, self.program.apply(np.maximum, value, low), high)
        raise self._refusal(node, f"there is no function {name!r}")

    def _expect(self, node: ast.Call, fewest: int, most: int) -> None:
        if not fewest <= len(node.args) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise self._refusal(node, f"{ast.unparse(node.func)} takes {wanted} arguments")
