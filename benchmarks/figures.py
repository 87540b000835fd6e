"""Figures: what one run measured, as medians over its repetitions, one row for each contender."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.contenders import BY_KEY, Contender, Kind
from benchmarks.latency import Delay
from benchmarks.one_decision import Call
from benchmarks.peers.environment import peer_version
from benchmarks.same_decisions import Agreement
from benchmarks.throughput import Pace

NO_WORKER = "no_worker"  # in place of a contender's key: produce to consume, nothing between
_CLIENT = "confluent-kafka"


@dataclass(slots=True)
class Measured:
    """All that one run measured, repetition by repetition, by the key of the contender."""

    paces: dict[str, list[Pace]] = field(default_factory=dict)
    delays: dict[tuple[str, int], list[Delay]] = field(default_factory=dict)  # and by the rate
    agreements: dict[str, Agreement] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    call: Call | None = None


class Spread(NamedTuple):
    """The median, and the least and the most of the repetitions."""

    median: float
    least: float
    most: float


class Latency(msgspec.Struct, frozen=True):
    """At one rate, in ms."""

    p50: Spread
    p99: Spread
    lost: int


class Row(msgspec.Struct, frozen=True):
    """One contender."""

    key: str
    name: str
    kind: Kind
    version: str
    settings: str
    events_per_s: Spread
    cpu_us: Spread
    rss_mb: float
    start_s: Spread
    compared: int
    different: int
    late: int
    latency: dict[int, Latency]


class Figures(msgspec.Struct, frozen=True):
    """One run, as build/peers.json holds it."""

    machine: list[tuple[str, str]]
    full: bool
    repetitions: int
    rows: list[Row]
    kafka_alone: dict[int, Latency]
    failures: dict[str, str]

    def row(self, key: str) -> Row | None:
        return next((row for row in self.rows if row.key == key), None)


def rows_of(measured: Measured) -> list[Row]:
    """Those that were measured, in the order of the contenders."""
    return [_row(BY_KEY[key], measured) for key in BY_KEY if measured.paces.get(key)]


def latency_of(measured: Measured, key: str) -> dict[int, Latency]:
    """By rate."""
    return {
        rate: latency_over(delays)
        for (one, rate), delays in measured.delays.items()
        if one == key and delays
    }


def latency_over(delays: Sequence[Delay]) -> Latency:
    """Of all repetitions."""
    return Latency(
        spread(delay.p50_ms for delay in delays),
        spread(delay.p99_ms for delay in delays),
        sum(delay.lost for delay in delays),
    )


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(median(found), min(found), max(found))


def _row(contender: Contender, measured: Measured) -> Row:
    paces: Sequence[Pace] = measured.paces[contender.key]
    same = measured.agreements.get(contender.key, Agreement(0, 0, 0))
    return Row(
        key=contender.key,
        name=contender.name,
        kind=contender.kind,
        version=version_of(contender),
        settings=contender.settings,
        events_per_s=spread(pace.events_per_s for pace in paces),
        cpu_us=spread(pace.cpu_us for pace in paces),
        rss_mb=median(pace.rss_mb for pace in paces),
        start_s=spread(pace.start_s for pace in paces),
        compared=same.compared,
        different=same.different,
        late=same.late,
        latency=latency_of(measured, contender.key),
    )


def version_of(contender: Contender) -> str:
    """Of its package; and of the Kafka client where the peers' environment has another."""
    if contender.in_peers:
        return f"{peer_version(contender.package)} ({_CLIENT} {peer_version(_CLIENT)})"
    return version(contender.package)


def results_of(figures: Figures, call: Call | None) -> Mapping[str, float]:
    """The figures of ``bench.json``, by their fixed names; only those that were measured."""
    found: dict[str, float] = {}
    for row in figures.rows:
        found[f"throughput_{row.key}"] = row.events_per_s.median
        found[f"cpu_us_{row.key}"] = row.cpu_us.median
        found[f"rss_mb_{row.key}"] = row.rss_mb
        before = "" if row.key == "gress" else f"{row.key}_"
        for rate, latency in row.latency.items():
            found[f"{before}latency_p50_ms_{rate // 1000}k"] = latency.p50.median
            found[f"{before}latency_p99_ms_{rate // 1000}k"] = latency.p99.median
    if gress := figures.row("gress"):
        found["worker_rss_mb"] = gress.rss_mb
        found["start_to_first_decision_s"] = gress.start_s.median
    if call is not None:
        found["decision_p99_us"] = call.p99_us
    return found
