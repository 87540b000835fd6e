"""What cannot be read of a partition costs itself alone."""

from __future__ import annotations

import tracemalloc

import pytest
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from record_batches import (
    batch,
    beyond_its_batch,
    bomb,
    drained,
    longer_than_memory,
    poisoned,
    read,
    signed,
)

from gress_ml.adapters.kafka import unreadable
from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.adapters.kafka.unreadable import UnreadableRecord
from gress_ml.runtime.decode import Decoder
from gress_ml.schema import ColumnType, EventSchema, Field


@pytest.fixture(autouse=True)
def bounded() -> None:
    bound_decompression()


def test_batches_that_can_be_read_are_as_they_were() -> None:
    data = batch(5, [b"a", b"b"]) + batch(7, [b"c"], "zstd", [("h", b"v")])
    records, position = drained(data, 5)
    assert [(r.offset, r.timestamp, r.value, r.headers) for r in records] == [
        (5, 1000, b"a", ()),
        (6, 1001, b"b", ()),
        (7, 1000, b"c", (("h", b"v"),)),
    ]
    assert position == 8


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_decompression_bomb_is_one_record_without_a_value(codec: str) -> None:
    data = batch(0, [b"a"]) + bomb(1, codec)
    records, position = drained(data)
    assert [(r.offset, r.value) for r in records] == [(0, b"a"), (2, None)]
    assert position == 3
    stand_in = records[1]
    assert isinstance(stand_in, UnreadableRecord)
    assert stand_in.reason.startswith("offsets 1 to 2 cannot be read: a record batch of ")


def test_a_header_that_is_no_utf8_costs_the_rest_of_its_batch() -> None:
    """One record with such a header stopped its partition for ever."""
    data = poisoned(0) + batch(3, [b"z"])
    records, position = drained(data)
    assert [(r.offset, r.value) for r in records] == [(0, b"a"), (2, None), (3, b"z")]
    assert records[1].reason.startswith("offsets 1 to 2 cannot be read: 'utf-8' codec")
    assert position == 4


def test_an_offset_beyond_its_batch_takes_nothing_for_read() -> None:
    """The engine would go on, and commit, behind it; a broker does not look at these offsets."""
    records, position = drained(beyond_its_batch(0) + batch(3, [b"z"]))
    assert [(r.offset, r.value) for r in records] == [(0, b"a"), (2, None), (3, b"z")]
    assert records[1].reason.endswith("cannot be read: a record says that its offset is 50")
    assert position == 4


def test_a_length_that_no_memory_holds_is_a_fault_of_the_batch() -> None:
    records, position = drained(longer_than_memory(0) + batch(1, [b"z"]))
    assert [(r.offset, r.value) for r in records] == [(0, None), (1, b"z")]
    assert records[0].reason == "offsets 0 to 0 cannot be read: MemoryError()"
    assert position == 2


def test_a_machine_without_memory_is_no_fault_of_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unreadable, "_MOST_UNPACKED", 1 << 62)
    with pytest.raises(MemoryError):
        drained(longer_than_memory(0))


def test_what_stands_for_them_becomes_a_dead_letter() -> None:
    records, _ = drained(batch(0, [b'{"x": 1}']) + bomb(1))
    records += drained(batch(3, [b'{"x": 3}']), 3)[0]
    schema = EventSchema("in", [Field("x", ColumnType.FLOAT, required=True)])
    good, rejected = Decoder(schema).decode("in", 0, records)
    assert good["x"].tolist() == [1.0, 3.0]
    assert [(row.offset, row.code) for row in rejected] == [(2, "unreadable")]


def test_what_the_group_has_read_already_is_not_told_again() -> None:
    records, position = drained(bomb(10), fetch_offset=11)
    assert [r.offset for r in records] == [11]
    assert records[0].reason.startswith("offsets 11 to 11 ")
    assert position == 12


def test_a_wrong_checksum_is_asked_for_again() -> None:
    """It was damaged on its way; on the broker's disk it may be whole."""
    data = bytearray(batch(0, [b"a"]) + batch(1, [b"b"]))
    data[-1] ^= 1
    records = read(bytes(data))
    assert next(records).value == b"a"
    with pytest.raises(CorruptRecordException, match="Invalid CRC"):
        next(records)
    assert records.next_fetch_offset == 1


def test_a_codec_that_this_machine_lacks_is_no_fault_of_the_batch() -> None:
    data = bytearray(batch(0, [b"a" * 100], "zstd"))
    data[22] |= 0x07
    with pytest.raises(UnsupportedCodecError):
        drained(signed(bytes(data)))


def test_a_fetch_unpacks_no_further_than_its_bound_and_the_rest_comes_again() -> None:
    """A fetch of 1 MiB holds hundreds of batches that each are within the bound of a batch."""
    large = unreadable._MOST_UNPACKED // 2
    offsets, data = range(9), b""
    for offset in offsets:
        data += batch(offset, [bytes(large)], "zstd")
    seen: list[int] = []
    tracemalloc.start()
    while len(seen) < len(offsets):
        rest = b"".join(batch(at, [bytes(large)], "zstd") for at in offsets[len(seen) :])
        tracemalloc.reset_peak()
        records, position = drained(rest, len(seen))
        assert 1 <= len(records) <= 3
        seen += [record.offset for record in records]
        assert position == seen[-1] + 1
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == [*offsets]
    assert most < 6 * large
