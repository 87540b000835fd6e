"""Record batches as a broker hands them on, made by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

CODECS = {
    "none": DefaultRecordBatch.CODEC_NONE,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}
_CRC_AT, _CHECKED_FROM = 17, 21  # KIP-98: baseOffset, length, epoch, magic, then the CRC
TP = TopicPartition("in", 0)

Headers = Sequence[tuple[str, bytes]]


def batch(base: int, values: Iterable[bytes], codec: str = "none", headers: Headers = ()) -> bytes:
    """One batch of format 2; its first record has the offset ``base``."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, 0, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1000 + offset, None, value, list(headers))
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    return bytes(data)


def signed(data: bytes) -> bytes:
    """The batch with the checksum that is right for it."""
    out = bytearray(data)
    struct.pack_into(">I", out, _CRC_AT, calc_crc32c(bytes(out[_CHECKED_FROM:])))
    return bytes(out)


def read(data: bytes, fetch_offset: int = 0) -> fetcher.FetchResult:
    """The records of a fetch, as aiokafka's consumer takes them."""
    return fetcher.PartitionRecords(
        *(TP, MemoryRecords(data), [], fetch_offset, None, None, True, fetcher.READ_COMMITTED)
    )


def drained(data: bytes, fetch_offset: int = 0) -> tuple[list[Any], int]:
    """All records of a fetch, and the offset of the next one."""
    records = read(data, fetch_offset)
    return [*records], records.next_fetch_offset
