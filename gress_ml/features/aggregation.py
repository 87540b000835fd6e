"""Window: figures over the recent values of each key, by event time, in bounded memory."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from gress_ml.features.spec import Aggregation

_NEVER = -(2**63)
_LARGEST = 3.4028234663852886e38  # of float32; what is beyond is not counted

#: One row in so many of a key lets go of what is too old, or too much, of it: a power of 2, less 1.
_SOME = 7

#: Times of one key (ms since the epoch), ascending, equal ones in the order of the log; and values.
#: Arrays, as lists keep each number in an object of its own, far away.
Series = tuple["array[int]", "array[float]"]
#: A figure over the values of a window, of which there is one or more.
Figure = Callable[[Sequence[float]], float]


class WindowState(msgspec.Struct, array_like=True):
    """A window as data, keys from the one updated longest ago to the last."""

    newest: int
    series: list[tuple[bytes, list[int], list[float]]]


class Window:
    """The state of one aggregation: a pure function of the rows observed, in their order.

    Rows are taken one by one, so how they were cut into batches cannot show. Memory is bounded by
    ``max_keys`` times ``max_events`` values; a key is let go earlier, when its newest value is too
    old for any row that is in time (see :class:`gress_ml.features.spec.Aggregation`).
    """

    def __init__(self, spec: Aggregation) -> None:
        self._spec = spec
        self._length = max(1, round(spec.window * 1000))  # ms
        lateness = spec.window if spec.allowed_lateness is None else spec.allowed_lateness
        self._lateness = round(lateness * 1000)
        self._half_life = 1000 * (spec.half_life or spec.window / 2)
        self._of_all = _FIGURES.get(spec.function)
        self._newest = _NEVER
        self._series: OrderedDict[bytes, Series] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._series)

    def observe(
        self, keys: Sequence[bytes | None], times: Iterable[int], values: Iterable[float]
    ) -> list[float]:
        """The figure of each row; NaN for a late row, one without a key, and where there is none.

        ``times`` are event times in milliseconds; a NaN value is not counted.
        """
        rows = zip(keys, times, values, strict=True)
        if self._of_all is None or not self._spec.include_current:
            figures = [self._observe(*row) for row in rows]
        else:
            figures = self._observe_at_once(rows, self._of_all)
        self._forget()
        return figures

    def _observe_at_once(
        self, rows: Iterable[tuple[bytes | None, int, float]], of_all: Figure
    ) -> list[float]:
        """``_observe`` for each row, written out for nearly all: the next row of a known key."""
        figures: list[float] = []
        append, find, renew = figures.append, self._series.get, self._series.move_to_end
        length, most = self._length, self._spec.max_events
        for key, time, value in rows:
            series = find(key) if key is not None and value == value else None
            if series is not None and time >= self._newest:
                held = len(series[0])
                if held & _SOME and held < most:
                    self._newest = time
                    renew(key)  # type: ignore[arg-type] # it is in there
                    kept, numbers = series
                    kept.append(time)
                    numbers.append(value)
                    start = time - length
                    whole = kept[0] > start
                    append(of_all(numbers if whole else numbers[bisect_right(kept, start) :]))
                    continue
            append(self._observe(key, time, value))
        return figures

    def _observe(self, key: bytes | None, time: int, value: float) -> float:
        self._newest = max(self._newest, time)
        if key is None or time < self._newest - self._lateness:
            return math.nan
        if value == value and self._spec.include_current:
            return self._figure(self._add(key, time, value), time)
        figure = self._figure(self._series.get(key), time)
        if value == value:
            self._add(key, time, value)
        return figure

    def _forget(self) -> None:
        """Let go of the keys that no row in time can see: when that happens does not show."""
        horizon = self._newest - self._lateness - self._length
        while self._series:
            key, (times, _) = next(iter(self._series.items()))
            if times[-1] > horizon:
                return
            del self._series[key]

    def _add(self, key: bytes, time: int, value: float) -> Series:
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = (array("q", (time,)), array("d", (value,)))
            if len(self._series) > self._spec.max_keys:
                self._series.popitem(last=False)
            return series
        self._series.move_to_end(key)
        times, values = series
        if times[-1] <= time:
            times.append(time)
            values.append(value)
        else:
            place = bisect_right(times, time)
            times.insert(place, time)
            values.insert(place, value)
        # no row in time can see a value at or before this instant
        horizon = self._newest - self._lateness - self._length
        if times[0] <= horizon or len(times) > self._spec.max_events:
            surplus = max(bisect_right(times, horizon), len(times) - self._spec.max_events)
            del times[:surplus]
            del values[:surplus]
        return series

    def _figure(self, series: Series | None, time: int) -> float:
        if series is None:
            return self._of_none()
        times, values = series
        start = time - self._length
        if not (times and times[0] > start and times[-1] <= time):
            first, last = bisect_right(times, start), bisect_right(times, time)
            if first == last:
                return self._of_none()
            times, values = times[first:last], values[first:last]
        return self._ewma(times, values) if self._of_all is None else self._of_all(values)

    def _of_none(self) -> float:
        return 0.0 if self._spec.function in ("count", "sum") else math.nan

    def _ewma(self, times: Sequence[int], values: Sequence[float]) -> float:
        """Mean weighted by 2^(-age / half-life); ages count from the newest value of the window,
        which leaves the mean as it is and keeps the weights away from zero."""
        newest = times[-1]
        weights = [2.0 ** ((time - newest) / self._half_life) for time in times]
        weighted = math.fsum(w * v for w, v in zip(weights, values, strict=True))
        return weighted / math.fsum(weights)

    def save(self) -> WindowState:
        """The state as data, independent of what comes after."""
        return WindowState(
            self._newest, [(k, s[0].tolist(), s[1].tolist()) for k, s in self._series.items()]
        )

    def load(self, state: WindowState) -> None:
        """Become the state that was saved. Raises ValueError for one that no rows lead to."""
        if not all(
            self._possible(state.newest, times, values) for _, times, values in state.series
        ):
            raise ValueError("a window with times or values that it cannot have")
        self._newest = state.newest
        self._series = OrderedDict(
            (key, (array("q", times), array("d", values))) for key, times, values in state.series
        )

    def _possible(self, newest: int, times: list[int], values: list[float]) -> bool:
        return (
            0 < len(times) == len(values) <= self._spec.max_events
            and times == sorted(times)
            and _NEVER <= times[0] <= times[-1] <= newest < -_NEVER
            and all(-_LARGEST <= value <= _LARGEST for value in values)
        )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _count(values: Sequence[float]) -> float:
    return float(len(values))


#: All but ``ewma``, which looks at times as well.
_FIGURES: Mapping[str, Figure] = {
    "count": _count,
    "sum": math.fsum,
    "avg": _mean,
    "min": min,
    "max": max,
}
