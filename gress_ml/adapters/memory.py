"""MemoryFeatures: a feature store in this process, for tests and single workers."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from gress_ml.ports import Clock, Float32

_Key = tuple[str, tuple[str, ...], bytes]


class MemoryFeatures:
    """A ``FeatureStore`` of at most ``max_rows`` rows; the ones longest unused go first.

    A row is gone ``ttl_s`` after it was put; None keeps it for ever. Each worker has its own rows:
    after a rebalance the new owner of a partition starts without them.
    """

    def __init__(
        self, clock: Clock, *, ttl_s: float | None = None, max_rows: int = 1_000_000
    ) -> None:
        self._clock = clock
        self._ttl_s = math.inf if ttl_s is None else ttl_s
        self._max_rows = max_rows
        self._rows: OrderedDict[_Key, tuple[float, Float32]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    async def fetch(self, table: str, fields: tuple[str, ...], keys: Sequence[bytes]) -> Float32:
        """Rows of shape (len(keys), len(fields)); NaN where there is no row."""
        answer = np.full((len(keys), len(fields)), np.nan, np.float32)
        now = self._clock.monotonic()
        for at, key in enumerate(keys):
            row = self._get((table, fields, key), now)
            if row is not None:
                answer[at] = row
        return answer

    async def put(
        self, table: str, fields: tuple[str, ...], keys: Sequence[bytes], rows: Float32
    ) -> None:
        """Store the rows under their keys; of a key given twice the last row counts."""
        kept = np.array(rows, np.float32).reshape(len(keys), len(fields))  # a copy
        until = self._clock.monotonic() + self._ttl_s
        for key, row in zip(keys, kept, strict=True):
            self._rows[table, fields, key] = (until, row)
            self._rows.move_to_end((table, fields, key))
        while len(self._rows) > self._max_rows:
            self._rows.popitem(last=False)

    async def close(self) -> None:
        """Forget all rows."""
        self._rows.clear()

    def _get(self, key: _Key, now: float) -> Float32 | None:
        found = self._rows.get(key)
        if found is None:
            return None
        until, row = found
        if now >= until:
            del self._rows[key]
            return None
        self._rows.move_to_end(key)
        return row
