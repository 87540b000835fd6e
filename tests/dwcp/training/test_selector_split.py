from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selector_tables import made

from gress_ml.dwcp.training.split import folds, split


def test_parts_share_no_source_no_link_and_no_time() -> None:
    parts = split(made())
    for what in ("source", "condition", "cohort"):
        seen = [set(getattr(part, what)) for part in (parts.train, parts.validation, parts.test)]
        assert sum(map(len, seen)) == len(set.union(*seen)), what
    times = [part.events.event_time_ms for part in (parts.train, parts.validation, parts.test)]
    assert times[0].max() < times[1].min() <= times[1].max() < times[2].min()


def test_parts_are_seventy_fifteen_fifteen_of_the_cohorts() -> None:
    assert split(made(600)).rows == {"train": 420, "validation": 90, "test": 90}


@pytest.mark.parametrize("what", ["source", "condition"])
def test_a_source_or_link_of_two_cohorts_is_refused(what: str) -> None:
    table = made()
    shared = getattr(table, what).copy()
    shared[0] = shared[-1]
    with pytest.raises(ValueError, match=f"the {what} .* is in cohorts of the test part"):
        split(replace(table, **{what: shared}))


@pytest.mark.parametrize("cohorts", [1, 2])
def test_too_few_cohorts_are_refused(cohorts: int) -> None:
    with pytest.raises(ValueError, match="make no three parts"):
        split(made(cohorts=cohorts))


def test_a_class_that_training_never_sees_is_refused() -> None:
    table = made()
    cost = table.cost.copy()
    cost[:, 2] = 1e6
    with pytest.raises(ValueError, match="cheapest as none: measure more"):
        split(replace(table, cost=cost))


@given(count=st.integers(3, 8), cohorts=st.integers(3, 20))
def test_every_row_is_tested_once_by_a_model_that_never_saw_its_cohort(
    count: int, cohorts: int
) -> None:
    table = made(200, cohorts=cohorts)
    tested = []
    for parts in folds(table, count):
        seen = set(parts.train.cohort) | set(parts.validation.cohort)
        assert not seen & set(parts.test.cohort)
        assert not set(parts.train.cohort) & set(parts.validation.cohort)
        assert len(parts.train) + len(parts.validation) + len(parts.test) == len(table)
        tested += parts.test.events.offsets.tolist()
    assert sorted(tested) == np.arange(len(table)).tolist()


def test_fewer_than_three_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 3 folds"):
        next(folds(made(), 2))
