"""Window: figures over the recent values of each key, by event time, in bounded memory."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from gress_ml.features.spec import Aggregation

_NEVER = -(2**63)
_LARGEST = 3.4028234663852886e38  # of float32; what is beyond is not counted


@dataclass(slots=True)
class Series:
    """Values of one key, ascending by event time; equal times in the order of the log."""

    times: list[int] = field(default_factory=list)  # ms since the epoch
    values: list[float] = field(default_factory=list)


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
        return [self._observe(key, time, value) for key, time, value in rows]

    def _observe(self, key: bytes | None, time: int, value: float) -> float:
        if key is None or time < self._newest - self._lateness:
            return math.nan
        if time > self._newest:
            self._newest = time
            self._forget()
        if value != value:
            return self._figure(self._series.get(key), time)
        if self._spec.include_current:
            return self._figure(self._add(key, time, value), time)
        figure = self._figure(self._series.get(key), time)
        self._add(key, time, value)
        return figure

    @property
    def _horizon(self) -> int:
        """No row in time can see a value at or before this instant."""
        return self._newest - self._lateness - self._length

    def _forget(self) -> None:
        horizon = self._horizon
        while self._series:
            key, series = next(iter(self._series.items()))
            if series.times[-1] > horizon:
                return
            del self._series[key]

    def _add(self, key: bytes, time: int, value: float) -> Series:
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series()
            if len(self._series) > self._spec.max_keys:
                self._series.popitem(last=False)
        else:
            self._series.move_to_end(key)
        times, values = series.times, series.values
        place = bisect_right(times, time)
        times.insert(place, time)
        values.insert(place, value)
        surplus = max(bisect_right(times, self._horizon), len(times) - self._spec.max_events)
        if surplus > 0:
            del times[:surplus]
            del values[:surplus]
        return series

    def _figure(self, series: Series | None, time: int) -> float:
        times = series.times if series else []
        first = bisect_right(times, time - self._length)
        last = bisect_right(times, time)
        function = self._spec.function
        if function == "count":
            return float(last - first)
        if series is None or first == last:
            return 0.0 if function == "sum" else math.nan
        values = series.values[first:last]
        match function:
            case "sum":
                return math.fsum(values)
            case "avg":
                return math.fsum(values) / len(values)
            case "min":
                return min(values)
            case "max":
                return max(values)
            case _:
                return self._ewma(times[first:last], values)

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
            self._newest, [(k, [*s.times], [*s.values]) for k, s in self._series.items()]
        )

    def load(self, state: WindowState) -> None:
        """Become the state that was saved. Raises ValueError for one that no rows lead to."""
        if not all(
            self._possible(state.newest, times, values) for _, times, values in state.series
        ):
            raise ValueError("a window with times or values that it cannot have")
        self._newest = state.newest
        self._series = OrderedDict(
            (key, Series([*times], [*values])) for key, times, values in state.series
        )

    def _possible(self, newest: int, times: list[int], values: list[float]) -> bool:
        return (
            0 < len(times) == len(values) <= self._spec.max_events
            and times == sorted(times)
            and _NEVER <= times[0] <= times[-1] <= newest < -_NEVER
            and all(-_LARGEST <= value <= _LARGEST for value in values)
        )
