"""Column types, event schemas, the identity of a feature vector: declared once (law 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class ColumnType(StrEnum):
    """The type of a column, its NumPy form and what stands for a missing value.

    ========== ====================== ===============
    type       NumPy                  missing
    ========== ====================== ===============
    float      float64                NaN
    int        int64                  not possible: needs ``required`` or a default
    bool       bool                   not possible: needs ``required`` or a default
    string     object (str)           None
    timestamp  int64, ms since epoch  ``MISSING_TIME``
    json       object (any value)     None
    vector     float32, (n, width)    NaN
    ========== ====================== ===============
    """

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    STRING = "string"
    TIMESTAMP = "timestamp"
    JSON = "json"
    VECTOR = "vector"


#: A missing timestamp: the smallest int64, as NumPy's NaT.
MISSING_TIME = -(2**63)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event: its type, what values are allowed, and its unit.

    ``minimum`` and ``maximum`` are inclusive. A value outside is a bad row, not clipped: mixed
    units are caught this way. ``path`` is where it stands in the event (dots go down into objects);
    it is ``name`` unless given.
    """

    name: str
    type: ColumnType
    required: bool = False
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None
    unit: str = ""
    description: str = ""
    path: str = ""

    @property
    def nullable(self) -> bool:
        """Whether a row may lack a value (then it is the type's missing value)."""
        return not self.required and self.default is None


@dataclass(frozen=True, slots=True)
class EventSchema:
    """The fields of the events of one topic. Unknown fields are ignored, never an error.

    ``event_time`` names the timestamp field that is the event's time; without one, or where it is
    missing, the Kafka record's own timestamp counts.
    """

    name: str
    fields: tuple[Field, ...]
    event_time: str | None = None

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"schema {self.name!r} declares {sorted(twice)} twice")

    def only(self, names: Iterable[str]) -> EventSchema:
        """The same schema with the given fields (and the event time and required fields) only."""
        kept = {*names, self.event_time}
        fields = tuple(f for f in self.fields if f.name in kept or f.required)
        return EventSchema(self.name, fields, self.event_time)

    @property
    def columns(self) -> Columns:
        """The columns that decoding gives."""
        return columns_of(Column(f.name, f.type, nullable=f.nullable) for f in self.fields)


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """The identity of a feature vector: what its columns are, in order.

    ``fingerprint`` is the SHA-256 of the whole feature specification (transforms, parameters,
    vocabularies, order). A model accepts a vector only when both fingerprints are equal.
    """

    names: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a batch, as seen by the checker."""

    name: str
    type: ColumnType
    nullable: bool = False
    features: FeatureVector | None = None  # for vectors


Columns = Mapping[str, Column]


def columns_of(columns: Iterable[Column]) -> Columns:
    """The columns by name."""
    return MappingProxyType({column.name: column for column in columns})
