"""Local time of instants, for a whole batch at once, with daylight saving time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)


@lru_cache(maxsize=32)
def offset_changes(name: str) -> tuple[Int64, Int64]:
    """Instants (ms since the epoch) at which a zone's UTC offset changes, and the offset from there
    on (ms); the first entry holds before all others. Covers 1970 to 2100.

    Computed once per zone (about 50 ms), so that a batch costs one binary search.
    """
    zone = ZoneInfo(name)
    at, offset = _FIRST, _offset(_FIRST, zone)
    starts, offsets = [at], [offset]
    while at < _LAST:
        following = _offset(at + _DAY, zone)
        if following != offset:
            starts.append(_change_between(at, at + _DAY, zone))
            offsets.append(following)
            offset = following
        at += _DAY
    epoch_ms = [round(start.timestamp()) * 1000 for start in starts]
    offset_ms = [round(offset.total_seconds()) * 1000 for offset in offsets]
    return np.array(epoch_ms, np.int64), np.array(offset_ms, np.int64)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _change_between(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first second that has the offset of ``high``, where ``low`` has another."""
    before = _offset(low, zone)
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // (2 * _SECOND))
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high


def local_ms(instants: Int64, zone: str) -> Int64:
    """Milliseconds since 1970-01-01 00:00 on the zone's wall clock, for instants in UTC."""
    if zone == "UTC":
        return instants
    starts, offsets = offset_changes(zone)
    found = np.searchsorted(starts, instants, side="right") - 1
    local: Int64 = instants + offsets[np.maximum(found, 0)]
    return local
