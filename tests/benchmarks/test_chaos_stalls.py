"""When a partition stands still, and which blow is to blame."""

from __future__ import annotations

from benchmarks.chaos.stalls import Happening, Span, find_stalls
from benchmarks.chaos.troubles.trouble import Kind

KILL = Happening(10_000, "kill", Kind.KILL)
LATER = Happening(20_000, "restart", Kind.REBALANCE)


def test_a_stall_lasts_from_the_last_answer_to_the_next_while_something_waited() -> None:
    spans = [Span(9_900, 9_950), Span(10_000, 16_000), Span(10_100, 16_001)]
    (stall,) = find_stalls(spans, [KILL])
    assert (stall.begin_ms, stall.end_ms, stall.cause) == (10_000, 16_000, KILL)
    assert stall.recovery_s == 6.0


def test_a_time_without_input_is_no_stall() -> None:
    assert find_stalls([Span(0, 10), Span(9_000, 9_010)], []) == []


def test_a_record_answered_out_of_turn_still_shows_how_long_the_oldest_waited() -> None:
    (stall,) = find_stalls([Span(1_000, 1_001), Span(8_000, 8_001), Span(2_000, 8_002)], [])
    assert (stall.begin_ms, stall.end_ms) == (2_000, 8_001)


def test_the_gravest_blow_that_fell_into_a_stall_is_its_cause() -> None:
    away = Happening(15_000, "broker", Kind.AWAY)
    (stall,) = find_stalls([Span(9_990, 10_050), Span(10_060, 21_000)], [KILL, away, LATER])
    assert stall.cause is away


def test_of_equally_grave_blows_in_a_stall_the_first_is_its_cause() -> None:
    again = Happening(12_000, "kill", Kind.KILL)
    (stall,) = find_stalls([Span(9_990, 10_050), Span(10_060, 21_000)], [KILL, again, LATER])
    assert stall.cause is KILL


def test_a_stall_without_a_blow_in_it_belongs_to_the_last_one_before() -> None:
    (stall,) = find_stalls([Span(12_000, 12_010), Span(12_020, 14_000)], [KILL, LATER])
    assert stall.cause is KILL


def test_a_stall_before_all_blows_has_no_cause() -> None:
    (stall,) = find_stalls([Span(1_000, 1_010), Span(1_020, 3_000)], [KILL])
    assert stall.cause is None
    assert stall.recovery_s == 0.0
