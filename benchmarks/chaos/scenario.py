"""Scenarios: one entry each, so that the next one is a few lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What runs, what is done to it, and for how long."""

    name: str
    topology: Path = PROJECT / "topologies" / "compression_selector.yaml"
    workers: int = 2
    partitions: int = 4
    events: int = 200_000
    seconds: float = 200.0
    kills: int = 20  # kill -9 of a worker, which is started again at once
    terminations: int = 4  # SIGTERM of a worker, which is started again at once
    broker_restarts: int = 5  # every second one by kill -9
    bad_share: float = 0.001  # events that cannot be decided: they must become dead letters
    static_membership: bool = False
    session_timeout_s: float = 6.0

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


#: Every run does all of them, in this order.
SCENARIOS = (Scenario("at_least_once"),)


def quick(scenario: Scenario) -> Scenario:
    """The short form: the same kinds of blows, fewer of them."""
    return replace(
        scenario, events=20_000, seconds=45.0, kills=4, terminations=1, broker_restarts=2
    )
