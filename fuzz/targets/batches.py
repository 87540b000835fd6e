"""Batches: what a broker hands on of a partition, as its clients wrote it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from fuzz import bytes_mutation
from fuzz.target import Target, require
from gress_ml.adapters.kafka.decompression import bound_decompression
from gress_ml.adapters.kafka.unreadable import UnreadableRecord

_TP = TopicPartition("fuzz", 0)
_HEAD = struct.Struct(">qiib")  # base offset, length, epoch, format: what the broker writes anew
_CRC_AT, _CHECKED_FROM, _DELTA_AT, _COUNT_AT, _BODY_AT = 17, 21, 23, 57, 61  # KIP-98
_CODECS = (0, 1, 2, 3, 4)
_FIRST = 100


def _batch(codec: int, values: Sequence[bytes]) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1 << 20)
    for offset, value in enumerate(values):
        key = None if offset else b"key"
        builder.append(offset, 1_700_000_000_000 + offset, key, value, [("traceparent", b"00-1")])
    return bytes(builder.build())


class Batches(Target):
    """One input is one record batch.

    It is read behind a good batch and before another. As a broker does, its base offset, length
    and checksum are made right, and it is of format 2 and ends at or behind where it begins; once
    more it is read as it is, as after damage on the way.
    """

    name: ClassVar[str] = "batches"
    law: ClassVar[str] = "A batch costs itself alone: all others are read, and none twice."

    def __init__(self) -> None:
        bound_decompression()
        self._before = _at(_FIRST, _batch(0, [b"before"]))

    def seeds(self) -> Sequence[bytes]:
        values = ([b"{}"], [b"a" * 300, b"", b"b" * 40], [bytes(5000)] * 20)
        return [_batch(codec, value) for codec in _CODECS for value in values]

    def mutate(self, random: Random, pool: Sequence[bytes]) -> bytes:
        data = random.choice(pool)
        if random.random() < 0.5:  # the header stays what it was
            return data[:_BODY_AT] + bytes_mutation.mutated(data[_BODY_AT:], random, pool)
        return bytes_mutation.mutated(data, random, pool)

    def check(self, data: bytes) -> str:
        if len(data) < _BODY_AT:
            return "no batch"
        return f"{self._damaged(data)}; {self._accepted(data)}"

    def _damaged(self, data: bytes) -> str:
        """On its way: what was read before it stays, and it is asked for again."""
        try:
            list(_read(self._before + data, _FIRST))
        except (CorruptRecordException, UnsupportedCodecError) as error:
            return str(error)
        return "reads as it is"

    def _accepted(self, data: bytes) -> str:
        """As a broker keeps it."""
        delta = abs(int.from_bytes(data[_DELTA_AT : _DELTA_AT + 4], "big", signed=True)) % 1000
        odd = bytearray(data)
        odd[_DELTA_AT : _DELTA_AT + 4] = delta.to_bytes(4, "big")
        odd[_CHECKED_FROM] &= 0x00  # no attributes that are not in use
        odd[_CHECKED_FROM + 1] &= 0x0F  # a codec and a kind of timestamp; no control batch
        end = _FIRST + 1 + delta + 1
        after = _at(end, _batch(0, [b"after"]))
        records = _read(self._before + _at(_FIRST + 1, bytes(odd)) + after, _FIRST)
        try:
            found = list(records)
        except UnsupportedCodecError:
            return "codec"
        if records.next_fetch_offset == end:  # it was large: the rest comes with the next fetch
            records = _read(after, end)
            found += records
        offsets = [record.offset for record in found]
        require(found[0].value == b"before", "the batch before it is read")
        require(offsets == sorted({*offsets}), "offsets rise")
        require(all(offset < end for offset in offsets[:-1]), "its offsets are its own")
        require(found[-1].value == b"after", "the batch after it is read")
        require(records.next_fetch_offset == end + 1, "the position is behind all")
        told = [record for record in found if isinstance(record, UnreadableRecord)]
        require(len(told) <= 1, "it is told once")
        return f"{len(offsets) > 3} {told[0].reason if told else 'reads'}"


def _at(base: int, batch: bytes) -> bytes:
    """The batch as a broker keeps it: at its offset, whole, and signed."""
    out = bytearray(batch)
    _HEAD.pack_into(out, 0, base, len(out) - 12, 0, 2)
    struct.pack_into(">I", out, _CRC_AT, calc_crc32c(bytes(out[_CHECKED_FROM:])))
    return bytes(out)


def _read(data: bytes, offset: int) -> fetcher.PartitionRecords:
    return fetcher.PartitionRecords(
        *(_TP, MemoryRecords(data), [], offset, None, None, True, fetcher.READ_COMMITTED)
    )
