"""Cases: one thing that grows, at one of its levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Store = Literal["redis", "memory"]


@dataclass(frozen=True, slots=True)
class Log:
    """An input topic as it is filled; two cases with the same one share it."""

    events: int
    partitions: int = 4
    event_bytes: int | None = None  # None: transfers as the flagship gets them, 655 B
    keys: int | None = None  # None: events bring their history, nothing is looked up

    @property
    def name(self) -> str:
        """Prefix of its topics."""
        return (
            f"scaling.{self.events}x{self.event_bytes or 'transfer'}"
            f".p{self.partitions}.k{self.keys or 0}"
        )


@dataclass(frozen=True, slots=True)
class Case:
    """One level of an axis: the log to work off, and who does it how."""

    level: float
    log: Log
    workers: int = 1
    batch: int = 512
    store: Store = "redis"
    #: How many events are measured after the warm-up; None: all of the log.
    measured: int | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that grows. Where cost ``is_constant``, it is to stay within ``TOLERANCE``."""

    name: str
    cases: tuple[Case, ...]
    is_constant: bool = True
    note: str = ""


#: How far the dearest level may lie above the cheapest where cost is constant.
TOLERANCE = 0.15
