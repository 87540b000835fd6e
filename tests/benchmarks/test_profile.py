"""The profile counts every nanosecond and every call once."""

from __future__ import annotations

from itertools import count

from benchmarks.profile.probe import Probe


class Kitchen:
    def cook(self) -> int:
        return len([self.cut(), self.cut()])

    def cut(self) -> int:
        return abs(-1)


def watched(kitchen: Kitchen) -> Probe:
    probe = Probe("rest", count().__next__)  # each reading of the clock is a nanosecond later
    probe.watch(kitchen, "cook", "cooking")
    probe.watch(kitchen, "cut", "cutting")
    return probe


def test_time_within_a_stage_is_not_that_of_its_caller() -> None:
    kitchen = Kitchen()
    spent = watched(kitchen).time(kitchen.cook)
    assert spent == {"rest": 2, "cooking": 3, "cutting": 2}


def test_calls_are_those_of_the_stage_and_none_of_the_probe() -> None:
    kitchen = Kitchen()
    assert watched(kitchen).count(kitchen.cook) == {"cooking": 2, "cutting": 4}


def test_a_second_run_begins_at_nothing() -> None:
    kitchen = Kitchen()
    probe = watched(kitchen)
    assert probe.time(kitchen.cook) == probe.time(kitchen.cook)
