"""From an event, or its id, to a bucket: even, independent, and the same on every replay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gress_ml.experiments import BUCKETS
from gress_ml.experiments.buckets import by_event, by_fnv, by_key, by_turn, fnv1a, salt_of

SALT = salt_of("fraud-test")
IDS = [b"user-%06d" % number for number in range(100_000)]


@given(st.lists(st.binary(max_size=80), max_size=20), st.data())
def test_the_bucket_of_an_id_does_not_depend_on_its_company(
    keys: list[bytes], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(keys)))
    for bucket in (lambda part: by_key(SALT, part), by_fnv):
        whole = bucket(keys).tolist()
        assert bucket(keys[:at]).tolist() + bucket(keys[at:]).tolist() == whole
        assert all(0 <= one < BUCKETS for one in whole)


@given(st.lists(st.integers(0, 2**62), max_size=20, unique=True), st.data())
def test_the_bucket_of_an_event_does_not_depend_on_its_company(
    offsets: list[int], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(offsets)))
    for draw in (by_event, by_turn):

        def bucket(part: list[int], draw: object = draw) -> list[int]:
            found = draw(SALT, "t", 3, np.array(part, np.int64))  # type: ignore[operator]
            return list(found.tolist())

        whole = bucket(offsets)
        assert bucket(offsets[:at]) + bucket(offsets[at:]) == whole
        assert all(0 <= one < BUCKETS for one in whole)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**62)), max_size=20))
def test_events_of_several_partitions_draw_together_what_they_draw_apart(
    places: list[tuple[int, int]],
) -> None:
    partitions = np.array([partition for partition, _ in places], np.int64)
    offsets = np.array([offset for _, offset in places], np.int64)
    for draw in (by_event, by_turn):
        apart = [
            int(draw(SALT, "t", partition, np.array([offset], np.int64))[0])
            for partition, offset in places
        ]
        assert draw(SALT, "t", partitions, offsets).tolist() == apart


@pytest.mark.parametrize("salt", ["one", "two", ""])
def test_ids_that_follow_a_pattern_fill_the_buckets_evenly(salt: str) -> None:
    counts = np.bincount(by_key(salt_of(salt), IDS) // 100, minlength=100)
    assert (
        stats.chisquare(counts).pvalue > 1e-4
    )  # the ids are fixed: it does not change from run to run


def test_two_experiments_split_independently() -> None:
    first, second = (by_key(salt_of(salt), IDS) // 1000 for salt in ("one", "two"))
    table = np.zeros((10, 10))
    np.add.at(table, (first, second), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize("partition", [0, 7])
def test_chance_by_identity_is_even(partition: int) -> None:
    drawn = by_event(SALT, "dwcp.transfers", partition, np.arange(100_000))
    assert stats.chisquare(np.bincount(drawn // 100, minlength=100)).pvalue > 1e-4


def test_partitions_draw_independently() -> None:
    first, second = (by_event(SALT, "t", number, np.arange(50_000)) // 1000 for number in (0, 1))
    table = np.zeros((10, 10))
    np.add.at(table, (first, second), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-4


@given(st.integers(0, 2**40), st.integers(100, 2000), st.integers(1, 7))
def test_in_turn_every_stretch_of_events_is_split_nearly_exactly(
    start: int, length: int, step: int
) -> None:
    """Whatever stands between them: every second event, every seventh."""
    offsets = np.arange(start, start + length * step, step)
    share = np.mean(by_turn(SALT, "t", 0, offsets) < 3000)
    # three distances between neighbours (Steinhaus), so a few points more or less than the share
    assert abs(share - 0.3) <= 8 * step * np.log2(length) / length + 1 / BUCKETS


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"", 0x811C9DC5),
        (b"a", 0xE40C292C),
        (b"b", 0xE70C2DE5),
        (b"foobar", 0xBF9CF968),
        (b"hello", 0x4F9F2CAB),
    ],
)
def test_fnv1a_is_that_of_the_rfc(key: bytes, expected: int) -> None:
    assert fnv1a([key]).tolist() == [expected]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_fnv1a_side_by_side_is_fnv1a_one_by_one(keys: list[bytes]) -> None:
    def alone(key: bytes) -> int:
        hashed = 0x811C9DC5
        for byte in key:
            hashed = (hashed ^ byte) * 0x01000193 % 2**32
        return hashed

    assert fnv1a(keys).tolist() == [alone(key) for key in keys]


def test_the_legacy_split_reaches_a_hundred_buckets() -> None:
    buckets = by_fnv(IDS)
    assert {*np.unique(buckets).tolist()} == {*range(0, BUCKETS, 100)}
    assert (by_fnv([b"a"]) == 0xE40C292C % 100 * 100).all()
