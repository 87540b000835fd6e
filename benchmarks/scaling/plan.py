"""Plan: what a cluster of a hundred brokers needs, counted from what was measured.

Each line shows its arithmetic. Nothing here is measured; change ``Load`` and count again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log

from benchmarks.scaling.coordinator import Upkeep
from benchmarks.scaling.group import LARGEST_RECORD, Sharing
from benchmarks.scaling.results import AxisResult

#: Sizes in bytes: an event and a decision of the flagship.
EVENT, DECISION = 655, 430
#: The share of a core that a worker uses on the mean: the rest is for bursts and for catching up.
_BUSY = 0.6
#: A worker's partitions at the start: so many fewer workers can become more without new partitions.
_PARTITIONS_PER_WORKER = 8
_REPLICAS = 3
_BOOKS = 50  # Kafka's default number of partitions of __transaction_state
#: Keys of `transfer_history` per partition at most, and bytes of each in a snapshot.
_STATE_KEYS, _STATE_BYTES = 100_000, 130


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the cluster."""

    brokers: int = 100
    events_per_s: int = 10_000_000
    looked_up: float = 0.1  # share of the events that lack their history
    commit_s: float = 0.1
    checkpoint_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured, on one core each."""

    worker_us: float  # per event
    broker_us: float  # per event, fetch and produce of its decision
    store_us: float  # Redis, per key
    worker_mb: float  # with one partition
    partition_mb: float  # for each more
    commit_us: float  # broker, per request
    transaction_us: float  # broker, all that belongs to one


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of the plan."""

    what: str
    arithmetic: str
    result: str


def costs_of(results: Sequence[AxisResult], upkeep: Sequence[Upkeep]) -> Costs:
    """Raises KeyError where an axis was not measured."""
    axes = {result.name: result.levels for result in results}
    one, *_, many = axes["partitions"]
    redis = axes["keys in Redis"][-1]
    answered = max(1 - redis.median("degraded"), 0.01)  # look-ups that were not cost nothing
    mb = (many.median("rss_mb") - one.median("rss_mb")) / (many.level - one.level)
    middle = axes["events in the log"][-1]
    return Costs(
        worker_us=middle.median("cpu_us"),
        broker_us=middle.median("broker_us"),
        store_us=redis.median("store_us") / answered,
        worker_mb=one.median("rss_mb"),
        partition_mb=mb,
        commit_us=upkeep[0].broker_us,
        transaction_us=upkeep[-1].broker_us,
    )


