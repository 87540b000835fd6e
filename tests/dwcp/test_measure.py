from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.dwcp.measure import (
    block_hashes,
    compressibility_score,
    entropy,
    repetition_score,
    similarity,
)


@given(st.binary(max_size=3000))
def test_scores_stay_in_their_ranges(data: bytes) -> None:
    assert 0 <= entropy(data) <= 8
    assert 0 <= repetition_score(data) <= 100
    assert 0 <= compressibility_score(data) <= 1


@pytest.mark.parametrize("score", [entropy, repetition_score, compressibility_score])
def test_no_bytes_score_zero(score: object) -> None:
    assert score(b"") == 0  # type: ignore[operator]


def test_entropy_of_known_distributions() -> None:
    assert entropy(bytes(range(256)) * 10) == 8
    assert entropy(b"a" * 1000) == 0
    assert entropy(b"ab" * 500) == 1


@given(st.binary(min_size=1, max_size=500), st.randoms())
def test_entropy_does_not_depend_on_order(data: bytes, random: object) -> None:
    shuffled = bytearray(data)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert entropy(bytes(shuffled)) == entropy(data)


def test_random_bytes_neither_repeat_nor_compress_and_zeros_do_both() -> None:
    noise = np.random.default_rng(0).bytes(300_000)
    assert entropy(noise) > 7.99
    assert repetition_score(noise) == 0
    assert compressibility_score(noise) == 0
    zeros = bytes(300_000)
    assert repetition_score(zeros) > 99
    assert compressibility_score(zeros) > 0.99


def test_repetition_is_the_share_of_blocks_seen_before() -> None:
    one, two, three = (bytes([value]) * 64 for value in (1, 2, 3))
    assert repetition_score(one + two + one + three) == 25
    assert repetition_score(one + two + one + three + b"rest") == 25


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=30))
def test_blocks_have_equal_hashes_exactly_when_they_are_equal(blocks: list[bytes]) -> None:
    hashes = block_hashes(b"".join(blocks), 16).tolist()
    assert len(set(hashes)) == len(set(blocks))


@pytest.mark.parametrize("block", [0, 7, 12, 8192])
def test_a_block_of_a_bad_size_is_refused(block: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        block_hashes(b"x" * 100, block)


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_similarity_stays_in_its_range_and_needs_a_baseline(data: bytes, baseline: bytes) -> None:
    assert 0 <= similarity(data, baseline) <= 100
    assert similarity(data, b"") == 0


@given(st.integers(0, 5000))
def test_similarity_does_not_mind_where_the_same_bytes_lie(shift: int) -> None:
    known = np.random.default_rng(1).bytes(60_000)
    assert similarity(known[shift:], known) == 100
    assert similarity(known, b"x" * shift + known) == 100


def test_similarity_is_about_the_share_of_the_payload_that_is_known() -> None:
    rng = np.random.default_rng(0)
    known = rng.bytes(1 << 20)
    assert similarity(rng.bytes(1 << 20), known) == 0
    assert 40 < similarity(known[: 1 << 19] + rng.bytes(1 << 19), known) < 60
