"""Split: parts of the data that share no payload source, no link and no time.

A cohort is a stretch of time with sources and links of its own, so whole cohorts go to one part:
what is tested on is later than what was trained on, of payloads and link conditions never seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.training.table import Table

TRAIN_END, VALIDATION_END = 0.70, 0.85
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """The oldest 70 % of the cohorts, the next 15 %, the newest 15 %."""

    train: Table
    validation: Table
    test: Table

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each has."""
        named = (("train", self.train), ("validation", self.validation), ("test", self.test))
        return {name: len(part) for name, part in named}


def split(table: Table) -> Parts:
    """Cut by cohorts. Raises ValueError when a part, or a class of the training part, is empty."""
    cohorts = np.unique(table.cohort)
    first, second = (round(share * len(cohorts)) for share in (TRAIN_END, VALIDATION_END))
    pieces = (cohorts[:first], cohorts[first:second], cohorts[second:])
    if not all(map(len, pieces)):
        raise ValueError(
            f"{len(cohorts)} cohorts make no three parts: measure 7 or more, each with payloads "
            "and links of its own"
        )
    parts = Parts(*(table.rows(np.isin(table.cohort, piece)) for piece in pieces))
    _require_apart(parts)
    _require_classes(parts.train)
    return parts


def folds(table: Table, count: int = FOLDS) -> Iterator[Parts]:
    """Cross-validation: the cohorts are dealt out in turn, and each hand is the test part once.

    The next hand stops and calibrates, so the test part has no say in its own model. Raises
    ValueError where there are fewer than three cohorts.
    """
    cohorts = np.unique(table.cohort)
    count = min(count, len(cohorts))
    if count < 3:
        raise ValueError(f"cross-validation needs 3 folds of cohorts, not {count}")
    for number in range(count):
        test = np.isin(table.cohort, cohorts[number::count])
        validation = np.isin(table.cohort, cohorts[(number + 1) % count :: count])
        yield Parts(table.rows(~test & ~validation), table.rows(validation), table.rows(test))


def _require_apart(parts: Parts) -> None:
    for what in ("source", "condition"):
        seen = set(getattr(parts.train, what)) | set(getattr(parts.validation, what))
        both = sorted(map(str, seen & set(getattr(parts.test, what))))
        if both:
            raise ValueError(
                f"the {what} {both[0]!r} is in cohorts of the test part and of others: expected "
                "cohorts that share none. Build the data set again"
            )


def _require_classes(table: Table) -> None:
    counts = np.bincount(table.label, minlength=len(ALGORITHMS))
    absent = [name for name, count in zip(ALGORITHMS, counts, strict=True) if not count]
    if absent:
        raise ValueError(
            f"no transfer of the training part is cheapest as {', '.join(absent)}: measure more"
        )
