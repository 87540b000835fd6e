"""``python -m benchmarks.split``: how evenly each strategy splits a million ids, and what moves.

Deterministic: the same figures on every machine. The p-value is that of a chi-square test against
the shares asked for; chance gives each value between 0 and 1 as often, and a split in turn is more
even than chance. Below 0.001 something is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from gress_ml.batch import Batch
from gress_ml.experiments import Assigner, Split, Strategy

_IDS = 1_000_000
_BATCH = 256
_BEFORE, _AFTER = {"control": 90, "treatment": 10}, {"control": 75, "treatment": 25}
_THREE_BEFORE = {"a": 60, "b": 30, "c": 10}
_THREE_AFTER = {"a": 45, "b": 35, "c": 20}


@dataclass(frozen=True, slots=True)
class Row:
    """What one strategy made of the ids."""

    strategy: str
    shares: str
    p_value: float
    moved: int
    lost_by_growing: int  # ids that left an arm whose share grew
    ns_per_row: float


def _events(keys: list[bytes | None]) -> Batch:
    return Batch.of({"row": np.arange(len(keys))}, topic="events", keys=keys)


def _row(strategy: Strategy, weights: Mapping[str, float], after: Mapping[str, float]) -> Row:
    keys: list[bytes | None] = [b"user-%07d" % number for number in range(_IDS)]
    events, assigner = _events(keys), Assigner(strategy, "a-million-ids")
    split = Split.of(weights)
    grown = split.changed(after)
    first = assigner.assign(split, events, keys).arms
    second = assigner.assign(grown, events, keys).arms
    counts = np.bincount(first, minlength=len(split.arms))
    growing = np.flatnonzero(grown.sizes > split.sizes)
    moved = first != second
    return Row(
        strategy,
        " / ".join(f"{count / _IDS:.3%}" for count in counts.tolist()),
        float(stats.chisquare(counts, split.sizes / split.sizes.sum() * _IDS).pvalue),
        int(np.count_nonzero(moved)),
        int(np.count_nonzero(moved & np.isin(first, growing))),
        _ns_per_row(assigner, split),
    )


def _ns_per_row(assigner: Assigner, split: Split) -> float:
    keys: list[bytes | None] = [b"user-%07d" % number for number in range(_BATCH)]
    events, best = _events(keys), float("inf")
    for _ in range(200):
        started = time.perf_counter()
        assigner.assign(split, events, keys)
        best = min(best, time.perf_counter() - started)
    return best / _BATCH * 1e9


def measure() -> list[Row]:
    """A row per strategy, and one with three arms of which two grow."""
    rows = [_row(strategy, _BEFORE, _AFTER) for strategy in get_args(Strategy)]
    return [*rows, _row("hash", _THREE_BEFORE, _THREE_AFTER)]


def main() -> None:
    """Print the table."""
    table = Table(
        "strategy",
        "shares of 1,000,000 ids",
        "p-value",
        "moved",
        "of them from an arm that grew",
        f"ns per row, batch {_BATCH}",
    )
    for row in measure():
        table.add_row(
            row.strategy,
            row.shares,
            f"{row.p_value:.3f}",
            f"{row.moved:,}",
            str(row.lost_by_growing),
            f"{row.ns_per_row:.0f}",
        )
    out = Console(width=120)
    out.print(f"{_BEFORE} then {_AFTER}; the last row {_THREE_BEFORE} then {_THREE_AFTER}")
    out.print(table)


if __name__ == "__main__":
    main()
