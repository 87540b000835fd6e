from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.batch import Batch
from gress_ml.features import FeatureSet, FeatureSetSpec
from gress_ml.features.timezone import local_ms, offset_changes
from gress_ml.schema import MISSING_TIME

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
PARTS = ["hour", "day_of_week", "hour_sin", "hour_cos", "day_of_week_sin", "day_of_week_cos"]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def parts(times: list[int], zone: str, **more: object) -> np.ndarray:
    feature = {"name": "t", "type": "temporal", "parts": PARTS, "timezone": zone, **more}
    spec = FeatureSetSpec.model_validate({"features": [feature]})
    batch = Batch.of({"at": np.array(times)}, event_time_ms=times)
    return FeatureSet(spec).transform(batch)[0]


@pytest.mark.parametrize(
    ("instant", "hour", "day"),
    [
        ("2026-03-29T00:59:59.999Z", 1, 6),  # the last moment of winter time in Berlin
        ("2026-03-29T01:00:00Z", 3, 6),  # 02:00 does not exist
        ("2026-10-25T00:59:59Z", 2, 6),  # 02:59 summer time
        ("2026-10-25T01:00:00Z", 2, 6),  # 02:00 once more
        ("2026-10-25T23:30:00Z", 0, 0),  # Monday there, Sunday in UTC
        ("1970-01-01T00:00:00Z", 1, 3),
    ],
)
def test_local_time_follows_daylight_saving(instant: str, hour: int, day: int) -> None:
    assert parts([ms(instant)], "Europe/Berlin")[0, :2].tolist() == [hour, day]


@given(st.lists(st.integers(0, ms("2099-12-31T00:00:00Z")), min_size=1, max_size=20))
@pytest.mark.parametrize("zone", ZONES)
def test_parts_are_those_of_datetime(zone: str, times: list[int]) -> None:
    found = parts(times, zone)
    for row, time in zip(found, times, strict=True):
        local = datetime.fromtimestamp(time // 1000, UTC).astimezone(ZoneInfo(zone))
        assert row[:2].tolist() == [local.hour, local.weekday()]
        seconds = local.hour * 3600 + local.minute * 60 + local.second + time % 1000 / 1000
        assert row[2] == pytest.approx(math.sin(2 * math.pi * seconds / 86_400), abs=1e-6)
        assert row[3] == pytest.approx(math.cos(2 * math.pi * seconds / 86_400), abs=1e-6)
        assert row[4] == pytest.approx(math.sin(2 * math.pi * local.weekday() / 7), abs=1e-6)
        assert row[5] == pytest.approx(math.cos(2 * math.pi * local.weekday() / 7), abs=1e-6)


@pytest.mark.parametrize("zone", ZONES[1:])
def test_every_change_of_offset_is_found_to_the_second(zone: str) -> None:
    starts, offsets = offset_changes(zone)
    for start, offset in zip(starts[1:40].tolist(), offsets[1:40].tolist(), strict=True):
        assert local_ms(np.array([start]), zone)[0] == start + offset
        for at in (start - 1000, start):
            local = datetime.fromtimestamp(at // 1000, UTC).astimezone(ZoneInfo(zone))
            expected = local.utcoffset()
            assert expected is not None
            assert local_ms(np.array([at]), zone)[0] - at == expected.total_seconds() * 1000


def test_outside_the_known_years_the_nearest_offset_counts() -> None:
    assert local_ms(np.array([ms("1900-06-01T00:00:00Z")]), "Europe/Berlin")[0] == ms(
        "1900-06-01T01:00:00Z"
    )
    assert local_ms(np.array([ms("2200-06-01T00:00:00Z")]), "Europe/Berlin")[0] == ms(
        "2200-06-01T01:00:00Z"
    )


def test_a_missing_time_is_rejected_or_kept() -> None:
    times = [MISSING_TIME, 0]
    kept = parts(times, "Asia/Kolkata", source="at", missing="keep")
    assert np.isnan(kept[0]).all()
    assert kept[1, 0] == 5
    rejected = parts(times, "UTC", source="at")
    assert np.isnan(rejected[0]).all()
    assert rejected[1, 0] == 0


def test_a_single_part_overwrites_its_own_input() -> None:
    spec = {"features": [{"name": "t", "type": "temporal", "parts": ["hour_cos"]}]}
    found, _ = FeatureSet(FeatureSetSpec.model_validate(spec)).transform(
        Batch.of({"x": np.zeros(2)}, event_time_ms=[0, 43_200_000])
    )
    np.testing.assert_allclose(found[:, 0], [1, -1])
