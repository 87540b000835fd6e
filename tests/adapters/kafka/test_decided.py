"""Of all records that cover an offset, the last one says who decided it."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gress_ml.adapters.kafka.decided import Decided, decided_by


def record(offset: int, version: str, topic: str = "in", partition: int = 0) -> Decided:
    return Decided("t", topic, partition, offset, "m", "champion", version, "2026-01-01T00:00:00Z")


def version_of(found: list[Decided], offset: int) -> str | None:
    answer = decided_by(found, "in", 0, offset)
    return answer[0].version if answer else None


def test_an_offset_before_all_records_was_decided_by_nobody_known() -> None:
    assert version_of([], 5) is None
    assert version_of([record(6, "1")], 5) is None


def test_a_version_decides_from_its_first_offset_to_the_next_record() -> None:
    found = [record(0, "1"), record(10, "2"), record(20, "1")]
    assert [version_of(found, n) for n in (0, 9, 10, 19, 20, 99)] == ["1", "1", "2", "2", "1", "1"]


def test_what_was_decided_again_after_a_crash_counts_as_decided_by_the_last() -> None:
    found = [record(0, "1"), record(10, "2"), record(7, "3")]
    assert [version_of(found, n) for n in (6, 7, 10)] == ["1", "3", "3"]


def test_other_partitions_topics_and_references_do_not_mix() -> None:
    found = [record(0, "1"), record(0, "2", partition=1), record(0, "3", topic="other")]
    challenger = msgspec.structs.replace(record(0, "4"), reference="challenger")
    assert version_of(found, 5) == "1"
    answer = decided_by([*found, challenger], "in", 0, 5)
    assert {(one.reference, one.version) for one in answer} == {
        ("champion", "1"),
        ("challenger", "4"),
    }


RECORDS = st.lists(st.builds(record, st.integers(0, 9), st.sampled_from("123")), max_size=12)


@given(RECORDS)
def test_compaction_changes_no_answer(found: list[Decided]) -> None:
    newest = {one.key: at for at, one in enumerate(found)}
    compacted = [one for at, one in enumerate(found) if newest[one.key] == at]
    for offset in range(10):
        assert version_of(compacted, offset) == version_of(found, offset)


@given(RECORDS)
def test_the_answer_is_that_of_deciding_one_after_the_other(found: list[Decided]) -> None:
    decided: dict[int, str] = {}
    for one in found:  # each decides all that comes after, until the next one begins
        decided.update(dict.fromkeys(range(one.offset, 10), one.version))
    assert {n: v for n in range(10) if (v := version_of(found, n))} == decided
