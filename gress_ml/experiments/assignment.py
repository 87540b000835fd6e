"""Assigner: which arm answers each row of a batch, by one of five strategies, and how likely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from gress_ml.batch import Array, Batch, place_of
from gress_ml.experiments.buckets import Indices, by_event, by_fnv, by_key, by_turn, salt_of
from gress_ml.experiments.split import BUCKETS, Split

Strategy = Literal["random", "hash", "percentage", "user_id", "legacy_fnv"]
MissingKey = Literal["reject", "default_arm", "by_event"]

#: Strategies that look at an id; the others look at where the event stands in the log.
KEYED: frozenset[Strategy] = frozenset({"hash", "user_id", "legacy_fnv"})
_LEGACY_STEP = BUCKETS // 100


@dataclass(frozen=True, slots=True)
class Assignment:
    """Per row: the position of its arm, the probability of this choice, whether it lacked a key.

    Where the policy is ``reject`` a row without a key has an arm all the same; it is the caller's
    to reject.
    """

    arms: Indices
    propensity: npt.NDArray[np.float64]
    missing: npt.NDArray[np.bool_] | None  # None: no row

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Assignment:
        """That of the given rows."""
        missing = None if self.missing is None else self.missing[rows]
        return Assignment(self.arms[rows], self.propensity[rows], missing)


class Assigner:
    """The same event, or the same id, gets the same arm from the same split: a pure function.

    ``random``, ``percentage`` look at topic, partition and offset, so a replay chooses the same;
    ``hash``, ``user_id`` and ``legacy_fnv`` at an id, so that it stays with its arm.
    """

    def __init__(
        self,
        strategy: Strategy,
        salt: str,
        missing: MissingKey = "by_event",
        default_arm: int = 0,
    ) -> None:
        self._strategy = strategy
        self._salt = salt_of(salt)
        self._missing = missing
        self._default_arm = default_arm
        self._counted: tuple[Split, npt.NDArray[np.float64]] | None = None

    def assign(
        self, split: Split, batch: Batch, keys: Sequence[bytes | None] | None = None
    ) -> Assignment:
        """An arm for each row; ``keys`` are the ids, for strategies that look at one."""
        shares = self._shares(split)
        if self._strategy not in KEYED:
            draw = by_event if self._strategy == "random" else by_turn
            arms = split.owners[draw(self._salt, batch.topic, *place_of(batch))].astype(np.intp)
            return Assignment(arms, shares[arms], None)
        assert keys is not None
        buckets, missing = self._buckets(keys)
        arms = split.owners[buckets].astype(np.intp)
        propensity = shares[arms]
        if missing is not None:
            self._fill_in(split, batch, missing, arms, propensity)
        return Assignment(arms, propensity, missing)

    def _buckets(
        self, keys: Sequence[bytes | None]
    ) -> tuple[Indices, npt.NDArray[np.bool_] | None]:
        """The bucket of each key, and where keys are missing; their buckets mean nothing."""
        draw = by_fnv if self._strategy == "legacy_fnv" else partial(by_key, self._salt)
        try:
            return draw(cast(Sequence[bytes], keys)), None  # nearly all have all their keys
        except TypeError:  # None has no hash
            missing = np.fromiter((key is None for key in keys), np.bool_, len(keys))
            return draw([key or b"" for key in keys]), missing

    def _fill_in(
        self,
        split: Split,
        batch: Batch,
        missing: npt.NDArray[np.bool_],
        arms: Indices,
        propensity: npt.NDArray[np.float64],
    ) -> None:
        """The arms of rows without a key."""
        if self._missing == "default_arm":
            arms[missing], propensity[missing] = self._default_arm, 1.0
            return
        partition, offsets = place_of(batch)
        if not isinstance(partition, int):
            partition = partition[missing]
        drawn = split.owners[by_event(self._salt, batch.topic, partition, offsets[missing])]
        arms[missing] = drawn
        propensity[missing] = _shares(split.owners, split)[drawn]

    def _shares(self, split: Split) -> npt.NDArray[np.float64]:
        """The probability of each arm; FNV modulo 100 reaches every hundredth bucket alone."""
        if self._counted is None or self._counted[0] is not split:  # a split lasts for many batches
            legacy = self._strategy == "legacy_fnv"
            reached = split.owners[::_LEGACY_STEP] if legacy else split.owners
            self._counted = split, _shares(reached, split)
        return self._counted[1]


def _shares(reached: Array, split: Split) -> npt.NDArray[np.float64]:
    return np.bincount(reached, minlength=len(split.arms)) / len(reached)


def ids_of(column: Array) -> list[bytes | None]:
    """The ids in a column of texts or whole numbers, as bytes; None where there is none."""
    if column.dtype != object:
        return [b"%d" % number for number in column.tolist()]
    try:
        return [*map(str.encode, column.tolist())]  # as nearly all are
    except (TypeError, UnicodeEncodeError):
        return [
            None if value is None else value.encode("utf-8", "surrogatepass")
            for value in column.tolist()
        ]