class Plan:
    """The figures for one load."""

    def __init__(self, load: Load, costs: Costs) -> None:
        self.load, self.costs = load, costs
        self.cores = load.events_per_s * costs.worker_us / 1e6
        self.workers = ceil(self.cores / _BUSY)
        self.partitions = self.workers * _PARTITIONS_PER_WORKER

    def lines(self) -> Iterator[Line]:
        yield from self._workers()
        yield from self._brokers()
        yield from self._books()
        yield from self._stores()

    def _workers(self) -> Iterator[Line]:
        load, costs, each = self.load, self.costs, _PARTITIONS_PER_WORKER
        yield Line(
            "cores for decisions",
            f"{load.events_per_s:,}/s x {costs.worker_us:.1f} µs",
            f"{self.cores:,.0f}",
        )
        yield Line(
            "workers, one core each", f"{self.cores:,.0f} / {_BUSY} busy", f"{self.workers:,}"
        )
        yield Line(
            "partitions of each input and of the output",
            f"{self.workers:,} x {each}, to grow {each}-fold",
            f"{self.partitions:,}",
        )
        memory = costs.worker_mb + (each - 1) * costs.partition_mb
        yield Line(
            "memory of a worker, models and state of its partitions included",
            f"{costs.worker_mb:,.0f} + {each - 1} x {costs.partition_mb:.1f} MB",
            f"{memory:,.0f} MB",
        )
        yield Line(
            "memory of all",
            f"{self.workers:,} x {memory:,.0f} MB",
            f"{self.workers * memory / 1000:,.0f} GB",
        )

    def _brokers(self) -> Iterator[Line]:
        load, costs = self.load, self.costs
        mb = load.events_per_s * (EVENT + DECISION) / 1e6
        into = mb * _REPLICAS / load.brokers
        yield Line(
            "into each broker, replicas included",
            f"{load.events_per_s:,}/s x ({EVENT} + {DECISION}) B x {_REPLICAS} / {load.brokers}",
            _network(into),
        )
        yield Line(
            "out of each: to replicas, and each event and decision once",
            f"{mb:,.0f} MB/s x ({_REPLICAS - 1} + 1) / {load.brokers}",
            _network(into),
        )
        cores = load.events_per_s * costs.broker_us / 1e6 / load.brokers
        yield Line(
            "cores of each broker for workers, without replication",
            f"{load.events_per_s:,}/s x {costs.broker_us:.1f} µs / {load.brokers}",
            f"{cores:.1f}",
        )
        replicas = 3 * self.partitions * _REPLICAS / load.brokers
        yield Line(
            "replicas on each broker",
            f"3 topics x {self.partitions:,} x {_REPLICAS} / {load.brokers}",
            f"{replicas:,.0f}",
        )

    def _books(self) -> Iterator[Line]:
        load, costs = self.load, self.costs
        least = self.workers / load.commit_s
        most = 2 * self.partitions / load.commit_s
        yield Line(
            "commits at the group's one coordinator",
            f"{self.workers:,} to {2 * self.partitions:,} / {load.commit_s:g} s",
            f"{least:,.0f} to {most:,.0f}/s",
        )
        yield Line(
            "its cores for them",
            f"{least:,.0f} to {most:,.0f}/s x {costs.commit_us:,.0f} µs",
            f"{least * costs.commit_us / 1e6:.1f} to {most * costs.commit_us / 1e6:.1f}",
        )
        transactions = self.partitions / load.commit_s
        yield Line(
            "exactly once: transactions, one id per partition with events",
            f"{self.partitions:,} / {load.commit_s:g} s",
            f"{transactions:,.0f}/s",
        )
        yield Line(
            "at each of the transaction coordinators",
            f"{transactions:,.0f}/s / {_BOOKS} partitions",
            f"{transactions / _BOOKS:,.0f}/s",
        )
        yield Line(
            "cores for them, over all brokers",
            f"{transactions:,.0f}/s x {costs.transaction_us:,.0f} µs",
            f"{transactions * costs.transaction_us / 1e6:,.0f}",
        )
        yield Line(
            "offsets and markers at the group's one coordinator",
            f"2 x {transactions:,.0f}/s",
            f"{2 * transactions:,.0f} writes/s to one partition",
        )

    def _stores(self) -> Iterator[Line]:
        load, costs = self.load, self.costs
        keys = load.events_per_s * load.looked_up
        yield Line("look-ups", f"{load.events_per_s:,}/s x {load.looked_up:.0%}", f"{keys:,.0f}/s")
        yield Line(
            "Redis servers for them, one core each",
            f"{keys:,.0f}/s x {costs.store_us:.1f} µs / {_BUSY} busy",
            f"{ceil(keys * costs.store_us / 1e6 / _BUSY):,}",
        )
        state = _STATE_KEYS * _STATE_BYTES / 1e6
        yield Line(
            "snapshot of a partition of outcomes, at most",
            f"{_STATE_KEYS:,} keys x {_STATE_BYTES} B",
            f"{state:,.0f} MB",
        )
        yield Line(
            "snapshots written, at most",
            f"{self.partitions:,} x {state:,.0f} MB / {load.checkpoint_s:g} s",
            f"{self.partitions * state / load.checkpoint_s:,.0f} MB/s",
        )


def largest_group(sharings: Sequence[Sharing]) -> int:
    """How many workers' metadata fit into one record.

    Between two sizes, and beyond the largest, it grows with a power of the group's size.
    """
    steps = list(pairwise(sharings))
    low, high = next((step for step in steps if step[1].kept_bytes >= LARGEST_RECORD), steps[-1])
    power = log(high.kept_bytes / low.kept_bytes) / log(high.members / low.members)
    return int(low.members * (LARGEST_RECORD / low.kept_bytes) ** (1 / power))


def _network(mb_per_s: float) -> str:
    return f"{mb_per_s:,.0f} MB/s ({mb_per_s * 8 / 1000:.1f} Gbit/s)"
