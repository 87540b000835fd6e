"""Typed decoding: from the columns that a topology reads, one msgspec type, made once.

msgspec checks types, ranges and required fields in C while it parses, and skips what is not asked
for. A bad event costs only itself: it becomes a :class:`gress_ml.Rejected`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain, compress
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from gress_ml.batch import Array, Batch, Origins
from gress_ml.errors import SchemaError
from gress_ml.operator import Rejected
from gress_ml.record import Record, Unreadable
from gress_ml.schema import MISSING_TIME, ColumnType, EventSchema, Field

#: RFC 3339 with a zone, or milliseconds that a double holds exactly (RFC 8259, section 6).
_TIMESTAMP = (
    Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] | Annotated[datetime, msgspec.Meta(tz=True)]
)
#: Stable codes for what a fault in msgspec's words begins with (an event's own text comes after).
_CODES = (
    (re.compile("Object missing required field"), "missing_field"),
    (re.compile("Invalid enum value"), "unknown_value"),
    (
        re.compile("Expected `(int|float)` [<>]=|(Number|Integer value) out of range"),
        "out_of_range",
    ),
    (re.compile("Expected `object`(?!.* - at)"), "not_an_object"),
)
_PLAIN: dict[ColumnType, Any] = {
    ColumnType.FLOAT: float,
    ColumnType.INT: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    ColumnType.BOOL: bool,
    ColumnType.STRING: str,
    ColumnType.TIMESTAMP: _TIMESTAMP,
    ColumnType.JSON: Any,
}
#: Any JSON value but null, for a required field.
_NOT_NULL = dict[str, Any] | list[Any] | str | int | float | bool

#: For fewer times than these Python's own arithmetic is quicker than five calls of NumPy.
_FEW = 6

_OBJECT = np.dtype(object)
_DTYPES = {ColumnType.INT: np.dtype(np.int64), ColumnType.BOOL: np.dtype(np.bool_)}

Values = Sequence[Any]  # of one field, row by row
Take = Callable[[Any], tuple[Any, ...]]
Build = Callable[[Values], Array]
BuildMatrix = Callable[[Sequence[Values]], Array]


class Decoder:
    """Records in, a batch of typed columns and the rejected rows out.

    ``max_bytes`` bounds the size of one message; a larger one is rejected unread.
    """

    def __init__(self, schema: EventSchema, *, max_bytes: int = 1 << 20) -> None:
        self.schema = schema
        self.max_bytes = max_bytes
        self._struct = _Node.of(schema).struct(schema.name)
        self._decode = msgspec.json.Decoder(self._struct).decode
        fields, self._take = _taker(schema, self._struct)
        self._names = [field.name for field in fields]
        self._plain = [i for i, field in enumerate(fields) if _plain(field)]
        self._builders = [
            (i, _one_column(field))
            for i, field in enumerate(fields)
            if field.type is not ColumnType.FLOAT and i not in self._plain
        ]
        self._floats = _float_columns(fields)
        self._always_timed = any(f.name == schema.event_time and not f.nullable for f in fields)

    def decode(
        self,
        topic: str,
        partition: int,
        records: Sequence[Record],
        origins: Origins | None = None,
    ) -> tuple[Batch, list[Rejected]]:
        """The good rows as a batch, in order, and the others with a code and a message.

        With ``origins`` the batch is a joint one, whose rows are numbered.
        """
        rows, faults = self.parse(records)
        good = records
        if origins is None:
            offsets = np.fromiter([record.offset for record in records], np.int64, len(records))
        else:
            offsets = np.arange(len(records))
        if faults:
            sound = np.ones(len(records), np.bool_)
            sound[[fault.offset for fault in faults]] = False
            faults = [Rejected(int(offsets[f.offset]), f.code, f.message) for f in faults]
            good, offsets = [*compress(records, sound.tolist())], offsets[sound]
            origins = None if origins is None else origins.take(offsets)
        columns = self._columns(rows)
        batch = Batch.proven(
            topic,
            partition,
            offsets=offsets,
            event_time_ms=self._event_time(columns, good),
            keys=[record.key for record in good],
            columns=columns,
            origins=origins,
        )
        return batch, faults

    def _columns(self, rows: list[Any]) -> dict[str, Array]:
        names = self._names
        values: Sequence[Values] = [*zip(*map(self._take, rows), strict=True)] or [()] * len(names)
        columns = {names[i]: build(values[i]) for i, build in self._builders}
        for i in self._plain:
            columns[names[i]] = np.fromiter(values[i], _OBJECT, len(rows))
        for column in columns.values():
            column.setflags(write=False)
        if self._floats is not None:
            positions, float_names, build_floats = self._floats
            # the rows of a read-only matrix are read-only
            matrix = build_floats([values[i] for i in positions])
            columns.update(zip(float_names, matrix, strict=True))
        return columns

    def parse(self, records: Sequence[Record]) -> tuple[list[Any], list[Rejected]]:
        """The good events as structs, and what is wrong with the others, by their places."""
        values = [record.value for record in records]
        decode: Callable[[Any], Any] = self._decode if self._sound(values) else self._checked
        events = map(decode, values)
        rows: list[Any] = []
        faults: list[Rejected] = []
        while True:
            try:
                rows.extend(events)
            except Exception as error:  # what was taken before it stays; ``events`` is behind it
                place = len(rows) + len(faults)
                faults.append(_fault(place, records[place], error))
            else:
                return rows, faults

    def _sound(self, values: Sequence[Any]) -> bool:
        """Whether no event needs a look at more than its JSON; asked of all at once, in C."""
        try:
            plain = all(map(bytes.isascii, values))
        except TypeError:  # there is a record without a value
            return False
        return plain and max(map(len, values), default=0) <= self.max_bytes

    def _checked(self, value: bytes | None) -> Any:
        if value is None:
            raise _BadEventError("empty", "the record has no value; expected a JSON object")
        if len(value) > self.max_bytes:
            raise _BadEventError(
                "too_large", f"{len(value)} bytes; at most {self.max_bytes} are accepted"
            )
        try:
            value.decode()
        except UnicodeDecodeError as error:
            raise _BadEventError("invalid_utf8", f"not UTF-8 at byte {error.start}") from None
        return self._decode(value)

    def _event_time(
        self, columns: dict[str, Array], records: Sequence[Record]
    ) -> npt.NDArray[np.int64]:
        name = self.schema.event_time
        if name is not None and self._always_timed:
            return columns[name]
        kafka = np.array([record.timestamp for record in records], np.int64)
        return (
            kafka if name is None else np.where(columns[name] == MISSING_TIME, kafka, columns[name])
        )


class _BadEventError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _fault(place: int, record: Record, error: Exception) -> Rejected:
    """Why a record was refused. Raises the error again where it says nothing of the record."""
    # asked last: to look whether a record is of a protocol takes longer than to decode it
    if record.value is None and isinstance(record, Unreadable):
        return Rejected(place, "unreadable", record.reason)
    match error:
        case _BadEventError():
            code, message = error.code, error.message
        case msgspec.ValidationError():
            message = str(error)
            code = _validation_code(message)
        case msgspec.DecodeError():
            code, message = "invalid_json", str(error)
        case RecursionError():
            code, message = "too_deep", "nested too deeply to be decoded"
        case _:
            raise error
    return Rejected(place, code, message)


def _validation_code(message: str) -> str:
    """The stable code for what msgspec says of a value that has the wrong form."""
    for pattern, code in _CODES:
        if pattern.match(message):
            return code
    return "wrong_type"


class _Node:
    """A level of nested objects: fields with dots in their path live in child nodes."""

    def __init__(self) -> None:
        self.fields: dict[str, Field] = {}
        self.children: dict[str, _Node] = {}

    @classmethod
    def of(cls, schema: EventSchema) -> _Node:
        root = cls()
        for field in schema.fields:
            *parents, leaf = (field.path or field.name).split(".")
            node, twice = root, False
            for parent in parents:
                twice = twice or parent in node.fields
                node = node.children.setdefault(parent, cls())
            if twice or leaf in node.fields or leaf in node.children:
                raise SchemaError(f"schema {schema.name!r} reads {field.path or leaf!r} twice")
            node.fields[leaf] = field
        return root

    @property
    def required(self) -> bool:
        return any(field.required for field in self.fields.values()) or any(
            child.required for child in self.children.values()
        )

    def struct(self, name: str) -> type[msgspec.Struct]:
        """The msgspec type of this level. Attributes are numbered: JSON names may be any text."""
        members: list[Any] = []
        rename: dict[str, str] = {}
        optional: dict[str, msgspec.Struct] = {}
        for position, (leaf, field) in enumerate(self.fields.items()):
            attribute = f"f{position}"
            rename[attribute] = leaf
            if field.required:
                members.append((attribute, _type_of(field)))
            else:
                members.append((attribute, _type_of(field) | None, None))
        for position, (leaf, child) in enumerate(self.children.items()):
            attribute = f"c{position}"
            rename[attribute] = leaf
            nested = child.struct(f"{name}_{leaf}")
            if child.required:
                members.append((attribute, nested))
            else:
                members.append((attribute, nested | None, None))
                optional[attribute] = nested()
        members.sort(key=len)  # required first, as a signature needs it
        return msgspec.defstruct(
            "Event",
            members,
            rename=rename,
            namespace={"__post_init__": _filler(optional)} if optional else None,
            gc=False,
            module=__name__,
        )

    def paths(self, prefix: str = "") -> list[tuple[Field, str]]:
        """Each field with the attribute path under which its value is found."""
        own = [(field, f"{prefix}f{i}") for i, field in enumerate(self.fields.values())]
        for i, child in enumerate(self.children.values()):
            own.extend(child.paths(f"{prefix}c{i}."))
        return own


def _filler(empty: dict[str, msgspec.Struct]) -> Callable[[Any], None]:
    """Puts an object without members where a parent is missing or null: its fields are missing."""

    def fill(event: Any) -> None:
        for attribute, value in empty.items():
            if getattr(event, attribute) is None:
                setattr(event, attribute, value)

    return fill


def _type_of(field: Field) -> Any:
    plain = _PLAIN.get(field.type)
    if plain is None:
        raise SchemaError(f"field {field.name!r}: a {field.type} cannot be read from an event")
    if field.choices is not None:
        return Literal[field.choices]
    if field.type is ColumnType.JSON and field.required:
        return _NOT_NULL
    if field.minimum is None and field.maximum is None:
        return plain
    if field.type not in (ColumnType.FLOAT, ColumnType.INT):
        raise SchemaError(f"field {field.name!r}: minimum and maximum are for numbers")
    if field.type is ColumnType.FLOAT:
        return Annotated[float, msgspec.Meta(ge=field.minimum, le=field.maximum)]
    low, high = -(2**63), 2**63 - 1
    if field.minimum is not None:
        low = math.ceil(max(low, field.minimum))
    if field.maximum is not None:
        high = math.floor(min(high, field.maximum))
    return Annotated[int, msgspec.Meta(ge=low, le=high)]


def _taker(schema: EventSchema, struct: type[msgspec.Struct]) -> tuple[list[Field], Take]:
    """How to take the values out of a decoded row, and the fields in the order of these values."""
    paths = _Node.of(schema).paths()
    if not any("." in path for _, path in paths):  # flat: the quickest way
        by_attribute = {path: field for field, path in paths}
        return [by_attribute[name] for name in struct.__struct_fields__], msgspec.structs.astuple
    get = attrgetter(*(path for _, path in paths))
    fields = [field for field, _ in paths]
    return fields, get if len(paths) > 1 else lambda row: (get(row),)


def _plain(field: Field) -> bool:
    """Whether the values are the column as they are."""
    return field.default is None and field.type in (ColumnType.STRING, ColumnType.JSON)


def _float_columns(
    fields: Sequence[Field],
) -> tuple[list[int], list[str], BuildMatrix] | None:
    """Positions and names of the floats, and how to make their columns in one go; None without."""
    positions = [i for i, field in enumerate(fields) if field.type is ColumnType.FLOAT]
    defaults = [
        (row, default)
        for row, i in enumerate(positions)
        if (default := fields[i].default) is not None
    ]

    def build(columns: Sequence[Values]) -> Array:
        shape = (len(columns), len(columns[0]))
        flat = np.fromiter(chain.from_iterable(columns), np.float64, shape[0] * shape[1])
        matrix = flat.reshape(shape)  # None became NaN
        for row, default in defaults:
            column = matrix[row]
            column[np.isnan(column)] = default
        matrix.flags.writeable = False
        return matrix

    return (positions, [fields[i].name for i in positions], build) if positions else None


def _one_column(field: Field) -> Build:
    default = field.default
    dtype = _DTYPES.get(field.type, _OBJECT)
    if field.type is ColumnType.TIMESTAMP:
        missing = MISSING_TIME if default is None else default
        return lambda values: _milliseconds(values, missing)
    if dtype.kind != "O" and not field.required and default is None:
        raise SchemaError(
            f"field {field.name!r}: an optional {field.type} needs a default, "
            "since its column has no missing value (or declare it as float)"
        )

    def build(values: Values) -> Array:
        if default is not None and None in values:
            values = [default if value is None else value for value in values]
        return np.fromiter(values, dtype, len(values))

    return build


def _milliseconds(values: Values, missing: int) -> Array:
    """Times in milliseconds; what lies between two of them is rounded, half to even."""
    if len(values) < _FEW:
        return np.array([_millisecond(value, missing) for value in values], np.int64)
    try:  # the way of columns that hold RFC 3339 throughout
        seconds = np.fromiter(map(datetime.timestamp, values), np.float64, len(values))
    except TypeError:
        return np.array([_millisecond(value, missing) for value in values], np.int64)
    return np.rint(np.rint(seconds * 1e6) / 1000).astype(np.int64)


def _millisecond(value: int | datetime | None, missing: int) -> int:
    if value is None:
        return missing
    return value if isinstance(value, int) else round(round(value.timestamp() * 1e6) / 1000)
