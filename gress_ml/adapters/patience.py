"""Patience: how long a call to another system may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: A worker's loop decides other partitions while an answer is under way. Time passes in so many
#: slices, one per turn of the loop at most, so that an answer which is there is seen before its
#: time is up, however long the turns take.
_SLICES = 10


class Patience:
    """Runs out after ``limit_s``, unless it is ended before; then what waits is told, once.

    Who waits may be a future, which costs less than to cancel a task as ``asyncio.timeout`` does.
    """

    def __init__(self, limit_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._slice_s, self._left = limit_s / _SLICES, _SLICES
        self._give_up: Callable[[], object] = _nothing
        self._next: asyncio.Handle = self._loop.call_later(self._slice_s, self._wane)

    def tell(self, give_up: Callable[[], object]) -> None:
        """Whom to tell from now on; at the next turn of the loop if it has run out already."""
        self._give_up = give_up
        if not self._left:
            self._next = self._loop.call_soon(give_up)

    def end(self) -> None:
        """Tell nobody any more."""
        self._next.cancel()

    def _wane(self) -> None:
        self._left -= 1
        if self._left:
            self._next = self._loop.call_later(self._slice_s, self._wane)
        else:
            self._give_up()


def _nothing() -> None:
    pass
