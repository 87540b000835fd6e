"""The rules: what is decided without a model, on columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gress_ml.dwcp.profiles import AMST, HDE

#: The confidence of a decision by the rules.
CONFIDENCE = 0.5

Floats = npt.NDArray[np.floating[Any]]


def choose(
    rtt_ms: Floats, bandwidth_mbps: Floats, hde_ratio: Floats, hde_hit_rate: Floats
) -> npt.NDArray[np.object_]:
    """The algorithm of each row; the first rule that holds decides.

    1. ``rtt < 1 ms`` and ``bandwidth > 500 Mbit/s``: a data centre, ``amst``.
    2. ``compression ratio > 10`` and ``delta hit rate > 80 %``: ``hde`` pays.
    3. ``bandwidth < 100 Mbit/s``: a slow link, ``hde``.
    4. Else ``amst``.

    A comparison with a missing value (NaN) does not hold.
    """
    chosen = np.full(len(rtt_ms), AMST, dtype=object)
    chosen[prefers_hde(rtt_ms, bandwidth_mbps, hde_ratio, hde_hit_rate)] = HDE
    return chosen


def prefers_hde(
    rtt_ms: Floats, bandwidth_mbps: Floats, hde_ratio: Floats, hde_hit_rate: Floats
) -> npt.NDArray[np.bool_]:
    """Which rows the rules send as ``hde``; the others are ``amst``."""
    near = (rtt_ms < 1.0) & (bandwidth_mbps > 500.0)
    compresses = (hde_ratio > 10.0) & (hde_hit_rate > 80.0)
    slow = bandwidth_mbps < 100.0
    return ~near & (compresses | slow)


def choose_one(rtt_ms: float, bandwidth_mbps: float, hde_ratio: float, hde_hit_rate: float) -> str:
    """:func:`choose` for one row."""
    row = (np.array([value]) for value in (rtt_ms, bandwidth_mbps, hde_ratio, hde_hit_rate))
    return str(choose(*row)[0])
