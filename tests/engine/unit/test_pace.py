"""How the calls of a step have gone, and what follows for the next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.engine.pace import FEW_ROWS, LONG_S, TRUSTED_CALLS, Pace

DEADLINE_S = 0.010


def pace(*, warmed_up: bool = True, deadline_s: float | None = DEADLINE_S) -> Pace:
    return Pace(deadline_s, warmed_up=warmed_up)


def settle(found: Pace, row_s: float, calls: int = 40, batch: int = 2048) -> int:
    """Calls as large as they may be, that take so long per row; the size of the last."""
    for _ in range(calls):
        rows = min(batch, found.most_rows)
        found.saw(rows, rows * row_s)
    return rows


def test_quick_calls_may_have_any_number_of_rows() -> None:
    found = pace()
    assert settle(found, 4e-6) == 2048
    assert found.trusted


def test_a_call_of_a_size_that_nobody_has_seen_is_neither_long_nor_short() -> None:
    found = pace()
    found.saw(64, LONG_S / 2)
    found.saw(128, LONG_S)
    assert [(found.short(rows), found.long(rows)) for rows in (64, 33, 128, 32)] == [
        (True, False),
        (True, False),
        (False, True),
        (False, False),
    ]


@pytest.mark.parametrize(("row_s", "rows"), [(8e-6, 1024), (20e-6, 256), (50e-6, 128)])
def test_batches_are_halved_until_they_are_well_in_time_and_trust_stays(
    row_s: float, rows: int
) -> None:
    found = pace()
    assert settle(found, row_s) == rows
    assert found.trusted


def test_when_the_machine_is_quick_again_batches_grow_again() -> None:
    found = pace()
    settle(found, 30e-6)
    assert settle(found, 4e-6, calls=200) == 2048


def test_a_late_call_with_few_rows_takes_all_trust_away() -> None:
    found = pace()
    found.saw(FEW_ROWS, 2 * DEADLINE_S)
    assert not found.trusted
    for _ in range(TRUSTED_CALLS):
        found.saw(1, 0.0)
    assert found.trusted


def test_batches_are_never_cut_to_less_than_few_rows() -> None:
    found = pace(warmed_up=False)
    for _ in range(50):
        found.gave_up(min(2048, found.most_rows))
    assert found.most_rows == FEW_ROWS
    assert not found.trusted


def test_one_late_call_among_many_in_time_does_not_cut_batches() -> None:
    found = pace()
    settle(found, 3e-6)
    found.saw(2048, 2 * DEADLINE_S)
    assert found.most_rows >= 2048
    assert found.trusted


def test_without_a_deadline_nothing_is_late() -> None:
    found = pace(deadline_s=None)
    found.saw(10_000, 60.0)
    assert found.trusted
    assert found.most_rows > 10_000


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 1)), max_size=60))
def test_the_bound_is_never_below_few_rows(calls: list[tuple[int, float]]) -> None:
    found = pace()
    for rows, took_s in calls:
        found.saw(rows, took_s)
        assert found.most_rows >= FEW_ROWS
