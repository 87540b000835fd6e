"""Scenario: what runs, what befalls it, and how many events flow meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.chaos.stage import Needs
from benchmarks.chaos.subject import SELECTOR, WINDOWS, Subject
from benchmarks.chaos.troubles.trouble import Trouble

#: The first seconds are for joining the group, the last for the last blow's recovery.
HEAD_S, TAIL_S = 4.0, 8.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One entry of the table. Each blow is a trouble with its healing, and then some rest."""

    name: str
    troubles: tuple[tuple[Trouble, int], ...]  # each with how often it strikes
    events: int
    rest_s: float = 9.0  # from a healing to the next blow, on average: longer than a recovery
    subjects: tuple[Subject, ...] = (SELECTOR, WINDOWS)
    needs: Needs = field(default_factory=Needs)
    workers: int = 2
    partitions: int = 4
    bad_share: float = 0.001  # events that cannot be decided: they must become dead letters
    without_history: float = 0.0  # events whose history has to be looked up
    static_membership: bool = False
    #: Not shorter than brokers allow unless told otherwise (group.min.session.timeout.ms).
    session_timeout_s: float = 6.0

    @property
    def blows(self) -> int:
        return sum(times for _, times in self.troubles)

    @property
    def seconds(self) -> float:
        """How long the events flow."""
        lasting = sum(trouble.lasts_s * times for trouble, times in self.troubles)
        return HEAD_S + lasting + self.rest_s * self.blows + TAIL_S

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds
