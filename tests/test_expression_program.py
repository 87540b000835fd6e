"""The program that several expressions share."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from gress_ml.expression import Program, compile_expression

COLUMNS = {"x": np.array([1.0, 4.0, np.nan]), "y": np.array([2.0, -1.0, 0.5])}


def operations(program: Program, *places: int) -> int:
    return len(program.part(places, set()).operations)


def test_what_expressions_share_is_one_operation() -> None:
    program = Program()
    first = compile_expression("x * y + 1", program)
    assert operations(program, first.place) == 4  # two columns as numbers, product, sum
    second = compile_expression("log(x * y) - (x * y + 1)", program)
    assert operations(program, first.place, second.place) == 6
    assert compile_expression("x * y + 1", program).place == first.place


def test_a_part_leaves_out_what_is_done() -> None:
    program = Program()
    first, second = (compile_expression(text, program) for text in ("x * y", "x * y + x"))
    done: set[int] = set()
    values = program.values(3)
    for one in (first, second):
        part = program.part([one.place], done)
        part.run(COLUMNS, values, 3)
    assert (len(part.columns), len(part.operations)) == (0, 1)
    np.testing.assert_array_equal(values[second.place], COLUMNS["x"] * COLUMNS["y"] + COLUMNS["x"])


def test_what_depends_on_constants_only_is_computed_once_for_all() -> None:
    program = Program()
    assert operations(program, compile_expression("2 ** 3 - -1 / 4", program).place) == 0
    assert operations(program, compile_expression("where(1 < 2, 'a', 'b')", program).place) == 0
    assert compile_expression("where(1 < 2, 'a', 'b')").evaluate(COLUMNS).tolist() == ["a"] * 3
    assert np.isinf(compile_expression("1 / 0").evaluate(COLUMNS)).all()


def test_constants_that_are_equal_but_not_alike_are_two() -> None:
    found = compile_expression("where(isnan(x), 1 / -0.0, 1 / 0.0)").evaluate(COLUMNS)
    assert found.tolist() == [math.inf, math.inf, -math.inf]
    assert compile_expression("True").evaluate(COLUMNS).dtype == np.bool_
    assert compile_expression("1.0").evaluate(COLUMNS).dtype == np.float64


def test_a_known_number_is_read_where_it_stands() -> None:
    program = Program()
    double = compile_expression("2 * x", program)
    sum_of = compile_expression("double + y", program, {"double": double.place})
    assert sum_of.reads == {"double", "y"}
    np.testing.assert_array_equal(sum_of.evaluate(COLUMNS), 2 * COLUMNS["x"] + COLUMNS["y"])


def test_numbers_are_float64_whatever_holds_them() -> None:
    found = compile_expression("x + 0.1").evaluate({"x": np.array([0.1], np.float32)})
    assert found.tolist() == [float(np.float32(0.1)) + 0.1]


TEXTS = st.recursive(
    st.sampled_from(["x", "y", "2", "0.5"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/"]), inner),
        st.builds("{}({})".format, st.sampled_from(["log1p", "abs", "sqrt"]), inner),
        st.builds("max({}, {})".format, inner, inner),
        st.builds("where({} < {}, {}, 1)".format, inner, inner, inner),
    ),
    max_leaves=6,
)


@given(st.lists(TEXTS, min_size=1, max_size=5), st.data())
def test_values_are_the_same_alone_and_in_a_program(texts: list[str], data: st.DataObject) -> None:
    program = Program()
    expressions = [compile_expression(text, program) for text in texts]
    values, done = program.values(3), set[int]()
    with np.errstate(all="ignore"):
        for one in data.draw(st.permutations(expressions)):
            program.part([one.place], done).run(COLUMNS, values, 3)
    for text, one in zip(texts, expressions, strict=True):
        alone = compile_expression(text).evaluate(COLUMNS)
        np.testing.assert_array_equal(np.broadcast_to(values[one.place], 3), alone)


NUMBERS = st.one_of(
    st.floats(width=64),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 1e308, -1e308, 5e-324]),
)
CONDITIONS = st.builds(
    "{} {} {}".format, TEXTS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), TEXTS
)
OF_ROWS = st.one_of(
    TEXTS,
    st.builds("min({}, {})".format, TEXTS, TEXTS),
    st.builds("where(({}) and not ({}), -({}), {})".format, CONDITIONS, CONDITIONS, TEXTS, TEXTS),
    st.builds("where(({}) or flag, clip({}, -1, 2), x)".format, CONDITIONS, TEXTS),
    st.builds("coalesce({}, whole, 1) % 3 + abs(whole) ** 2".format, TEXTS),
    st.builds("where(isnan({}) or name in ('a', 'b'), whole in (1, 2), flag)".format, TEXTS),
    st.builds("where(name == coalesce(name, 'b'), name, 'c')".format),
)


@example("min(x, y)", [(0.0, -0.0), (-0.0, 0.0)])
@example("max(y, x)", [(0.0, -0.0), (-0.0, 0.0)])
@given(OF_ROWS, st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=6))
def test_one_row_gives_the_bits_that_it_gives_among_others(
    text: str, rows: list[tuple[float, float]]
) -> None:
    """One row is computed on scalars."""
    count = len(rows)
    columns = {
        "x": np.array([x for x, _ in rows]),
        "y": np.array([y for _, y in rows]) * 0.5,
        "whole": np.arange(count) - 1,
        "flag": np.arange(count) % 2 == 0,
        "name": np.array([["a", None, "c"][n % 3] for n in range(count)], object),
    }
    together = compile_expression(text).evaluate(columns)
    for row in range(count):
        alone = compile_expression(text).evaluate({k: c[row : row + 1] for k, c in columns.items()})
        assert (alone.dtype, alone.shape) == (together.dtype, (1,))
        if alone.dtype == object:
            assert alone[0] == together[row]
        elif not (np.isnan(alone[0]) and np.isnan(together[row])):
            assert alone.tobytes() == together[row : row + 1].tobytes()
