"""Special columns: what every batch has without declaring it, since it comes from the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gress_ml.batch import Batch
from gress_ml.schema import Column, Columns, ColumnType, columns_of


@dataclass(frozen=True, slots=True)
class Special:
    """A column as the checker sees it, and its values for a batch."""

    column: Column
    values: Callable[[Batch], list[Any]]


def _ids(prefix: str, offsets: list[int]) -> list[Any]:
    return [f"{prefix}{offset}" for offset in offsets]


_ALL = (
    # the same id on every replay: readers drop duplicates by it
    Special(
        Column("decision_id", ColumnType.STRING),
        lambda batch: _ids(f"{batch.topic}-{batch.partition}-", batch.offsets.tolist()),
    ),
    Special(Column("event_time_ms", ColumnType.INT), lambda batch: batch.event_time_ms.tolist()),
    Special(Column("offset", ColumnType.INT), lambda batch: batch.offsets.tolist()),
    Special(Column("partition", ColumnType.INT), lambda batch: [batch.partition] * len(batch)),
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
