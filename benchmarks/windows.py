"""Windows: what an aggregation per key adds to feature_extraction, over many keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gress_ml.batch import Batch
from gress_ml.operator import Context
from gress_ml.schema import Column, ColumnType, columns_of
from gress_ml.testing.harness import NoModels
from gress_ml_operators.feature_extraction import FeatureExtraction

KEYS = 100_000
_ROWS, _BATCHES = 256, 64
_PER_SECOND = 1000  # so that a key has six events in ten minutes
_COLUMNS = columns_of([Column("key", ColumnType.STRING), Column("x", ColumnType.FLOAT)])
_NUMBER = {"name": "x", "type": "numerical"}
WINDOW = {
    "name": "of_10m",
    "type": "aggregation",
    "function": "sum",
    "source": "x",
    "key": "key",
    "window": "10m",
}


def extracting(*features: Mapping[str, Any]) -> Callable[[object], Mapping[str, float]]:
    """CPU time of ``process`` in µs per event, after enough events for the windows to be full."""
    config = FeatureExtraction.Config.model_validate({"features": [_NUMBER, *features]})
    operator = FeatureExtraction(config)  # type: ignore[arg-type] # validated to its own type
    operator.open(Context(NoModels(), columns=_COLUMNS))
    chance = np.random.default_rng(17)
    seen = 0

    def more(rows: int) -> Batch:
        nonlocal seen
        numbers = np.arange(seen, seen + rows)
        seen += rows
        keys = np.array([f"key-{key}" for key in chance.integers(0, KEYS, rows)], object)
        columns = {"key": keys, "x": chance.random(rows)}
        times = numbers * 1000 // _PER_SECOND
        return Batch("bench", 0, numbers, times, [b""] * rows, columns)

    if features:
        operator.process(more(12 * KEYS))

    def measure(_: object) -> Mapping[str, float]:
        batches: Sequence[Batch] = [more(_ROWS) for _ in range(_BATCHES)]
        started = time.thread_time()
        for batch in batches:
            operator.process(batch)
        return {"answer": (time.thread_time() - started) / (_ROWS * _BATCHES) * 1e6}

    return measure
