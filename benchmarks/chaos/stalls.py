"""Stalls: how long a partition stood still while input waited, and which blow was the cause.

All times are the broker's (log append time), in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.chaos.troubles.trouble import Kind

#: Shorter ones are no stand-still: a batch and its acknowledgement take their time.
SHORTEST_S = 0.5
#: A recovery that takes longer than planned may run into the next blow.
_GRAVEST = (Kind.AWAY, Kind.KILL, Kind.REBALANCE, Kind.OTHER)
#: A blow falls a moment after the last answer before it.
_EARLY_MS = 200


@dataclass(frozen=True, slots=True)
class Happening:
    """A blow, or a healing that is one: what happened to a lane, and when."""

    at_ms: int
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Span:
    """When a record came, and when it was first answered."""

    asked_ms: int
    answered_ms: int


@dataclass(frozen=True, slots=True)
class Stall:
    """A time without an answer while something waited, and what began it."""

    begin_ms: int
    end_ms: int
    cause: Happening | None

    @property
    def seconds(self) -> float:
        return (self.end_ms - self.begin_ms) / 1000

    @property
    def recovery_s(self) -> float:
        """From the blow to the first answer."""
        return 0.0 if self.cause is None else (self.end_ms - self.cause.at_ms) / 1000


def find_stalls(spans: Iterable[Span], happenings: Sequence[Happening]) -> list[Stall]:
    """The stalls of one partition; ``happenings`` in the order of their times."""
    return [
        Stall(begin, end, _cause(begin, end, happenings))
        for begin, end in _gaps(spans)
        if end - begin >= SHORTEST_S * 1000
    ]


def _gaps(spans: Iterable[Span]) -> list[tuple[int, int]]:
    """From each answer, or the first record that waited after it, to the next answer."""
    ordered = sorted(spans, key=lambda span: span.answered_ms)
    waiting_since = [span.asked_ms for span in ordered]
    for index in range(len(ordered) - 2, -1, -1):
        waiting_since[index] = min(waiting_since[index], waiting_since[index + 1])
    return [
        (max(before.answered_ms, since), after.answered_ms)
        for (before, after), since in zip(pairwise(ordered), waiting_since[1:], strict=True)
    ]


def _cause(begin_ms: int, end_ms: int, happenings: Sequence[Happening]) -> Happening | None:
    """The first of the gravest that fell into the stall; else the last before it."""
    within = [h for h in happenings if begin_ms - _EARLY_MS <= h.at_ms <= end_ms]
    if within:
        return min(within, key=lambda happening: _GRAVEST.index(happening.kind))
    return next((h for h in reversed(happenings) if h.at_ms < begin_ms), None)
