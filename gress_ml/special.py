"""Special columns: what every batch has without declaring it, since it comes from the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gress_ml.batch import Batch, place_of
from gress_ml.schema import Column, Columns, ColumnType, columns_of


@dataclass(frozen=True, slots=True)
class Special:
    """A column as the checker sees it, and its values for a batch."""

    column: Column
    values: Callable[[Batch], list[Any]]


def _ids(batch: Batch) -> list[Any]:
    origins = batch.origins
    if origins is None:
        prefix = f"{batch.topic}-{batch.partition}-"  # made once per batch
        return [f"{prefix}{offset}" for offset in batch.offsets.tolist()]
    places = zip(origins.partitions.tolist(), origins.offsets.tolist(), strict=True)
    return [f"{batch.topic}-{partition}-{offset}" for partition, offset in places]


def _partitions(batch: Batch) -> list[Any]:
    if batch.origins is None:
        return [batch.partition] * len(batch)
    return list(batch.origins.partitions.tolist())


_ALL = (
    # the same id on every replay: readers drop duplicates by it
    Special(Column("decision_id", ColumnType.STRING), _ids),
    Special(Column("event_time_ms", ColumnType.INT), lambda batch: batch.event_time_ms.tolist()),
    Special(Column("offset", ColumnType.INT), lambda batch: place_of(batch)[1].tolist()),
    Special(Column("partition", ColumnType.INT), _partitions),
    Special(Column("topic", ColumnType.STRING), lambda batch: [batch.topic] * len(batch)),
    # the systems that the batch was made without: feature_store, model (a fallback answered)
    Special(
        Column("degraded", ColumnType.JSON), lambda batch: [sorted(batch.degraded)] * len(batch)
    ),
)

#: By name. Outputs may use them; a column of the same name in the batch goes before.
SPECIAL: Mapping[str, Special] = MappingProxyType({s.column.name: s for s in _ALL})

#: The same as the checker sees them.
SPECIAL_COLUMNS: Columns = columns_of(special.column for special in _ALL)
