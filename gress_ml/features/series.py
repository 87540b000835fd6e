"""Series: the recent values of many keys and their times, in columns."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

#: Before all times.
NEVER = -(2**63)
_LAST_OF_ALL = 2**63 - 1

#: What a slot says of its key: the first place and the one after the last; the piece of the columns
#: that these may fill; the turn of its last value; and its newest time.
FIRST, LAST, BASE, END, TURN, NEWEST = range(6)
WIDTH = 8  # with two to spare a slot is as long as a line of the processor's cache
_SMALLEST = 8  # places in a piece
_SPARE = 64  # free places in a new piece, or as many as there are values where that is less


class Series:
    """Each key's values lie side by side, ascending by time, equal times in the order of the log.

    A key has a slot, a row of a table of integers, that says where in the columns they are. Slots,
    times and values can be walked one by one, as ``array``, or together, as the NumPy view of the
    same memory. A piece of the columns is a power of two long, with some places to spare, and is
    used again when its key moves or is dropped.
    """

    def __init__(self) -> None:
        self._slots: dict[bytes | None, int] = {}  # of keys; of None never
        #: The slot of a key; None, or what is asked for, where it is not held.
        self.find = self._slots.get
        self._keys: list[bytes] = []  # by slot
        self._unused: list[int] = []  # slots
        self._pieces: dict[int, list[int]] = {}  # that are free, by size
        self._end = 0  # of all pieces
        self._waiting: list[int] = []  # slots by turn as it was at ``_sorted``, eldest at the end
        self._sorted = 0
        self.turn = 0  # of the next value
        self.table = array("q", bytes(8 * 8 * WIDTH))
        self.times = array("q", bytes(8 * 8 * WIDTH))
        self.values = array("d", bytes(8 * 8 * WIDTH))
        self._view()

    def _view(self) -> None:
        self.rows: Int64 = np.frombuffer(self.table, np.int64).reshape(-1, WIDTH)
        self.time_column: Int64 = np.frombuffer(self.times, np.int64)
        self.value_column: Float64 = np.frombuffer(self.values, np.float64)

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._slots)

    # --- keys -------------------------------------------------------------------------------------

    def slots(self, keys: Sequence[bytes | None]) -> Int64:
        """The slots of keys; -1 for those not held."""
        return np.fromiter(map(self._slots.get, keys, repeat(-1)), np.int64, len(keys))

    def key(self, slot: int) -> bytes:
        """The key of a slot."""
        return self._keys[slot]

    def new(self, key: bytes) -> int:
        """The slot of a key that is not held yet, without values."""
        if self._unused:
            slot = self._unused.pop()
            self._keys[slot] = key
        else:
            slot = len(self._keys)
            self._keys.append(key)
            if len(self._keys) > len(self.rows):
                self._lengthen(self.table)
        self._slots[key] = slot
        table, at = self.table, slot * WIDTH
        table[at + FIRST] = table[at + LAST] = table[at + BASE] = base = self._piece(_SMALLEST)
        table[at + END] = base + _SMALLEST
        table[at + TURN] = self.turn
        table[at + NEWEST] = NEVER
        return slot

    def drop(self, slot: int) -> None:
        """Let go of a key."""
        del self._slots[self._keys[slot]]
        self._keys[slot] = b""
        self._unused.append(slot)
        at = slot * WIDTH
        self._give_back(self.table[at + BASE], self.table[at + END])
        self.table[at + TURN] = _LAST_OF_ALL

    def eldest(self) -> int:
        """The slot of the key updated longest ago, of those that are held: there is one."""
        while True:
            while self._waiting:
                slot = self._waiting[-1]
                if self.table[slot * WIDTH + TURN] < self._sorted:
                    return slot
                self._waiting.pop()  # dropped, or updated since
            self._waiting = self.by_turn()[::-1]
            self._sorted = self.turn

    def by_turn(self) -> list[int]:
        """All slots, from the one updated longest ago to the last."""
        turns = self.rows[: len(self._keys), TURN]
        slots: list[int] = np.argsort(turns, kind="stable")[: len(self)].tolist()
        return slots

    def restore(self, key: bytes, times: Sequence[int], values: Sequence[float]) -> None:
        """A key that is not held yet, with its values, as the one updated last."""
        slot = self.new(key)
        self.make_room(slot, len(times), NEVER, 0)
        at = slot * WIDTH
        last = self.table[at + LAST]
        self.table[at + LAST] = end = last + len(times)
        self.table[at + NEWEST] = times[-1]
        self.times[last:end] = array("q", times)
        self.values[last:end] = array("d", values)
        self.turn += 1

    # --- values -----------------------------------------------------------------------------------

    def newest(self, slot: int) -> int:
        """The newest time of a key."""
        return self.table[slot * WIDTH + NEWEST]

    def add(self, slot: int, time: int, value: float, turn: int) -> bool:
        """One more value of a key; False where there is no room for it, and nothing changes."""
        table, at = self.table, slot * WIDTH
        last = table[at + LAST]
        if last == table[at + END]:
            return False
        if time >= table[at + NEWEST]:
            place = last
            table[at + NEWEST] = time
        else:
            place = bisect_right(self.times, time, table[at + FIRST], last)
            self.times[place + 1 : last + 1] = self.times[place:last]
            self.values[place + 1 : last + 1] = self.values[place:last]
        self.times[place] = time
        self.values[place] = value
        table[at + LAST] = last + 1
        table[at + TURN] = turn
        return True

    def add_all(self, slots: Int64, times: Int64, values: Float64, turns: Int64, at: Int64) -> None:
        """Values of keys that have room for them, in order for each, with the places they go to."""
        self.time_column[at] = times
        self.value_column[at] = values
        self.rows[slots, LAST] = at + 1  # of a slot that is there twice, what comes last stays
        self.rows[slots, TURN] = turns
        self.rows[slots, NEWEST] = times

    def make_room(self, slot: int, more: int, horizon: int, most: int) -> None:
        """Let go of values at or before the horizon, and of more than ``most``; room for others."""
        table, at = self.table, slot * WIDTH
        first, last, base, end = table[at : at + 4]
        first = max(bisect_right(self.times, horizon, first, last), last - most)
        held = last - first
        wanted = held + more + min(held + more, _SPARE)
        size = max(_SMALLEST, 1 << (wanted - 1).bit_length())
        to = base
        if size != end - base:
            self._give_back(base, end)
            table[at + BASE] = to = self._piece(size)
            table[at + END] = to + size
        if held:  # an empty slice counts as a resize of what is viewed
            self.times[to : to + held] = self.times[first:last]
            self.values[to : to + held] = self.values[first:last]
        table[at + FIRST] = to
        table[at + LAST] = to + held

    def _piece(self, size: int) -> int:
        """The first place of a piece of this size."""
        free = self._pieces.get(size)
        if free:
            return free.pop()
        base, self._end = self._end, self._end + size
        while self._end > len(self.times):
            self._lengthen(self.times, self.values)
        return base

    def _give_back(self, base: int, end: int) -> None:
        self._pieces.setdefault(end - base, []).append(base)

    def _lengthen(self, *columns: array[Any]) -> None:
        del self.rows, self.time_column, self.value_column  # what is viewed has a fixed length
        for column in columns:
            column.extend(column[: len(column) // WIDTH // 2 * WIDTH])  # whole slots
        self._view()
