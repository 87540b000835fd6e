"""Priority: a process that must be on time runs before all usual ones."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the kernel schedules a process."""

    policy: int
    priority: int

    def apply(self) -> None:
        """Schedule this process so. Raises PermissionError."""
        os.sched_setscheduler(0, self.policy, os.sched_param(self.priority))


def current() -> Schedule:
    """How this process is scheduled."""
    return Schedule(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)


def hurry(priority: int) -> None:
    """Run this process in real time, with a priority of 1–99, where that is allowed.

    Elsewhere it runs as usual: the times at which packets are handed on tell what that costs.
    """
    try:
        Schedule(os.SCHED_RR, priority).apply()
    except PermissionError:
        return
