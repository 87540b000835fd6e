"""Plain records say what aiokafka's say, and lose nothing that cannot be read either."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from record_batches import CODECS, TP, batch, beyond_its_batch, drained, poisoned

from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.adapters.kafka.plain_records import plain, whole_record


@pytest.fixture(autouse=True, scope="module")
def bounded() -> None:
    bound_decompression()


def same(data: bytes, fetch_offset: int = 0) -> list[Any]:
    """The plain records, after a look that they say what whole ones say."""
    records, position = drained(data, fetch_offset, plain)
    whole, at = drained(data, fetch_offset)
    assert [whole_record(TP, record) for record in records] == whole
    assert position == at
    return records


@given(
    st.lists(st.lists(st.binary(max_size=8), min_size=1, max_size=4), min_size=1, max_size=4),
    st.sampled_from([*CODECS]),
    st.integers(0, 3),
)
def test_they_are_whole_records_without_what_nobody_reads(
    batches: list[list[bytes]], codec: str, within: int
) -> None:
    data, base = b"", 0
    for values in batches:
        data += batch(base, values, codec, [("h", b"v")])
        base += len(values)
    # a broker begins with the batch that holds the offset which was asked for
    fetch_offset = min(within, len(batches[0]) - 1)
    records = same(data, fetch_offset)
    assert not any(isinstance(record, ConsumerRecord) for record in records)
    assert [record.offset for record in records] == [*range(fetch_offset, base)]


@pytest.mark.parametrize("damaged", [poisoned(0), beyond_its_batch(0)], ids=["header", "offset"])
def test_what_cannot_be_read_is_told_as_before(damaged: bytes) -> None:
    records = same(damaged + batch(3, [b"z"]))
    assert [(r.offset, r.value) for r in records[-1:]] == [(3, b"z")]
    assert "cannot be read" in records[-2].reason


def test_a_record_that_is_whole_stays_the_same_object() -> None:
    [record], _ = drained(batch(0, [b"a"]))
    assert whole_record(TP, record) is record


def test_who_does_not_ask_for_plain_ones_gets_whole_ones() -> None:
    """Other consumers of the process are as they were, with a deserializer of their own too."""
    records, _ = drained(batch(0, [b"a"]), key=lambda key: b"mine")
    assert [(r.topic, r.key) for r in records] == [(TP.topic, b"mine")]
