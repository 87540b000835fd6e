"""Split: which arm of an experiment has which of the 10,000 buckets, and the next split after it.

An id is hashed to a bucket once and for all; a split says whose the bucket is. So what moves from
one split to the next are buckets, as in the segments of PlanOut's namespaces (Bakshy, Eckles and
Bernstein, "Designing and Deploying Online Field Experiments", WWW 2014). See decision record 0011.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

BUCKETS = 10_000
#: Digits of a share, in buckets: what is beyond them is rounding of floats, as in 0.29 * 10,000.
_DIGITS = 6

Owners = npt.NDArray[np.int16]
Ranges = Mapping[str, Sequence[tuple[int, int]]]  # arm -> buckets from .. to before ..


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Each bucket is of one arm. ``owners[b]`` is the position in ``arms`` of whom ``b`` is."""

    arms: tuple[str, ...]
    owners: Owners

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> Self:
        """The arms one after the other, in the order given, each with its share of the buckets.

        Raises ValueError for weights that are no split.
        """
        sizes = _sizes(weights)
        return cls(tuple(weights), _read_only(np.repeat(np.arange(len(sizes)), sizes)))

    @classmethod
    def from_ranges(cls, arms: Sequence[str], ranges: Ranges) -> Self:
        """The split that is written down so. Raises ValueError where a bucket is not of one arm."""
        owners = np.full(BUCKETS, -1, np.int16)
        for arm, spans in ranges.items():
            if arm not in arms:
                raise ValueError(f"buckets of an unknown arm {arm!r}: there are {[*arms]}")
            for start, end in spans:
                if not 0 <= start < end <= BUCKETS:
                    raise ValueError(
                        f"buckets {start} to {end} of arm {arm!r}: there are 0 to {BUCKETS}, and "
                        "the end is after the start"
                    )
                if (owners[start:end] >= 0).any():
                    raise ValueError(f"buckets {start} to {end} of arm {arm!r} have an arm already")
                owners[start:end] = arms.index(arm)
        if (owners < 0).any():
            raise ValueError(f"bucket {int((owners < 0).argmax())} has no arm")
        return cls(tuple(arms), _read_only(owners))

    def changed(self, weights: Mapping[str, float]) -> Self:
        """The split of these weights that moves the fewest buckets.

        An arm that gets no fewer buckets than it had keeps all that it had, whatever the others
        do, and so does one whose share grows by a bucket (0.01 %) or more. Who gets fewer gives
        away its last ones. Raises ValueError for weights that are no split of these arms.
        """
        if set(weights) != set(self.arms):
            raise ValueError(f"weights of {[*weights]}: expected one for each of {[*self.arms]}")
        wanted = _sizes({arm: weights[arm] for arm in self.arms})
        owners = self.owners.copy()
        surplus = self.sizes - wanted
        given = [
            np.flatnonzero(owners == arm)[wanted[arm] :] for arm in np.flatnonzero(surplus > 0)
        ]
        if given:
            takers = np.repeat(np.arange(len(wanted)), np.maximum(-surplus, 0))
            owners[np.sort(np.concatenate(given))] = takers
        return type(self)(self.arms, _read_only(owners))

    @property
    def sizes(self) -> npt.NDArray[np.intp]:
        """How many buckets each arm has."""
        counts: npt.NDArray[np.intp] = np.bincount(self.owners, minlength=len(self.arms))
        return counts

    @property
    def ranges(self) -> dict[str, list[tuple[int, int]]]:
        """The buckets of each arm as half-open ranges, in order."""
        edges = [0, *(np.flatnonzero(np.diff(self.owners)) + 1).tolist(), BUCKETS]
        found: dict[str, list[tuple[int, int]]] = {arm: [] for arm in self.arms}
        for start, end in pairwise(edges):
            found[self.arms[self.owners[start]]].append((start, end))
        return found

    def moved(self, other: Split) -> int:
        """How many buckets have another arm in the other split."""
        return int(np.count_nonzero(self.owners != other.owners))


def _sizes(weights: Mapping[str, float]) -> npt.NDArray[np.intp]:
    """Buckets per arm: whole ones first, the rest to the largest remainders (Hamilton's method).

    Of equal remainders the first name counts, so that the order of the arms does not.
    """
    names = [*weights]
    for arm, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight {weight} of arm {arm!r}: expected a number from 0 on")
    total = sum(sorted(weights.values()))  # the same whatever the order of the arms
    if not (math.isfinite(total) and total > 0):
        raise ValueError("expected one weight or more above 0, and a finite sum")
    exact = np.array([weight / total * BUCKETS for weight in weights.values()]).round(_DIGITS)
    sizes: npt.NDArray[np.intp] = np.floor(exact).astype(np.intp)
    rest = (exact - sizes).tolist()
    by_rest = sorted(range(len(rest)), key=lambda arm: (-rest[arm], names[arm]))
    sizes[by_rest[: BUCKETS - int(sizes.sum())]] += 1
    for arm, size in zip(weights, sizes.tolist(), strict=True):
        if weights[arm] > 0 and size == 0:
            raise ValueError(f"the share of arm {arm!r} is below 1/{BUCKETS}: raise it, or say 0")
    return sizes


def _read_only(owners: npt.NDArray[np.integer]) -> Owners:
    kept = owners.astype(np.int16)
    kept.setflags(write=False)
    return kept
