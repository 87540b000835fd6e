"""Log lines about dead letters: the first of a kind at once, then a few with counts."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import structlog

from gress_ml.adapters.clock import ManualClock
from gress_ml.engine.dead_letters import PERIOD_S, DeadLetterLog
from gress_ml.record import FileRecord
from gress_ml.runtime.plan import DeadLetter

RECORDS = [FileRecord(offset, b"{}", key=b"k") for offset in range(40, 50)]


def letters(*places: int, code: str = "invalid_json") -> list[DeadLetter]:
    return [DeadLetter(place, "decode", code, f"why {place}") for place in places]


def said(lines: list[MutableMapping[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        tuple(line[key] for key in ("partition", "code", "first_offset", "count")) for line in lines
    ]


def test_the_first_of_a_kind_is_told_at_once_with_what_is_needed_to_find_it() -> None:
    with structlog.testing.capture_logs() as lines:
        DeadLetterLog(ManualClock()).note(("in", 3), RECORDS, letters(2, 5))
    (line,) = lines
    assert line == {
        "event": "dead_letters",
        "log_level": "warning",
        "topic": "in",
        "partition": 3,
        "first_offset": 42,
        "count": 2,
        "operator": "decode",
        "code": "invalid_json",
        "reason": "why 2",
    }


def test_a_flood_makes_one_line_per_period_that_counts_them_all() -> None:
    clock = ManualClock(1000.0)
    log = DeadLetterLog(clock)
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            log.note(("in", 0), RECORDS, letters(1, 2, 3))
            clock.advance(PERIOD_S / 50)
    told = [line["count"] for line in lines]
    assert told[0] == 3
    assert len(told) == 2
    assert sum(told) == 3 * 51  # the rest waits for the next line


def test_kinds_and_partitions_are_told_apart() -> None:
    log = DeadLetterLog(ManualClock())
    with structlog.testing.capture_logs() as lines:
        log.note(("in", 0), RECORDS, [*letters(1), *letters(2, code="empty"), *letters(3)])
        log.note(("in", 1), RECORDS, letters(4))
        log.note(("in", 0), RECORDS, letters(5))
    assert said(lines) == [
        (0, "invalid_json", 41, 2),
        (0, "empty", 42, 1),
        (1, "invalid_json", 44, 1),
    ]


def test_after_a_quiet_time_the_next_is_told_at_once() -> None:
    clock = ManualClock()
    log = DeadLetterLog(clock)
    with structlog.testing.capture_logs() as lines:
        log.note(("in", 0), RECORDS, letters(1))
        clock.advance(PERIOD_S)
        log.note(("in", 0), RECORDS, letters(6))
    assert said(lines) == [(0, "invalid_json", 41, 1), (0, "invalid_json", 46, 1)]
