from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_operators import (
    Applying,
    LookingUp,
    Poisoned,
    Postponed,
    SideAlways,
    Summing,
    Switched,
    drive,
    event,
    messages,
    plan,
    sources,
)

from gress_ml.batch import Batch
from gress_ml.errors import OperatorError
from gress_ml.operator import Output, Rejected, in_one_go
from gress_ml.record import FileRecord
from gress_ml.runtime.plan import DeadLetter, Fetch, Route, Step

ALL = Route("all", "out", "events", {"x": "x", "offset": "offset"})
DOUBLED = Route("doubled", "out", "p", {"y": "y", "offset": "offset"})
LARGE = Route("large", "large", "p.large", {"x": "x", "offset": "offset"})


def poisoned() -> Step:
    return Step("p", Poisoned(), "events")


# --- streams and routes ---------------------------------------------------------------------------


def test_a_plan_without_steps_routes_its_input() -> None:
    result = drive(plan(routes=[ALL]), [event(3, 1.0), event(5, 2.0)])
    assert messages(result, "out") == [{"x": 1.0, "offset": 3}, {"x": 2.0, "offset": 5}]
    assert result.produced[0].keys == [b"k", b"k"]
    assert result.dead == []


def test_steps_run_in_order_and_branches_see_their_own_source() -> None:
    branches = plan(
        poisoned(),
        Step("again", Poisoned(), "p"),
        Step("sum", Summing(), "events"),
        routes=[
            DOUBLED,
            Route("again", "again", "again", {"y": "y"}),
            Route("sum", "sums", "sum", {"sum": "sum"}),
        ],
    )
    result = drive(branches, [event(0, 1.0), event(1, -1.0), event(2, 3.0)])
    assert messages(result, "out") == [{"y": 2.0, "offset": 0}, {"y": 6.0, "offset": 2}]
    assert messages(result, "again") == [{"y": 2.0}, {"y": 6.0}]
    assert messages(result, "sums") == [{"sum": 1.0}, {"sum": 0.0}, {"sum": 3.0}]
    assert result.dead == [DeadLetter(1, "p", "negative", "x is below 0")]


def test_side_streams_are_routed_and_read_by_steps() -> None:
    sides = plan(
        poisoned(),
        Step("sum", Summing(), "p.large"),
        routes=[LARGE, Route("sum", "sums", "sum", {"sum": "sum"})],
    )
    result = drive(sides, [event(0, 1.0), event(1, 200.0), event(2, 300.0)])
    assert messages(result, "large") == [{"x": 200.0, "offset": 1}, {"x": 300.0, "offset": 2}]
    assert messages(result, "sums") == [{"sum": 200.0}, {"sum": 500.0}]
    assert sources(result, "large") == [1, 2]
    assert messages(drive(sides, [event(3, 1.0)]), "sums") == []


def test_when_takes_the_rows_for_which_it_holds() -> None:
    route = Route("some", "some", "events", {"x": "x"}, when=lambda columns: columns["x"] > 1)
    result = drive(plan(routes=[route]), [event(0, 1.0), event(1, 2.0), event(2, 3.0)])
    assert messages(result, "some") == [{"x": 2.0}, {"x": 3.0}]
    assert sources(result, "some") == [1, 2]
    assert drive(plan(routes=[route]), [event(0, 1.0)]).produced == []


def test_a_route_may_take_its_key_from_a_column() -> None:
    route = Route("keyed", "keyed", "events", {"x": "x"}, key="offset")
    result = drive(plan(routes=[route]), [event(7), event(9)])
    assert result.produced[0].keys == [b"7", b"9"]


def test_outputs_leave_in_the_order_of_the_routes() -> None:
    routes = [Route(name, name, "events", {"x": "x"}) for name in ("c", "a", "b")]
    assert [p.topic for p in drive(plan(routes=routes), [event(0)]).produced] == ["c", "a", "b"]


@pytest.mark.parametrize("records", [[], [FileRecord(0, b"nonsense"), FileRecord(1, None)]])
def test_without_good_rows_no_operator_is_called(records: list[FileRecord]) -> None:
    operator = Poisoned()
    result = drive(plan(Step("p", operator, "events"), routes=[ALL, DOUBLED, LARGE]), records)
    assert operator.calls == []
    assert result.produced == []
    assert [dead.record for dead in result.dead] == list(range(len(records)))


