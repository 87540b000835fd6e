"""Plain records: what a record batch gives, without aiokafka's ``ConsumerRecord`` around each.

Offset, timestamp, key, value and headers are in them, which is all that batches are made of. To add
topic, partition and sizes to each takes longer than to read it.
"""

from __future__ import annotations

from typing import Any

from aiokafka.structs import ConsumerRecord

from gress_ml.adapters.kafka.sink import Partition


def plain(key: bytes | None) -> bytes | None:
    """The key: as a consumer's ``key_deserializer`` it asks for plain records."""
    return key


def whole_record(partition: Partition, record: Any) -> ConsumerRecord[bytes, bytes]:
    """A plain record as aiokafka tells it; a whole one as it is."""
    if isinstance(record, ConsumerRecord):
        return record
    key, value = record.key, record.value
    return ConsumerRecord(
        topic=partition[0],
        partition=partition[1],
        offset=record.offset,
        timestamp=record.timestamp,
        timestamp_type=record.timestamp_type,
        key=key,
        value=value,
        checksum=record.checksum,
        serialized_key_size=-1 if key is None else len(key),
        serialized_value_size=-1 if value is None else len(value),
        headers=tuple(record.headers),
    )
