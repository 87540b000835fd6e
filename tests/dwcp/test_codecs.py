from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gress_ml.dwcp import codecs
from gress_ml.dwcp.payloads import mutate
from gress_ml.dwcp.profiles import ALGORITHMS, Profile, profiles

payloads = st.binary(max_size=5000) | st.builds(
    lambda piece, times: piece * times, st.binary(min_size=1, max_size=40), st.integers(0, 3000)
)


@settings(deadline=None)
@given(payloads, st.none() | payloads, st.sampled_from(ALGORITHMS), st.integers(1, 9))
def test_any_bytes_come_back(
    data: bytes, baseline: bytes | None, algorithm: str, streams: int
) -> None:
    encoded = codecs.run(profiles(streams)[algorithm], data, baseline)
    assert encoded.verified_bytes == len(data)
    for work in (encoded.compress, encoded.decompress):
        assert 0 <= work.slowest_ms <= work.cpu_ms
    assert encoded.cpu_ms == encoded.compress.cpu_ms + encoded.decompress.cpu_ms
    assert 0 <= encoded.delta_hit_rate <= 100
    if algorithm == "none":
        assert encoded.bytes_sent == len(data)


def test_the_delta_is_small_when_little_changed() -> None:
    rng = np.random.default_rng(0)
    before = rng.bytes(1 << 18)
    after = mutate(before, 0.05, rng)
    fresh, delta = (codecs.run(profiles()["hde"], after, known) for known in (None, before))
    assert fresh.bytes_sent >= len(after)
    assert delta.bytes_sent < len(after) / 10
    assert fresh.delta_hit_rate == 0
    assert 80 < delta.delta_hit_rate < 100


def test_the_wrong_baseline_is_found_out() -> None:
    data = bytes(range(256)) * 8
    packed = codecs.compress_zstd_max(data, data)
    assert codecs.decompress_zstd_max(packed, data) == data
    try:
        back = codecs.decompress_zstd_max(packed, data[::-1])
    except Exception:  # noqa: BLE001, RUF100 - refused by zstd is as good
        return
    assert back != data


@pytest.mark.parametrize(
    ("size", "streams", "pieces"), [(0, 4, 1), (1, 4, 1), (10, 4, 4), (9, 3, 3)]
)
def test_pieces_add_up(size: int, streams: int, pieces: int) -> None:
    data = bytes(range(size))
    cut = codecs.split(data, streams)
    assert b"".join(cut) == data
    assert len(cut) == pieces


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ValueError, match="no codec 'gzip'"):
        codecs.run(Profile("hde", "gzip", 1), b"x")


def test_only_amst_uses_several_streams() -> None:
    assert {name: profile.streams for name, profile in profiles(7).items()} == {
        "hde": 1,
        "amst": 7,
        "none": 1,
    }
    with pytest.raises(ValueError, match="at least 1 stream"):
        profiles(0)


@pytest.mark.parametrize("data", [b"", b"x", b"ab" * 5000])
def test_the_baseline_ratio_is_positive(data: bytes) -> None:
    assert codecs.baseline_ratio(data) > 0
