"""Record: what the engine needs to know of one Kafka record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Record(Protocol):
    """One record as it was read. aiokafka's records fit as they are."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...  # milliseconds since the epoch
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@runtime_checkable
class Unreadable(Protocol):
    """A record, without a value, that stands for some that the transport could not read."""

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A record that did not come from Kafka: a line of a file, a row of a test."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()
