"""History: what past transfers of a kind taught, as moving averages per key.

One code for serving (operator ``transfer_history``) and training (``dataset``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite, isnan, nan
from typing import Any

from gress_ml.dwcp.events import MAX_MBPS, MAX_RATIO
from gress_ml.dwcp.profiles import AMST, HDE

DEFAULT_ALPHA = 0.3
DEFAULT_LIMIT = 100_000

Row = tuple[float, float, float, float]  # in the order of events.HISTORY_FIELDS; NaN for unknown

UNKNOWN_ROW: Row = (nan, nan, nan, nan)


@dataclass(slots=True)
class History:
    """Exponentially weighted averages per key: ``mean + alpha (seen - mean)``, first value as is.

    Holds at most ``limit`` keys; the one that was observed longest ago goes first. A function of
    the observations and their order only.
    """

    alpha: float = DEFAULT_ALPHA
    limit: int = DEFAULT_LIMIT
    _rows: OrderedDict[bytes, Row] = field(default_factory=OrderedDict)

    def observe(self, key: bytes, seen: Row) -> Row:
        """Take in one observation, NaN where nothing was seen; the averages after it."""
        before = self._rows.pop(key, UNKNOWN_ROW)
        after = tuple(self._blend(old, new) for old, new in zip(before, seen, strict=True))
        row: Row = (after[0], after[1], after[2], after[3])
        self._rows[key] = row
        if len(self._rows) > self.limit:
            self._rows.popitem(last=False)
        return row

    def row(self, key: bytes) -> Row:
        """The averages of a key; all NaN for one never seen."""
        return self._rows.get(key, UNKNOWN_ROW)

    def __len__(self) -> int:
        return len(self._rows)

    def items(self) -> Iterator[tuple[bytes, Row]]:
        """Keys and averages, the one observed longest ago first."""
        return iter(self._rows.items())

    def load(self, rows: Mapping[bytes, Row]) -> None:
        """Become these averages, the mapping's first key being the one observed longest ago."""
        self._rows = OrderedDict(rows)

    def _blend(self, old: float, new: float) -> float:
        if isnan(new):
            return old
        return new if isnan(old) else old + self.alpha * (new - old)


def observation(
    payload_size: int, arms: Mapping[str, Mapping[str, Any]], baseline_ratio: float = nan
) -> Row:
    """What an outcome teaches, from each profile that was really run.

    ``arms`` holds, per algorithm, ``bytes_sent``, ``transfer_ms`` and ``delta_hit_rate``; values
    that are absent, null, not positive or beyond what the feature schema allows teach nothing.
    """
    hde, amst = arms.get(HDE, {}), arms.get(AMST, {})
    rate = _positive(amst, "bytes_sent") * 8.0 / 1e3 / _positive(amst, "transfer_ms")
    return (
        _within((payload_size or nan) / _positive(hde, "bytes_sent"), MAX_RATIO),
        _within(_number(hde, "delta_hit_rate"), 100.0),
        _within(rate, MAX_MBPS),
        _within(baseline_ratio, MAX_RATIO),
    )


def _within(value: float, most: float) -> float:
    return value if 0.0 <= value <= most else nan


def _positive(arm: Mapping[str, Any], name: str) -> float:
    value = _number(arm, name)
    return value if value > 0 else nan


def _number(arm: Mapping[str, Any], name: str) -> float:
    """A finite number of at least 0, or NaN."""
    value = arm.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return nan
    return float(value) if isfinite(value) and value >= 0 else nan
