"""Axes: what is varied, and over which levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.scaling.case import Axis, Case, Log, Store

_KEYS: dict[Store, str] = {"redis": "keys in Redis", "memory": "keys in memory"}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    repetitions: int
    events: int  # of a log, where the log's length is not what is varied
    logs: tuple[int, ...]
    every_level: bool  # or only the first and the last of each axis


DEFAULT = Size(3, 120_000, (100_000, 1_000_000), every_level=True)
QUICK = Size(1, 60_000, (60_000, 600_000), every_level=False)
FULL = Size(3, 120_000, (100_000, 1_000_000, 10_000_000), every_level=True)


def axes(size: Size) -> list[Axis]:
    """All of them, in the order in which they are measured and shown."""
    found = [
        Axis("partitions", tuple(_partitions(size))),
        Axis("events in the log", tuple(Case(n, Log(n)) for n in size.logs)),
        Axis("workers", tuple(_workers(size)), note="all on the broker's two cores"),
        *(Axis(name, tuple(_keys(size, store))) for store, name in _KEYS.items()),
        Axis("batch size", tuple(_batches(size)), is_constant=False),
        Axis("bytes per event", tuple(_bytes(size)), is_constant=False),
    ]
    if size.every_level:
        return found
    return [Axis(a.name, _ends(a.cases), a.is_constant, a.note) for a in found]


def _partitions(size: Size) -> Iterator[Case]:
    for count in (1, 4, 16, 64):  # a long log: of many partitions 50 MB are fetched as they open
        yield Case(count, Log(2 * size.events, partitions=count))


def _workers(size: Size) -> Iterator[Case]:
    log = Log(max(n for n in size.logs if n <= 1_000_000))  # some is gone when the last has joined
    for count in (1, 2, 4):
        yield Case(count, log, workers=count, measured=size.events)


def _keys(size: Size, store: Store) -> Iterator[Case]:
    for count in (1_000, 100_000, 1_000_000):
        yield Case(count, Log(size.events, keys=count), store=store)


def _batches(size: Size) -> Iterator[Case]:
    log = Log(size.events)
    for batch in (1, 16, 64, 256, 1024, 4096):
        yield Case(batch, log, batch=batch, measured=log.events // 5 if batch == 1 else None)


def _bytes(size: Size) -> Iterator[Case]:
    for count in (300, 655, 2_000, 10_000):
        yield Case(count, Log(size.events, event_bytes=count))


def _ends(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    return (cases[0], cases[-1])
