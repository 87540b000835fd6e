"""``python -m benchmarks.run [--quick]``: all measures in one run, printed and in bench.json."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from benchmarks import latency, one_decision, throughput
from benchmarks.contenders import BARE, GRESS, ROOT, STOCK_FAUST, Contender
from benchmarks.machine import describe_machine
from benchmarks.report import (
    Measured,
    results_of,
    show_machine,
    show_measured,
    show_targets,
    write_results,
)
from benchmarks.same_decisions import Agreement, Decisions, compare, read_decisions
from benchmarks.topics import DECISIONS, Ends, Topics
from benchmarks.transfers import make_templates
from gress_ml.dev.servers import Servers

RESULTS = ROOT / "build" / "bench.json"
NO_WORKER = "no worker: Kafka itself"
_TEMPLATES = 8192
_COMPARED = 2000  # decisions per partition

T = TypeVar("T")

console = Console()


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    repetitions: int
    events: int
    stock_events: int  # stock Faust is slow: its pace shows in fewer
    latency_s: float
    calls: int


FULL = Size(repetitions=5, events=500_000, stock_events=20_000, latency_s=20.0, calls=50_000)
QUICK = Size(repetitions=2, events=150_000, stock_events=6_000, latency_s=8.0, calls=20_000)


class Run:
    """One benchmark run on a broker of its own."""

    def __init__(self, size: Size, topics: Topics, home: Path) -> None:
        self._size = size
        self._topics = topics
        self._home = home
        self._decisions: dict[str, Decisions] = {}

    def measure(self) -> Measured:
        """Everything, contender after contender, in alternating order."""
        call = one_decision.measure(self._size.calls)
        console.log("one decision: done")
        self._topics.create()
        self._topics.fill(make_templates(_TEMPLATES), self._size.events)
        paces = self._throughput()
        delays = self._latency()
        return Measured(paces, delays, call, self._agreement())

    def _throughput(self) -> dict[str, list[throughput.Pace]]:
        found: dict[str, list[throughput.Pace]] = {
            one.name: [] for one in (GRESS, BARE, STOCK_FAUST)
        }
        for contender in _in_turn((GRESS, BARE, STOCK_FAUST), self._size.repetitions):
            pace = asyncio.run(self._pace(contender))
            console.log(f"throughput: {contender.name} {pace.events_per_s:,.0f} events/s")
            found[contender.name].append(pace)
        return found

    async def _pace(self, contender: Contender) -> throughput.Pace:
        stock = contender is STOCK_FAUST
        count = self._size.stock_events if stock else self._size.events
        bootstrap = self._topics.bootstrap
        async with Ends(bootstrap, DECISIONS) as ends:
            since = await ends.now()
        pace = await throughput.measure(contender, self._topics, self._home, count)
        if not stock and contender.name not in self._decisions:
            self._decisions[contender.name] = await read_decisions(bootstrap, since, _COMPARED)
        return pace

    def _latency(self) -> dict[str, list[latency.Delay]]:
        found: dict[str, list[latency.Delay]] = {
            name: [] for name in (NO_WORKER, GRESS.name, BARE.name)
        }
        for contender in _in_turn((None, GRESS, BARE), self._size.repetitions):
            name = NO_WORKER if contender is None else contender.name
            delay = latency.measure(contender, self._topics, self._home, self._size.latency_s)
            console.log(f"latency: {name} p50 {delay.p50_ms:.2f} ms, p99 {delay.p99_ms:.2f} ms")
            found[name].append(delay)
        return found

    def _agreement(self) -> Agreement:
        return compare(self._decisions[GRESS.name], self._decisions[BARE.name])


def _in_turn(contenders: Sequence[T], repetitions: int) -> list[T]:
    """Each so many times; every other round backwards, so that noise and heat hit all alike."""
    rounds = [contenders[:: -1 if number % 2 else 1] for number in range(repetitions)]
    return [one for around in rounds for one in around]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure gress-ml side by side on real Kafka.")
    parser.add_argument("--quick", action="store_true", help="in minutes, with fewer repetitions")
    size = QUICK if parser.parse_args().quick else FULL
    show_machine(console, describe_machine())
    os.environ.pop("GRESS_KAFKA", None)  # never a broker that others use: topics are emptied
    with tempfile.TemporaryDirectory(prefix="gress-bench-") as folder:
        servers = Servers(Path(folder) / "servers")
        try:
            topics = Topics(servers.up(["kafka"]).kafka)
            measured = Run(size, topics, Path(folder)).measure()
        finally:
            servers.down()
    results = results_of(measured, GRESS.name, BARE.name, STOCK_FAUST.name)
    show_measured(console, measured, BARE.name)
    show_targets(console, results)
    write_results(results, RESULTS)
    console.print(f"written: {RESULTS}")


if __name__ == "__main__":
    main()
