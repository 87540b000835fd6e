"""Holdout: the share of the rows that is never learned from, by a hash of who the row is."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
_SPAN = 2.0**64


def held_out_offsets(topic: str, partition: int, offsets: Any, share: float) -> Mask:
    """Which records are held out: by topic, partition and offset, the same on every replay."""
    mixed = _mixed(offsets.astype(np.uint64) + np.uint64(_seed(f"{topic}-{partition}")))
    return mixed < np.uint64(int(share * _SPAN))


def held_out_values(values: Sequence[Any], share: float) -> Mask:
    """Which values are held out, such as ids: the same ones wherever and whenever they appear."""
    limit = int(share * _SPAN)
    return np.array([_seed(str(value)) < limit for value in values], np.bool_)


def _seed(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood: OOPSLA 2014): neighbours go far apart."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
