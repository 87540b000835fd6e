from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.features.figures import exact_sums

POWERS = st.builds(math.ldexp, st.sampled_from([1.0, -1.0, 1.5, -0.75]), st.integers(-1074, 127))
VALUES = st.one_of(
    st.floats(-(2.0**127), 2.0**127),
    st.floats(0, 1),
    st.integers(-(10**6), 10**6).map(float),
    POWERS,  # whose sums are often as near to one double as to the next
)
RUNS = st.lists(st.lists(VALUES, min_size=1, max_size=40), min_size=1, max_size=20)


def sums_of(runs: list[list[float]]) -> tuple[list[float], list[bool]]:
    sizes = np.array([len(run) for run in runs])
    values = np.array([value for run in runs for value in run])
    sums, sure = exact_sums(values, sizes.cumsum() - sizes)
    return (sums + 0.0).tolist(), sure.tolist()


@given(RUNS)
def test_sums_that_are_proven_are_the_exact_ones_rounded_once(runs: list[list[float]]) -> None:
    for run, found, sure in zip(runs, *sums_of(runs), strict=True):
        assert not sure or found.hex() == math.fsum(run).hex()


def test_sums_half_way_between_two_doubles_are_proven_or_left() -> None:
    ulp = 2.0**-52
    runs = [[1.0, ulp / 2], [1.0, ulp / 2, 2.0**-80], [1.0 + ulp, ulp / 2, -(2.0**-80)]]
    for run, found, sure in zip(runs, *sums_of(runs), strict=True):
        assert not sure or found == math.fsum(run)


def test_nearly_all_sums_of_numbers_of_a_kind_are_proven() -> None:
    chance = np.random.default_rng(3)
    runs = [chance.random(6).tolist() for _ in range(1000)]
    if np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant:
        assert sum(sums_of(runs)[1]) > 950
