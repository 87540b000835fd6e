"""Window: figures over the recent values of each key, by event time, in bounded memory."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from gress_ml.features.figures import Figures
from gress_ml.features.series import (
    END,
    FIRST,
    LAST,
    NEVER,
    NEWEST,
    WIDTH,
    Float64,
    Int64,
    Series,
)
from gress_ml.features.spec import Aggregation

_LARGEST = 3.4028234663852886e38  # of float32; what is beyond is not counted

#: Rows of a batch that are taken together; fewer are dearer so.
_MANY = 48
#: Rows that are taken together at most: more do not cost less, only memory.
_AT_ONCE = 4096

_LATE = -2  # in the place of a slot


class WindowState(msgspec.Struct, array_like=True):
    """A window as data, keys from the one updated longest ago to the last."""

    newest: int
    series: list[tuple[bytes, list[int], list[float]]]


class Window:
    """The state of one aggregation: a pure function of the rows observed, in their order.

    Rows are taken one by one or many together, with the same figures to the last bit, so how they
    were cut into batches cannot show. Memory is bounded by ``max_keys`` times ``max_events`` values
    and room for about as many more; a key is let go earlier, when its newest value is too old for
    any row that is in time (see :class:`gress_ml.features.spec.Aggregation`).
    """

    def __init__(self, spec: Aggregation) -> None:
        self._spec = spec
        self._length = max(1, round(spec.window * 1000))  # ms
        lateness = spec.window if spec.allowed_lateness is None else spec.allowed_lateness
        self._lateness = round(lateness * 1000)
        self._figures = Figures(spec)
        self._newest = NEVER
        self._series = Series()
        self._forget_at = NEVER  # no key is looked at again for being too old before this time

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._series)

    @property
    def room(self) -> int:
        """How many values there is memory for."""
        return len(self._series.times)

    def observe(
        self,
        keys: Sequence[bytes | None],
        times: npt.ArrayLike,
        values: npt.ArrayLike,
    ) -> Float64:
        """The figure of each row; NaN for a late row, one without a key, and where there is none.

        ``times`` are event times in milliseconds; a NaN value is not counted.
        """
        times, values = np.asarray(times, np.int64), np.asarray(values, np.float64)
        figures = np.empty(len(keys))
        for at in range(0, len(keys), _AT_ONCE):
            rows = slice(at, at + _AT_ONCE)
            figures[rows] = self._observe_some(keys[rows], times[rows], values[rows])
        return figures

    def _observe_some(self, keys: Sequence[bytes | None], times: Int64, values: Float64) -> Float64:
        if len(keys) >= _MANY:
            figures = self._observe_together(keys, times, values)
        else:
            figures = self._observe_one_by_one(keys, times, values)
        self._forget()
        return figures

    def save(self) -> WindowState:
        """The state as data, independent of what comes after: the same however rows were cut."""
        self._forget_at = NEVER
        self._forget()
        series, most, saved = self._series, self._spec.max_events, []
        for slot in series.by_turn():
            first, last = series.rows[slot, FIRST : LAST + 1].tolist()
            first = max(bisect_right(series.times, self._horizon, first, last), last - most)
            first = min(first, last - 1)  # that of its newest value is when a key is forgotten
            times, values = series.times[first:last], series.values[first:last]
            saved.append((series.key(slot), times.tolist(), values.tolist()))
        return WindowState(self._newest, saved)

    def load(self, state: WindowState) -> None:
        """Become the state that was saved. Raises ValueError for one that no rows lead to."""
        if len({key for key, _, _ in state.series}) < len(state.series) or not all(
            self._possible(state.newest, times, values) for _, times, values in state.series
        ):
            raise ValueError("a window with times or values that it cannot have")
        if len(state.series) > self._spec.max_keys:
            raise ValueError("a window with more keys than it can have")
        self._newest, self._forget_at = state.newest, NEVER
        self._series = Series()
        for key, times, values in state.series:
            self._series.restore(key, times, values)

    def _possible(self, newest: int, times: list[int], values: list[float]) -> bool:
        return (
            0 < len(times) == len(values) <= self._spec.max_events
            and times == sorted(times)
            and NEVER <= times[0] <= times[-1] <= newest < -NEVER
            and all(-_LARGEST <= value <= _LARGEST for value in values)
        )

    # --- rows one by one --------------------------------------------------------------------------

    def _observe_one_by_one(
        self, keys: Sequence[bytes | None], times: Int64, values: Float64
    ) -> Float64:
        rows = zip(keys, times.tolist(), values.tolist(), strict=True)
        return np.array([self._observe(*row) for row in rows], np.float64)

    def _observe(self, key: bytes | None, time: int, value: float) -> float:
        if time > self._newest:
            self._newest = time
        elif time < self._newest - self._lateness:
            return math.nan
        series = self._series
        slot = series.find(key)
        if slot is None:
            if key is None:
                return math.nan
            if value != value:
                return self._figures.of_none
            if len(series) == self._spec.max_keys:
                series.drop(series.eldest())
            slot = series.new(key)
        series.turn += 1
        return self._row(slot, time, value, series.turn - 1)

    def _row(self, slot: int, time: int, value: float, turn: int) -> float:
        """The figure of one row in time, which becomes part of its key's series."""
        if not self._spec.include_current or value != value:
            figure = self._figure(slot, time)
            if value == value:
                self._add(slot, time, value, turn)
            return figure
        self._add(slot, time, value, turn)
        return self._figure(slot, time)

    def _add(self, slot: int, time: int, value: float, turn: int) -> None:
        if not self._series.add(slot, time, value, turn):
            self._make_room(slot, 1)
            self._series.add(slot, time, value, turn)

    def _figure(self, slot: int, time: int) -> float:
        series, at = self._series, slot * WIDTH
        table, times = series.table, series.times
        first, last = table[at + FIRST], table[at + LAST]
        if last - first > self._spec.max_events:
            first = last - self._spec.max_events
        start = time - self._length
        if first < last and times[first] <= start:
            first = bisect_right(times, start, first, last)
        if time < table[at + NEWEST]:
            last = bisect_right(times, time, first, last)
        return self._figures.of(series, first, last)

    @property
    def _horizon(self) -> int:
        """No row in time can see a value at or before this instant."""
        return self._newest - self._lateness - self._length

    def _make_room(self, slot: int, more: int) -> None:
        self._series.make_room(slot, more, self._horizon, self._spec.max_events)

    def _forget(self) -> None:
        """Let go of the keys that no row in time can see: when that happens does not show."""
        series = self._series
        while self._newest >= self._forget_at and len(series):
            eldest = series.eldest()
            self._forget_at = series.newest(eldest) + self._lateness + self._length
            if self._newest >= self._forget_at:
                series.drop(eldest)

    # --- many rows together -----------------------------------------------------------------------

    def _observe_together(
        self, keys: Sequence[bytes | None], times: Int64, values: Float64
    ) -> Float64:
        newest = np.maximum(np.maximum.accumulate(times), self._newest)
        # modulo 2^64 a difference is right where it is not negative
        in_time = (newest - times).view(np.uint64) <= self._lateness
        slots = self._slots(keys, in_time & (values == values))
        if slots is None:
            return self._observe_one_by_one(keys, times, values)
        figures = np.full(len(keys), math.nan)
        if not in_time.all():
            slots[~in_time] = _LATE
        order = slots.argsort(kind="stable")  # key by key, each key's in the order of the log
        without = np.count_nonzero(slots < 0)
        for row in order[:without].tolist():
            if slots[row] != _LATE and keys[row] is not None:
                figures[row] = self._figures.of_none
        rows = order[without:]
        if len(rows):
            turns = rows + self._series.turn
            figures[rows] = self._figures_of(slots[rows], times[rows], values[rows], turns)
        self._series.turn += len(keys)
        self._newest = int(newest[-1])
        return figures

    def _slots(self, keys: Sequence[bytes | None], counted: npt.NDArray[np.bool_]) -> Int64 | None:
        """The slots of rows, also of new keys whose rows are counted; -1 where there is none.

        None where keys have to go for them that other rows may ask for: that depends on which is
        first.
        """
        series = self._series
        slots = series.slots(keys)
        if slots.min() >= 0:
            return slots
        unknown = np.flatnonzero(slots < 0)
        new = dict.fromkeys([keys[row] for row in unknown[counted[unknown]].tolist()])
        new.pop(None, None)
        surplus = len(series) + len(new) - self._spec.max_keys
        if surplus > 0 and not self._make_way(surplus, slots):
            return None
        for key in new:
            series.new(key)
        slots[unknown] = [series.find(keys[row], -1) for row in unknown.tolist()]
        return slots

    def _make_way(self, surplus: int, slots: Int64) -> bool:
        """Forget the keys updated longest ago, up to one that is asked for."""
        if surplus > len(self._series):
            return False
        asked = set(slots.tolist())
        for _ in range(surplus):
            eldest = self._series.eldest()
            if eldest in asked:
                return False
            self._series.drop(eldest)
        return True

    def _figures_of(self, slots: Int64, times: Int64, values: Float64, turns: Int64) -> Float64:
        """Figures of rows in time, key by key, each key's in the order of the log."""
        again = 1 + np.flatnonzero(slots[1:] == slots[:-1])  # rows of the key of the row before
        heads = self._series.rows.take(slots, axis=0)
        before = heads[:, NEWEST]
        before[again] = times[again - 1]
        back = times < before
        if np.count_nonzero(back):
            apart = np.isin(slots, slots[back])
            return self._figures_apart(slots, times, values, turns, apart)
        counted = values == values
        ranks = counted.astype(np.int64)  # of a value among those of its key, from 1
        if len(again):
            ranks = ranks.cumsum()
            others = ranks - counted  # before each row, of all keys
            others[again] = 0
            ranks -= np.maximum.accumulate(others)
        last = heads[:, LAST] + ranks
        full = last > heads[:, END]
        if np.count_nonzero(full):
            needs = dict(zip(slots[full].tolist(), ranks[full].tolist(), strict=True))
            for slot, more in needs.items():
                self._make_room(slot, more)
            heads = self._series.rows.take(slots, axis=0)
            last = heads[:, LAST] + ranks
        some = slice(None) if counted.all() else counted
        self._series.add_all(slots[some], times[some], values[some], turns[some], last[some] - 1)
        if not self._spec.include_current:
            last -= counted
        first = np.maximum(heads[:, FIRST], last - self._spec.max_events)
        return self._figures.of_each(self._series, self._starts(first, last, times), last)

    def _starts(self, first: Int64, last: Int64, times: Int64) -> Int64:
        """The first place in the window of each row: binary searches, all at once."""
        reach = min(self._length - 1, -1 - NEVER)
        start = np.maximum(times, NEVER + reach) - reach
        column, before, end = self._series.time_column, first - 1, last - 1
        for bit in reversed(range(int((last - first).max()).bit_length())):
            probe = np.minimum(before + (1 << bit), end)
            before = np.where(column.take(probe) < start, probe, before)
        return before + 1

    def _figures_apart(
        self,
        slots: Int64,
        times: Int64,
        values: Float64,
        turns: Int64,
        apart: npt.NDArray[np.bool_],
    ) -> Float64:
        """Those of keys whose rows stand apart, as they are not in order, are taken one by one."""
        figures = np.empty(len(slots))
        for row in np.flatnonzero(apart).tolist():
            time, value = int(times[row]), float(values[row])
            figures[row] = self._row(int(slots[row]), time, value, int(turns[row]))
        rest = np.flatnonzero(~apart)
        if len(rest):
            figures[rest] = self._figures_of(slots[rest], times[rest], values[rest], turns[rest])
        return figures