def test_effects_of_all_steps_are_gathered() -> None:
    result = drive(plan(poisoned(), Step("q", Poisoned(), "p")), [event(0, 1.0), event(1, 2.0)])
    assert [write.rows.tolist() for write in result.writes] == [[[2.0]], [[2.0]]]
    assert [measure.value for measure in result.measures] == [2, 2]
    assert result.logs == [{"rows": 2}, {"rows": 2}]


# --- positions ------------------------------------------------------------------------------------

KINDS = st.sampled_from(["good", "negative", "poison", "garbage", "large"])
VALUES = {"good": 1.0, "negative": -1.0, "poison": 13.0, "large": 500.0}
STREAMS = st.lists(st.tuples(KINDS, st.integers(1, 5)), max_size=24)


def stream(kinds: list[tuple[str, int]]) -> list[FileRecord]:
    """Records of these kinds; the numbers are the steps from offset to offset."""
    offset, made = 0, []
    for kind, step in kinds:
        offset += step
        made.append(FileRecord(offset, b"{") if kind == "garbage" else event(offset, VALUES[kind]))
    return made


@given(STREAMS)
@settings(deadline=None)
def test_each_record_is_produced_or_buried_under_its_own_position(
    kinds: list[tuple[str, int]],
) -> None:
    records = stream(kinds)
    result = drive(plan(poisoned(), routes=[DOUBLED, LARGE]), records)
    codes = {"garbage": "invalid_json", "negative": "negative", "poison": "operator_failed"}
    buried = {dead.record: dead.code for dead in result.dead}
    assert buried == {i: codes[kind] for i, (kind, _) in enumerate(kinds) if kind in codes}
    assert len(result.dead) == len(buried)
    for topic, wanted in (("out", {"good", "large"}), ("large", {"large"})):
        expected = [i for i, (kind, _) in enumerate(kinds) if kind in wanted]
        assert sources(result, topic) == expected
        found = [message["offset"] for message in messages(result, topic)]
        assert found == [records[i].offset for i in expected]


@given(STREAMS)
@settings(deadline=None)
def test_halving_finds_just_the_poison_in_few_calls(kinds: list[tuple[str, int]]) -> None:
    operator = Poisoned()
    result = drive(plan(Step("p", operator, "events"), routes=[DOUBLED]), stream(kinds))
    poison = sum(kind == "poison" for kind, _ in kinds)
    assert sum(dead.code == "operator_failed" for dead in result.dead) == poison
    rows = sum(kind != "garbage" for kind, _ in kinds)
    assert len(operator.calls) <= 1 + 2 * poison * max(rows, 1).bit_length()


def test_the_reason_of_a_poison_row_is_what_the_operator_raised() -> None:
    result = drive(plan(poisoned()), [event(0, 1.0), event(1, 13.0)])
    assert result.dead == [DeadLetter(1, "p", "operator_failed", "ValueError: thirteen")]


def test_a_side_stream_that_is_empty_in_one_half_does_not_fail_the_other() -> None:
    sides = plan(Step("p", SideAlways(), "events"), routes=[LARGE])
    result = drive(sides, [event(0, 1.0), event(1, 13.0)])
    assert [dead.record for dead in result.dead] == [1]
    result = drive(sides, [event(0, 13.0), event(1, 1.0), event(2, 200.0), event(3, 13.0)])
    assert [dead.record for dead in result.dead] == [0, 3]
    assert sources(result, "large") == [2]


def test_a_reason_is_kept_short() -> None:
    long = "x" * 100_000

    def refuse(batch: Batch) -> Output:
        reject = [Rejected(offset, "code", long) for offset in batch.offsets.tolist()]
        return Output(batch.take(np.empty(0, np.intp)), rejected=reject)

    result = drive(plan(Step("a", Applying(refuse), "events")), [event(0)])
    assert len(result.dead[0].message) <= 1000

    def fail(batch: Batch) -> Output:
        raise ValueError(long)

    result = drive(plan(Step("a", Applying(fail), "events")), [event(0)])
    assert len(result.dead[0].message) <= 1000
    assert result.dead[0].message.startswith("ValueError: xxx")


