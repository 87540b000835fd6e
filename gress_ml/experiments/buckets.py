"""Buckets: from an event, or an id in it, to a number below 10,000, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from gress_ml.batch import Array
from gress_ml.experiments.split import BUCKETS

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio
_HIGH, _BUCKETS = np.uint64(32), np.uint64(BUCKETS)
_FNV_START, _FNV_PRIME = 0x811C9DC5, 0x01000193
#: Keys up to this length are hashed side by side; longer ones are rare, and hashed one by one.
_FNV_TOGETHER = 64
_LEGACY_BUCKETS = 100


def salt_of(text: str) -> np.uint64:
    """A number from the text; two experiments split independently of each other by it."""
    return np.uint64(xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")))


def by_key(salt: np.uint64, keys: Sequence[bytes]) -> Indices:
    """The same key has the same bucket, whatever the batch, the partition or the worker.

    The keys are hashed by XXH3, the salt is mixed in afterwards.
    """
    hashed = np.fromiter(map(xxhash.xxh3_64_intdigest, keys), np.uint64, len(keys))
    return _below(_mixed(hashed ^ salt))


def by_event(salt: np.uint64, topic: str, partition: int | Array, offsets: Array) -> Indices:
    """Chance by the event's identity: a replay draws the same."""
    start = _start(salt, topic, partition)
    return _below(_mixed(start + offsets.astype(np.uint64) * _GOLDEN))


def by_turn(salt: np.uint64, topic: str, partition: int | Array, offsets: Array) -> Indices:
    """Evenly in turn: among any events that follow each other, shares are nearly exact.

    Steps of the golden ratio around a circle, which no regular pattern of events can meet
    (Fibonacci hashing: Knuth, The Art of Computer Programming 3, 6.4).
    """
    start = _start(salt, topic, partition)
    return _below(start + offsets.astype(np.uint64) * _GOLDEN)


def _start(salt: np.uint64, topic: str, partition: int | Array) -> Words:
    """Where the numbers of a partition begin: one for all rows, or one for each."""
    if isinstance(partition, int):
        return _mixed(np.array([salt ^ salt_of(f"{topic}-{partition}")]))
    numbers, which = np.unique(partition, return_inverse=True)
    starts = [salt ^ salt_of(f"{topic}-{number}") for number in numbers.tolist()]
    return _mixed(np.array(starts, np.uint64))[which]


def by_fnv(keys: Sequence[bytes]) -> Indices:
    """FNV-1a of 32 bits modulo 100, in steps of a hundred buckets; without a salt."""
    percent = fnv1a(keys) % _LEGACY_BUCKETS
    return percent.astype(np.intp) * (BUCKETS // _LEGACY_BUCKETS)


def fnv1a(keys: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    """FNV-1a, 32 bits, of each key (RFC 9923)."""
    lengths = np.fromiter(map(len, keys), np.intp, len(keys))
    together = min(int(lengths.max(initial=0)), _FNV_TOGETHER)
    grid = np.zeros((together, len(keys)), np.uint32)
    for row, key in enumerate(keys):
        head = np.frombuffer(key, np.uint8, min(len(key), together))
        grid[: len(head), row] = head
    hashed = np.full(len(keys), _FNV_START, np.uint32)
    for at, column in enumerate(grid):
        np.copyto(hashed, (hashed ^ column) * np.uint32(_FNV_PRIME), where=at < lengths)
    for row in np.flatnonzero(lengths > together).tolist():
        hashed[row] = _fnv1a_on(int(hashed[row]), keys[row][together:])
    return hashed


def _fnv1a_on(hashed: int, rest: bytes) -> int:
    for byte in rest:
        hashed = (hashed ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return hashed


def _mixed(words: Words) -> Words:
    """Every bit depends on every bit: the last steps of SplitMix64 (Steele, Lea and Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _below(words: Words) -> Indices:
    """The high halves, scaled to buckets: no division (Lemire 2019, "Fast Random Integer ...")."""
    return ((words >> _HIGH) * _BUCKETS >> _HIGH).astype(np.intp)
