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

from gress_ml.adapters.kafka.decompression import MAX_BATCH_BYTES

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


HEADER = "a name of a header"


def bomb(base: int, codec: str = "zstd") -> bytes:
    """Two records; decompressed they are larger than any batch may be."""
    return batch(base, [b"", bytes(MAX_BATCH_BYTES)], codec)


def poisoned(base: int) -> bytes:
    """Three records; the name of the second's header is no UTF-8."""
    whole = batch(base, [b"a", b"b", b"c"], headers=[(HEADER, b"")])
    name = HEADER.encode()
    at = whole.index(name, whole.index(name) + 1)
    return signed(whole[:at] + b"\xff" + whole[at + 1 :])


def beyond_its_batch(base: int) -> bytes:
    """Three records; the second says that its offset is 50 behind the first one's."""
    data = bytearray(batch(base, [b"a", b"b", b"c"]))
    second = data.index(b"b") - 5  # length, attributes, time and offset stand before the key
    assert data[second + 2 : second + 4] == b"\x02\x01"  # offset 1 and no key, as zigzag varints
    data[second + 2] = 2 * 50
    return signed(bytes(data))


def longer_than_memory(base: int) -> bytes:
    """One record; its value says that it is 2^63 - 40 bytes long."""
    data = batch(base, [bytes(30)])
    body = data[:61] + data[61:].replace(b"\x3c" + bytes(30), b"\xb0" + b"\xff" * 8 + b"\x01", 1)
    return signed(body + bytes(len(data) - len(body)))


def read(data: bytes, fetch_offset: int = 0, key: Any = None) -> fetcher.FetchResult:
    """The records of a fetch, as aiokafka's consumer takes them; ``key`` is its deserializer."""
    return fetcher.PartitionRecords(
        *(TP, MemoryRecords(data), [], fetch_offset, key, None, True, fetcher.READ_COMMITTED)
    )


def drained(data: bytes, fetch_offset: int = 0, key: Any = None) -> tuple[list[Any], int]:
    """All records of a fetch, and the offset of the next one."""
    records = read(data, fetch_offset, key)
    return [*records], records.next_fetch_offset