@pytest.mark.parametrize("offset", [-1, 1, 99])
def test_a_row_from_nowhere_is_a_fault_that_names_the_step(offset: int) -> None:
    """Burying another record in its place would lose the one and accuse the other."""

    def reject(batch: Batch) -> Output:
        return Output(batch, rejected=[Rejected(offset, "code", "message")])

    with pytest.raises(OperatorError, match=f"'odd'.* {offset}"):
        drive(plan(Step("odd", Applying(reject), "events")), [event(0), event(2)])


# --- outputs that cannot be written ---------------------------------------------------------------


def odd_values(batch: Batch) -> Output:
    """A column with what JSON cannot hold where x is 1."""
    values = np.empty(len(batch), object)
    values[:] = [object() if x == 1 else "fine" for x in batch["x"]]
    return Output(batch.with_columns({"odd": values}))


def test_a_row_that_json_cannot_hold_is_a_dead_letter_and_the_others_leave() -> None:
    odd = plan(
        Step("odd", Applying(odd_values), "events"),
        routes=[Route("odd_out", "out", "odd", {"odd": "odd"}), ALL],
    )
    records = [FileRecord(0, b"{"), event(1, 0.0), event(2, 1.0), event(3, 2.0), event(5, 1.0)]
    result = drive(odd, records)
    assert [(dead.record, dead.operator, dead.code) for dead in result.dead] == [
        (0, "decode", "invalid_json"),
        (2, "odd_out", "output_failed"),
        (4, "odd_out", "output_failed"),
    ]
    assert sources(result, "out") == [1, 3, 1, 2, 3, 4]
    assert messages(result, "out")[:2] == [{"odd": "fine"}] * 2


def test_a_condition_that_fails_for_a_row_costs_that_row() -> None:
    def strict(columns: Any) -> Any:
        if (columns["x"] == 1).any():
            raise ArithmeticError("one")
        return columns["x"] > 0

    some = plan(routes=[Route("some", "some", "events", {"x": "x"}, when=strict)])
    result = drive(some, [event(i, float(i)) for i in range(4)])
    assert sources(result, "some") == [2, 3]
    assert [(dead.record, dead.message) for dead in result.dead] == [(1, "ArithmeticError: one")]


def test_deep_json_that_was_read_never_stops_the_plan() -> None:
    """Wherever the limits of reading and writing lie, the event is an output or a dead letter."""
    deep = plan(routes=[Route("deep", "out", "events", {"j": "j"})])
    for depth in (10, 200, 254, 500, 900, 980, 990, 1000, 1010, 5000):
        value = b'{"id":"a","j":' + b"[" * depth + b"]" * depth + b"}"
        result = drive(deep, [FileRecord(0, value)])
        assert len(result.produced) + len(result.dead) == 1


# --- lookups --------------------------------------------------------------------------------------

FOUND = Route("found", "out", "l", {"found": "found", "degraded": "degraded"})


def looking_up() -> Step:
    return Step("l", LookingUp(), "events")


def test_answers_become_a_column() -> None:
    def answer(fetch: Fetch) -> Any:
        assert [(l.table, l.fields, l.keys) for l in fetch.lookups] == [  # noqa: E741
            ("table", ("a", "b"), [b"p", b"q"])
        ]
        return [np.array([[1, 2], [3, np.nan]], np.float32)]

    result = drive(
        plan(looking_up(), routes=[FOUND]), [event(0, key="p"), event(1, key="q")], answer
    )
    assert messages(result, "out") == [
        {"found": [1.0, 2.0], "degraded": []},
        {"found": [3.0, None], "degraded": []},
    ]
    assert result.degraded == set()


def test_without_an_answer_the_batch_goes_on_degraded() -> None:
    result = drive(plan(looking_up(), routes=[FOUND]), [event(0), event(1)])
    wanted = {"found": [None, None], "degraded": ["feature_store"]}
    assert messages(result, "out") == [wanted, wanted]
    assert result.degraded == {"feature_store"}


def test_degraded_travels_down_the_steps() -> None:
    chain = plan(
        looking_up(),
        Step("p", Poisoned(), "l"),
        routes=[Route("o", "out", "p", {"degraded": "degraded"})],
    )
    result = drive(chain, [event(0)])
    assert messages(result, "out") == [{"degraded": ["feature_store"]}]


