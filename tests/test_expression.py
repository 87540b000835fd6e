from __future__ import annotations

import ast
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.errors import SchemaError
from gress_ml.expression import MAX_LENGTH, compile_expression
from gress_ml.schema import MISSING_TIME, ColumnType

NAN = np.nan
COLUMNS = {
    "a": np.array([1.0, 0.0, NAN, -4.0]),
    "b": np.array([2.0, 0.0, 1.0, NAN]),
    "n": np.array([1, 0, -3, 7]),
    "t": np.array([0, 1_000, MISSING_TIME, 5]),
    "flag": np.array([True, False, True, False]),
    "text": np.array(["wan", None, "Köln", "dc"], object),
}


def evaluate(text: str) -> list[object]:
    return compile_expression(text).evaluate(COLUMNS).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * 2", [5.0, 0.0, NAN, NAN]),
        ("-a", [-1.0, -0.0, NAN, 4.0]),
        ("a / b", [0.5, NAN, NAN, NAN]),
        ("1 / n", [1.0, np.inf, -1 / 3, 1 / 7]),
        ("n ** -1", [1.0, np.inf, -1 / 3, 1 / 7]),
        ("n % 2", [1.0, 0.0, 1.0, 1.0]),
        ("2 ** 3 ** 2", [512.0] * 4),
        ("clip(a, 0, 0.5)", [0.5, 0.0, NAN, 0.0]),
        ("min(a, b, 1)", [1.0, 0.0, NAN, NAN]),
        ("max(n, 1)", [1.0, 1.0, 1.0, 7.0]),
        ("log(n)", [0.0, -np.inf, NAN, np.log(7)]),
        ("exp(1000)", [np.inf] * 4),
        ("coalesce(a, b, 9)", [1.0, 0.0, 1.0, -4.0]),
        ("coalesce(t, -1)", [0.0, 1000.0, -1.0, 5.0]),
        ("where(flag, n, 0 - n)", [1.0, 0.0, -3.0, -7.0]),
        ("flag * 2", [2.0, 0.0, 2.0, 0.0]),
        ("where(text == 'wan', 1, 0)", [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_arithmetic(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(compile_expression(text).evaluate(COLUMNS), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 0", [True, False, False, False]),
        ("0 <= n < 2", [True, True, False, False]),
        ("a != 1", [False, True, False, True]),
        ("text == 'Köln'", [False, False, True, False]),
        ("text != 'Köln'", [True, False, False, True]),
        ("text in ('wan', 'dc')", [True, False, False, True]),
        ("text not in ('wan',)", [False, False, True, True]),
        ("text < 'e'", [False, False, True, True]),
        ("n in (1, -3)", [True, False, True, False]),
        ("a not in (1,)", [False, True, False, True]),
        ("not a > 0", [False, True, True, True]),
        ("a and flag", [True, False, False, False]),
        ("n > 0 or flag", [True, False, True, True]),
        ("isnan(a) or isnan(text)", [False, True, True, False]),
        ("flag == True", [True, False, True, False]),
        ("isnan(t)", [False, False, True, False]),
        ("True", [True] * 4),
        ("1 < 2", [True] * 4),
        ("'a' == 'a'", [True] * 4),
    ],
)
def test_comparison_with_a_missing_value_is_false(text: str, expected: list[bool]) -> None:
    found = compile_expression(text).evaluate(COLUMNS)
    assert found.dtype == np.bool_
    assert found.tolist() == expected


def test_text_results_are_objects() -> None:
    assert evaluate("coalesce(text, 'none')") == ["wan", "none", "Köln", "dc"]
    assert evaluate("where(flag, 'yes', text)") == ["yes", None, "yes", "dc"]
    assert evaluate("'same'") == ["same"] * 4


def test_a_bare_column_is_given_as_it_is() -> None:
    assert compile_expression("text").evaluate(COLUMNS) is COLUMNS["text"]
    assert compile_expression("text").needs == {"text": None}


def test_mask_takes_numbers_for_conditions() -> None:
    assert compile_expression("a").mask(COLUMNS).tolist() == [True, False, False, True]
    assert compile_expression("1").mask(COLUMNS).tolist() == [True] * 4


@pytest.mark.parametrize(
    "text", ["a + b", "'x'", "1", "text == 'x'", "'x' == text", "text in ('x',)", "isnan(text)"]
)
def test_no_rows_give_no_values(text: str) -> None:
    empty = {name: column[:0] for name, column in COLUMNS.items()}
    assert compile_expression(text).evaluate(empty).shape == (0,)


def test_it_says_what_it_reads_and_as_what() -> None:
    expression = compile_expression("where(flag, a, 2) > 1 and text in ('wan',)")
    assert expression.reads == {"flag", "a", "text"}
    assert expression.needs == {
        "flag": ColumnType.BOOL,
        "a": ColumnType.FLOAT,
        "text": ColumnType.STRING,
    }
    assert expression.result is ColumnType.BOOL


@pytest.mark.parametrize(
    ("text", "position", "fault"),
    [
        ("a.b", 1, "attribute"),
        ("1 + a[0]", 5, "subscript"),
        ("é + f(a)", 5, "no function 'f'"),
        ("  a + lambda: 1", None, "syntax"),
        ("a + 'x'", 5, "number is needed"),
        ("text == 'x' and text > 1", None, "number"),
        ("a if b else 1", 1, "ifexp"),
        ("a in 'wan'", 6, "list of values"),
        ("a in (1, 'x')", 6, "one type"),
        ("a is 1", None, "is"),
        ("a // 2", 1, "FloorDiv"),
        ("log(a, b)", 1, "takes 1"),
        ("clip(a)", 1, "takes 3"),
        ("min(*a)", 1, "by position"),
        ("a := 1", None, "syntax"),
        ("__import__('os')", 1, "no function"),
        ("(lambda: 1)()", None, "functions"),
        ("", None, "syntax"),
        ("9" * 400, 1, "too large"),
        ("None", 1, "not allowed"),
        ("1j", 1, "not allowed"),
    ],
)
def test_a_fault_names_its_position_and_what_is_allowed(
    text: str, position: int | None, fault: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_expression(text)
    assert fault in str(caught.value)
    assert "allowed" in str(caught.value)
    if position is not None:
        assert f"position {position}:" in str(caught.value)


def nested(text: str, around: str, depth: int) -> str:
    for _ in range(depth):
        text = around.format(text)
    return text


@pytest.mark.parametrize(
    "text", ["-" * 900 + "a", "(" * 400 + "a" + ")" * 400, "x" * (MAX_LENGTH + 1), "a\0b"]
)
def test_limits_hold(text: str) -> None:
    with pytest.raises(SchemaError):
        compile_expression(text)


@pytest.mark.parametrize("around", ["where(flag, {}, a)", "(a < {} < a)", "coalesce({}, a)"])
def test_cost_grows_with_the_length_and_not_with_the_nesting(around: str) -> None:
    began = time.perf_counter()
    compile_expression(nested("a", around, 25)).evaluate(COLUMNS)
    assert time.perf_counter() - began < 15  # to double with each level is minutes: 2 to the 25th


@pytest.mark.parametrize("text", ["where(flag, a, name)", "coalesce(name, a) == other"])
@pytest.mark.parametrize("rows", [0, 2])
def test_text_and_numbers_are_not_mixed_in_one_value(text: str, rows: int) -> None:
    columns = {
        "a": np.array([1.0, 2.0])[:rows],
        "flag": np.array([True, False])[:rows],
        "name": np.array(["x", None], object)[:rows],
        "other": np.array(["x", "y"], object)[:rows],
    }
    with pytest.raises(SchemaError, match="values of one type are needed"):
        compile_expression(text).evaluate(columns)


def test_what_json_holds_beside_text_is_not_put_in_order_with_text() -> None:
    columns = {"details": np.array(["x", {"deep": 1}], object)}
    assert compile_expression("details == 'x'").evaluate(columns).tolist() == [True, False]
    with pytest.raises(SchemaError, match="text is needed"):
        compile_expression("details < 'y'").evaluate(columns)


def test_a_column_that_is_absent_or_unfit_is_named() -> None:
    with pytest.raises(SchemaError, match="'zz'"):
        compile_expression("zz + 1").evaluate(COLUMNS)
    with pytest.raises(SchemaError, match="number is needed"):
        compile_expression("text + 1").evaluate(COLUMNS)
    with pytest.raises(SchemaError, match="text is needed"):
        compile_expression("a == 'x'").evaluate(COLUMNS)


FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
ATOMS = st.sampled_from(["x", "y", "2", "0.5"])
TREES = st.recursive(
    ATOMS,
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner),
    max_leaves=8,
)


@given(TREES, st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=5))
def test_arithmetic_is_that_of_python(text: str, rows: list[tuple[float, float]]) -> None:
    columns = {"x": np.array([x for x, _ in rows]), "y": np.array([y for _, y in rows])}
    found = compile_expression(text).evaluate(columns)
    code = compile(ast.parse(text, mode="eval"), "test", "eval")
    expected = [float(eval(code, {"x": x, "y": y})) for x, y in rows]
    np.testing.assert_array_equal(found, expected)


@given(st.text(max_size=60))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    with suppress(SchemaError):
        compile_expression(text)


@given(st.lists(st.sampled_from(["a", "b", "n > 0", "flag", "text == 'wan'"]), min_size=1))
def test_rows_do_not_see_each_other(parts: list[str]) -> None:
    expression = compile_expression(" and ".join(parts[:8]))
    whole = expression.mask(COLUMNS).tolist()
    single = [
        bool(expression.mask({name: c[row : row + 1] for name, c in COLUMNS.items()})[0])
        for row in range(4)
    ]
    assert whole == single
