"""Pace: how the calls of one step have gone lately."""

from __future__ import annotations

#: After so many calls in time, one after the other, calls are made on the spot.
TRUSTED_CALLS = 50
#: A call that takes at least this long is worth a hand-over to a thread and back, which costs
#: about a tenth of it.
LONG_S = 0.001
#: The share of the newest call in what is expected of the next.
_NEWEST = 1 / 8
#: A call that is expected to take more than this share of its deadline has too many rows,
_WELL_IN_TIME = 0.9
#: unless it has so few: then the step is slow.
FEW_ROWS = 64
NO_BOUND = 1 << 62


class Pace:
    """Whether calls keep their deadline, how long the next takes, and how many rows it may have.

    A late call with many rows makes batches smaller, by halves, until they are decided in time
    again; a late call with few rows takes all trust away.
    """

    def __init__(self, deadline_s: float | None, *, warmed_up: bool) -> None:
        self._deadline_s = deadline_s
        self._in_time = TRUSTED_CALLS if warmed_up or deadline_s is None else 0
        # by the power of two that the rows fit in: time per row is no measure, as a lone row costs
        # far more
        self._took_s: dict[int, float] = {}
        #: How many rows a call may have to be well in time.
        self.most_rows = NO_BOUND

    @property
    def trusted(self) -> bool:
        """Whether calls need not be held to the deadline."""
        return self._in_time >= TRUSTED_CALLS

    def long(self, rows: int) -> bool:
        """Whether a call with so many rows is expected to take LONG_S or more."""
        return self._took_s.get(_size(rows), 0.0) >= LONG_S

    def short(self, rows: int) -> bool:
        """Whether a call with so many rows is known to take less than LONG_S."""
        return self._took_s.get(_size(rows), LONG_S) < LONG_S

    def saw(self, rows: int, took_s: float) -> None:
        """A call has ended."""
        size = _size(rows)
        before = self._took_s.get(size, took_s)
        self._took_s[size] = expected_s = before + (took_s - before) * _NEWEST
        if self._deadline_s is None:
            return
        well_s = _WELL_IN_TIME * self._deadline_s
        if expected_s > well_s:
            self._fewer(rows)
        elif 1 << size == self.most_rows and 2 * expected_s <= well_s:
            self._more()
        if took_s <= self._deadline_s:
            self._in_time += 1
        elif rows <= FEW_ROWS:
            self._in_time = 0

    def gave_up(self, rows: int) -> None:
        """A call has not ended in time."""
        self._in_time = 0
        self._fewer(rows)

    def _fewer(self, rows: int) -> None:
        if rows > FEW_ROWS:
            self.most_rows = min(self.most_rows, 1 << _size(rows) - 1)

    def _more(self) -> None:
        self.most_rows *= 2
        self._took_s.pop(_size(self.most_rows), None)  # from slower days


def _size(rows: int) -> int:
    return max(rows - 1, 0).bit_length()
