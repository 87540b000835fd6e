"""Encodings: what a feature makes of its value; NaN stays NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from gress_ml.features.spec import TemporalPart
from gress_ml.features.timezone import DAY_MS, HOUR_MS, Int64, local_ms
from gress_ml.features.values import Float64

#: Writes the encoded values (n,) into rows of shape (k, n). Both may be the same memory.
Encode = Callable[[Float64, Float64], None]


def log1p(values: Float64, rows: Float64) -> None:
    """log(1 + x)."""
    np.log1p(values, out=rows[0])


def bucket(boundaries: Sequence[float]) -> Encode:
    """How many boundaries are at or below x."""
    bounds = np.array(boundaries, np.float64)

    def encode(values: Float64, rows: Float64) -> None:
        buckets = np.searchsorted(bounds, values, side="right")
        rows[0] = np.where(np.isnan(values), np.nan, buckets)

    return encode


def onehot(first_code: int, width: int) -> Encode:
    """One row per code, from the first on; 1 where the value is that code, else 0."""
    codes = np.arange(first_code, first_code + width, dtype=np.float64)[:, None]

    def encode(values: Float64, rows: Float64) -> None:
        missing = np.isnan(values)
        np.equal(values, codes, out=rows)
        rows[:, missing] = np.nan

    return encode


def temporal(parts: Sequence[TemporalPart], zone: str) -> Encode:
    """One row per part of the local time of instants in milliseconds."""

    def encode(values: Float64, rows: Float64) -> None:
        missing = np.isnan(values)
        local = local_ms(np.where(missing, 0.0, values).astype(np.int64), zone)
        for row, part in zip(rows, parts, strict=True):
            row[:] = time_part(local, part)
        rows[:, missing] = np.nan

    return encode


def time_part(local: Int64, part: TemporalPart) -> Float64:
    """A part of the local time, given as milliseconds on the wall clock since 1970-01-01."""
    day, of_day = np.divmod(local, DAY_MS)
    day_of_week = (day + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    match part:
        case "hour":
            return (of_day // HOUR_MS).astype(np.float64)
        case "hour_sin":
            return np.sin(2 * math.pi / DAY_MS * of_day)
        case "hour_cos":
            return np.cos(2 * math.pi / DAY_MS * of_day)
        case "day_of_week":
            return day_of_week.astype(np.float64)
        case "day_of_week_sin":
            return np.sin(2 * math.pi / 7 * day_of_week)
        case "day_of_week_cos":
            return np.cos(2 * math.pi / 7 * day_of_week)
