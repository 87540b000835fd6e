"""Features: rows in a feature store, one for each key that events ask for."""

from __future__ import annotations

import numpy as np

from benchmarks.scaling.events import HISTORY, key_row
from gress_ml.features.keys import SEPARATOR
from gress_ml.ports import FeatureStore

_TABLE = "transfer_history"
_AT_ONCE = 2_000
_ROW = (3.0, 40.0, 200.0, 2.0)


async def fill(store: FeatureStore, keys: int) -> None:
    """Put a row for each of so many keys."""
    for first in range(0, keys, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, keys))
        names = [SEPARATOR.join(key_row(number)).encode() for number in numbers]
        await store.put(_TABLE, HISTORY, names, np.full((len(names), 4), _ROW, np.float32))
