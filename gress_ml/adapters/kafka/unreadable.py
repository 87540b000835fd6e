"""A record batch that no reader can read costs itself, not its partition.

A broker lets batches pass at which aiokafka raises: it decompresses them without a bound, and does
not look at the names of headers, which may be no UTF-8. Each fetch would bring such a batch again,
and end there again. Nor does it look at the offsets that the records of an uncompressed batch say
they have: one far ahead would take all between for read. Here one record without a value stands
for what cannot be read of a batch, at the last of its offsets; as any record without a value it
becomes a dead letter, and is committed.

A batch whose checksum is wrong was damaged on its way: aiokafka raises and asks for it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.structs import ConsumerRecord, TopicPartition

from gress_ml.adapters.kafka.plain_records import plain

log = structlog.get_logger(__name__)

#: How far a fetch of 1 MiB may unpack before the rest of it is put off to the next one.
_MOST_UNPACKED = 64 << 20


class Unpacked:
    """How many bytes were decompressed in this process."""

    bytes = 0


@dataclass
class UnreadableRecord(ConsumerRecord):  # type: ignore[misc] # aiokafka is untyped
    """Stands for the records of a batch that cannot be read."""

    reason: str


class _Batches:
    """The batches of one fetch, which end early when they grow too large: the rest comes again."""

    def __init__(self, tp: TopicPartition, records: Any, check: bool) -> None:
        self._tp = tp
        self._records = records
        self._check = check
        self._limit: int | None = None
        self.last: Any = None  # the batch that is being read; None before its checksum held
        self.base = self.end = 0

    def has_next(self) -> bool:
        if self._limit is None:
            self._limit = Unpacked.bytes + _MOST_UNPACKED
        return Unpacked.bytes < self._limit and bool(self._records.has_next())

    def next_batch(self) -> Any:
        self.last = None
        batch = self._records.next_batch()
        if self._check and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {self._tp}")
        self.last, self.end = batch, batch.next_offset
        self.base = getattr(batch, "base_offset", 0)  # format 2 alone has one
        return batch


class ReadableRecords(fetcher.PartitionRecords):  # type: ignore[misc] # aiokafka is untyped
    """aiokafka's records of one fetch of a partition; it goes on behind what cannot be read."""

    next_fetch_offset: int

    def __init__(
        self,
        tp: TopicPartition,
        records: Any,
        aborted: Any,
        fetch_offset: int,
        key_deserializer: Any,
        value_deserializer: Any,
        check_crcs: bool,
        isolation_level: int,
    ) -> None:
        self._batches = _Batches(tp, records, check_crcs)
        if key_deserializer is plain:
            self._consumer_record = _itself
        super().__init__(
            *(tp, self._batches, aborted, fetch_offset),
            *(key_deserializer, value_deserializer),
            False,  # the batches check themselves
            isolation_level,
        )
        self._records_iterator = self._readable()

    def __iter__(self) -> Iterator[Any]:
        return self._records_iterator  # and not ``self``: a call less for each record

    def _readable(self) -> Iterator[Any]:
        batches, position = self._batches, self.next_fetch_offset
        while True:
            try:
                for record in self._unpack_records():
                    offset = record.offset
                    if offset >= batches.end:
                        raise ValueError(f"a record says that its offset is {offset}")
                    position = offset + 1
                    yield record
                return
            except UnsupportedCodecError:  # of this machine, not of the batch
                raise
            except Exception as error:
                if batches.last is None or (isinstance(error, MemoryError) and _memory_is_full()):
                    raise
                first, position = max(position, batches.base), batches.end
                self.next_fetch_offset = position
                if first < position:  # else a record had the last offset, and comes before others
                    yield self._stand_in(first, error)

    def _stand_in(self, first: int, error: Exception) -> UnreadableRecord:
        tp, last = self._tp, self._batches.end - 1
        reason = f"offsets {first} to {last} cannot be read: {str(error) or repr(error)}"
        log.error("records_unreadable", topic=tp.topic, partition=tp.partition, reason=reason)
        return UnreadableRecord(
            topic=tp.topic,
            partition=tp.partition,
            offset=last,
            timestamp=getattr(self._batches.last, "max_timestamp", 0),  # format 2 alone has one
            timestamp_type=0,
            key=None,
            value=None,
            checksum=None,
            serialized_key_size=-1,
            serialized_value_size=-1,
            headers=(),
            reason=reason,
        )


def _itself(_: TopicPartition, record: Any) -> Any:
    return record


def _memory_is_full() -> bool:
    """Whether not even a good batch could be read; else a record said a length that none has."""
    try:
        bytearray(_MOST_UNPACKED)
    except MemoryError:
        return True
    return False


def pass_over_unreadable() -> None:
    """From now on aiokafka's consumers of this process go on behind what they cannot read."""
    fetcher.PartitionRecords = ReadableRecords
