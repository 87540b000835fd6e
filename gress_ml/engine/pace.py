"""Pace: how the calls of one step have gone lately."""

from __future__ import annotations

from collections import defaultdict

#: After so many calls in time, one after the other, calls are made on the spot.
TRUSTED_CALLS = 50
#: A call that takes at least this long is worth a hand-over to a thread and back, which costs
#: about a tenth of it.
LONG_S = 0.001
#: The share of the newest call in what is expected of the next.
_NEWEST = 1 / 8


class Pace:
    """Whether calls keep their deadline, and how long the next one is expected to take."""

    def __init__(self, deadline_s: float | None, *, warmed_up: bool) -> None:
        self._deadline_s = deadline_s
        self._in_time = TRUSTED_CALLS if warmed_up or deadline_s is None else 0
        # by the power of two of the rows: time per row is no measure, as a lone row costs far more
        self._took_s: defaultdict[int, float] = defaultdict(float)

    @property
    def trusted(self) -> bool:
        """Whether calls need not be held to the deadline."""
        return self._in_time >= TRUSTED_CALLS

    def long(self, rows: int) -> bool:
        """Whether a call with so many rows is expected to take LONG_S or more."""
        return self._took_s[rows.bit_length()] >= LONG_S

    def saw(self, rows: int, took_s: float) -> None:
        """A call has ended; one that was late takes all trust away."""
        size = rows.bit_length()
        self._took_s[size] += (took_s - self._took_s[size]) * _NEWEST
        if self._deadline_s is not None:
            self._in_time = self._in_time + 1 if took_s <= self._deadline_s else 0

    def gave_up(self) -> None:
        """A call has not ended in time."""
        self._in_time = 0
