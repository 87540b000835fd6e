"""Records of several partitions decided in one batch give what they give apart."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from small_operators import Poisoned, Postponed, SideAlways, drive, drive_flow, event, plan

from gress_ml.record import FileRecord
from gress_ml.runtime.joint import run_joint, split
from gress_ml.runtime.plan import Produced, Result, Route, Step

FIELDS = {"x": "x", "offset": "offset", "partition": "partition", "decision_id": "decision_id"}
ROUTES = [
    Route("all", "out", "p", {**FIELDS, "y": "y"}),
    Route("large", "large", "p.large", FIELDS),
    Route("input", "copies", "events", FIELDS, when=lambda columns: columns["x"] > 1),
]


def steps() -> list[Step]:
    return [Step("p", Poisoned(), "events"), Step("side", SideAlways(), "events")]


def damaged(offset: int) -> FileRecord:
    return FileRecord(offset, b"{", b"k", 0)


#: x of an event: good, rejected (< 0), large, one that fails its batch (13), or not JSON at all.
values = st.sampled_from([0.5, 1.0, 2.0, -1.0, 150.0, 13.0, None])
parts = st.dictionaries(
    st.integers(0, 20), st.lists(values, min_size=1, max_size=8), min_size=1, max_size=4
)


def records(found: Sequence[float | None]) -> list[FileRecord]:
    """With gaps, as after a compaction."""
    return [
        damaged(7 + 3 * place) if x is None else event(7 + 3 * place, x)
        for place, x in enumerate(found)
    ]


def of_messages(produced: Sequence[Produced]) -> dict[str, list[tuple[bytes | None, bytes, int]]]:
    return {
        one.topic: [*zip(one.keys, one.values, one.records, strict=True)]
        for one in produced
        if one.values
    }


@given(parts)
def test_each_part_has_the_messages_and_dead_letters_that_it_has_alone(
    drawn: dict[int, list[float | None]],
) -> None:
    given_parts = [(number, records(found)) for number, found in drawn.items()]
    whole = drive_flow(run_joint(plan(*steps(), routes=ROUTES), "t", given_parts))
    results = split(whole, [len(found) for _, found in given_parts])
    for (number, found), joint in zip(given_parts, results, strict=True):
        alone = drive(plan(*steps(), routes=ROUTES), found, topic="t", partition=number)
        assert of_messages(joint.produced) == of_messages(alone.produced)
        assert joint.dead == alone.dead


def test_what_belongs_to_no_row_is_with_the_first_part() -> None:
    made = plan(Step("p", Poisoned(), "events"), Step("later", Postponed(), "events"))
    whole = drive_flow(run_joint(made, "t", [(0, [event(4, 1.0)]), (1, [event(4, 2.0)])]))
    first, second = split(whole, [1, 1])
    assert len(first.measures) == len(first.logs) == len(first.writes) == len(first.late) == 1
    assert second == Result()


def test_late_rows_of_a_joint_batch_say_where_they_came_from() -> None:
    late = Route("late", "late", "later.twice", {**FIELDS, "twice": "twice"})
    made = plan(Step("later", Postponed(), "events"), routes=[late])
    whole = drive_flow(run_joint(made, "t", [(3, [event(4, 1.0)]), (5, [event(4, 2.0)])]))
    (left,) = whole.late
    rows = left.later.batch
    result = made.leaving("later.twice", rows.with_columns({"twice": rows["x"]}))
    assert [b'"t-3-4"' in value for value in result.produced[0].values] == [True, False]
    assert [b'"t-5-4"' in value for value in result.produced[0].values] == [False, True]