def test_a_batch_with_lookups_is_halved_too_and_asks_only_for_its_rows() -> None:
    asked: list[int] = []

    def answer(fetch: Fetch) -> Any:
        keys = fetch.lookups[0].keys
        asked.append(len(keys))
        return [np.array([[len(asked), int(key)] for key in keys], np.float32)]

    records = [event(i, 13.0 if i == 2 else 0.0, key=str(i)) for i in range(4)]
    result = drive(plan(looking_up(), routes=[FOUND]), records, answer)
    assert asked == [4, 2, 2, 1, 1]
    assert [message["found"][1] for message in messages(result, "out")] == [0, 1, 3]
    assert [dead.record for dead in result.dead] == [2]


# --- state and switches ---------------------------------------------------------------------------


def test_a_poison_row_leaves_the_state_as_if_it_had_not_been_there() -> None:
    summing, alone = plan(Step("s", Summing(), "events")), plan(Step("s", Summing(), "events"))
    drive(summing, [event(0, 1.0), event(1, 13.0), event(2, 2.0)])
    drive(alone, [event(0, 1.0), event(2, 2.0)])
    assert summing.snapshot() == alone.snapshot()


def test_a_snapshot_holds_the_steps_that_have_state_and_restores_them() -> None:
    def fresh() -> Any:
        return plan(
            Step("s", Summing(), "events"),
            Step("p", Poisoned(), "s"),
            Step("t", Summing(), "p"),
            routes=[Route("o", "out", "t", {"sum": "sum"})],
        )

    first = fresh()
    assert first.stateful
    assert not plan(poisoned()).stateful
    drive(first, [event(0, 1.0), event(1, 2.0)])
    saved = first.snapshot()
    assert {*saved} == {"s", "t"}
    second = fresh()
    second.restore({**saved, "gone": (1, b"a step that the topology no longer has")})
    assert second.snapshot() == saved
    assert messages(drive(second, [event(2, 4.0)]), "out") == [{"sum": 7.0}]
    third = fresh()
    third.restore({})
    assert messages(drive(third, [event(2, 4.0)]), "out") == [{"sum": 4.0}]


def test_every_operator_hears_every_switch() -> None:
    first, second, other = Switched("a"), Switched("a"), Switched("b")
    switched = plan(*(Step(f"s{i}", o, "events") for i, o in enumerate([first, second, other])))
    assert switched.control("a", "on")
    assert not switched.control("c", "on")
    assert (first.value, second.value, other.value) == ("on", "on", "")
    switched.close()
    assert (first.closed, second.closed, other.closed) == (1, 1, 1)


# --- late work ------------------------------------------------------------------------------------

TWICE = Route("twice", "late", "later.twice", {"twice": "twice", "id": "decision_id"})
NOW = Route("now", "out", "later", {"x": "x"})


def test_late_work_is_handed_out_and_not_done() -> None:
    postponed = plan(Step("later", Postponed(), "events"), routes=[NOW, TWICE])
    result = drive(postponed, [event(3, 1.0), event(5, 2.0)])
    assert messages(result, "out") == [{"x": 1.0}, {"x": 2.0}]
    assert [produced.topic for produced in result.produced] == ["out"]
    assert result.measures == []
    (late,) = result.late
    assert (late.stream, late.later.side) == ("later.twice", "twice")
    output = in_one_go(late.later.stages(late.later.batch))
    leaving = postponed.leaving(late.stream, output.batch)
    assert messages(leaving, "late") == [
        {"twice": 2.0, "id": "in-0-3"},
        {"twice": 4.0, "id": "in-0-5"},
    ]
    assert leaving.produced[0].keys == [b"k", b"k"]


def test_a_batch_that_is_halved_keeps_the_late_work_of_both_halves() -> None:
    postponed = plan(Step("later", Postponed(), "events"), routes=[NOW])
    records = [event(at, 13.0 if at == 2 else float(at)) for at in range(5)]
    result = drive(postponed, records)
    assert [letter.record for letter in result.dead] == [2]
    waiting = [offset for late in result.late for offset in late.later.batch.offsets.tolist()]
    assert waiting == [0, 1, 3, 4]


def test_a_late_row_that_cannot_be_written_costs_itself() -> None:
    route = Route("twice", "late", "later.twice", {"j": "j"})
    postponed = plan(Step("later", Postponed(), "events"), routes=[route])
    column = np.array([1, "\ud800", 3], object)
    batch = Batch.of({"j": column}, topic="t")
    leaving = postponed.leaving("later.twice", batch)
    assert messages(leaving, "late") == [{"j": 1}, {"j": 3}]
    assert [letter.code for letter in leaving.dead] == ["output_failed"]
