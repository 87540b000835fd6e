from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.batch import Batch
from gress_ml.features import row_keys
from gress_ml.schema import MISSING_TIME

BATCH = Batch.of(
    {
        "vm": np.array(["a", None, "ü"], object),
        "n": np.array([1, -2, 3]),
        "x": np.array([0.5, np.nan, 1e300]),
        "ok": np.array([True, False, True]),
        "at": np.array([0, MISSING_TIME, 7]),
    }
)


def test_one_column_is_its_text_and_missing_is_empty() -> None:
    assert row_keys(BATCH, ["vm"]) == [b"a", b"", "ü".encode()]
    assert row_keys(BATCH, ["x"]) == [b"0.5", b"", b"1e+300"]


def test_columns_are_joined_by_the_unit_separator() -> None:
    assert row_keys(BATCH, ("vm", "n", "ok", "at")) == [
        b"a\x1f1\x1ftrue\x1f0",
        b"\x1f-2\x1ffalse\x1f",
        "ü\x1f3\x1ftrue\x1f7".encode(),
    ]


def test_no_columns_give_the_empty_key_and_no_rows_no_keys() -> None:
    assert row_keys(BATCH, []) == [b""] * 3
    assert row_keys(BATCH.take(np.array([], np.intp)), ["vm", "n"]) == []


_TEXTS = st.none() | st.text("aü")


@given(st.lists(st.tuples(_TEXTS, _TEXTS), max_size=6))
def test_keys_are_those_of_each_row_alone(rows: list[tuple[str | None, str | None]]) -> None:
    """Whether or not a part is missing somewhere in the batch."""
    columns = {name: np.array([row[i] for row in rows], object) for i, name in enumerate("ab")}
    expected = [f"{a or ''}\x1f{b or ''}".encode() for a, b in rows]
    assert row_keys(Batch.of(columns), ["a", "b"]) == expected
    assert row_keys(Batch.of(columns), ["a"]) == [(a or "").encode() for a, _ in rows]


PARTS = st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(PARTS, PARTS), min_size=1, max_size=8))
def test_different_values_have_different_keys(rows: list[tuple[str, str]]) -> None:
    columns = {
        "a": np.array([a for a, _ in rows], object),
        "b": np.array([b for _, b in rows], object),
    }
    keys = row_keys(Batch.of(columns), ["a", "b"])
    assert len(set(keys)) == len(set(rows))
