"""Trouble: what befalls whom, and how it heals."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from benchmarks.chaos.ground import Ground


class Kind(StrEnum):
    """What a stand-still counts as. Each kind has figures of its own."""

    KILL = "kill"  # the group has to miss a worker first
    REBALANCE = "rebalance"  # the group is told
    AWAY = "away"  # a server that nothing goes on without
    OTHER = "other"


class Trouble(Protocol):
    """Stateless: what it changed is in the ground, so one trouble may strike several lanes."""

    @property
    def name(self) -> str:
        """As it stands in the report."""

    @property
    def kind(self) -> Kind:
        """What a stand-still after its start counts as."""

    @property
    def healing(self) -> Kind | None:
        """What one after its healing counts as, where healing is a blow of its own."""

    @property
    def lasts_s(self) -> float:
        """From start to healing."""

    @property
    def shared(self) -> bool:
        """Whether it strikes all lanes at once, because they share what is struck."""

    def start(self, ground: Ground, worker: int) -> None:
        """Let it begin. ``worker`` is the one that is struck, where one is."""

    def heal(self, ground: Ground, worker: int) -> None:
        """Let it end."""
