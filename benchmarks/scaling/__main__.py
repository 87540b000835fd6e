"""``python -m benchmarks.scaling [--quick | --full] [--only AXIS]``: the cost of one event.

Prints the table, writes ``build/scaling.json`` and draws ``build/scaling.svg``. ``--full`` adds a
log of ten million events (6.5 GB, and as much again for each repetition's decisions).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.scaling import axes
from benchmarks.scaling.case import Axis, Case
from benchmarks.scaling.features import fill
from benchmarks.scaling.picture import picture
from benchmarks.scaling.point import Point, Stage
from benchmarks.scaling.report import show
from benchmarks.scaling.results import AxisResult, result_of, write_results
from benchmarks.scaling.topics import LogTopics
from benchmarks.scaling.topology import ROOT, write_topology
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.redis import RedisFeatures, RedisSettings
from gress_ml.dev.servers import Servers

RESULTS = ROOT / "build" / "scaling.json"
#: What a log of ten million events and its decisions, three times, need and leave.
_FULL_NEEDS_GB = 40

console = Console()


class Run:
    """One run, on a broker and a Redis of its own."""

    def __init__(self, servers: Servers, home: Path, repetitions: int) -> None:
        self._home = home
        self._repetitions = repetitions
        addresses = servers.up(["kafka", "redis"])
        self._redis = addresses.redis
        self._topics = LogTopics(addresses.kafka)
        pid = next(server.pid for server in servers.status() if server.name == "kafka")
        self._stage = Stage(addresses.kafka, psutil.Process(pid))
        self._rows = 0

    def measure(self, axis: Axis) -> AxisResult:
        """All repetitions, level after level; every other round backwards, so noise hits alike."""
        for case in axis.cases:
            self._prepare(case)
        found: list[list[Point]] = [[] for _ in axis.cases]
        for repetition in range(self._repetitions):
            order = range(len(axis.cases))
            for number in order if repetition % 2 == 0 else reversed(order):
                case = axis.cases[number]
                point = self._point(axis, case, repetition)
                found[number].append(point)
                console.log(f"{axis.name} {case.level:,.0f}: {point.cpu_us:.1f} µs per event")
        return result_of(axis, found)

    def _prepare(self, case: Case) -> None:
        self._topics.fill(case.log)
        rows = case.log.keys or 0
        if case.store == "redis" and rows > self._rows:
            asyncio.run(self._fill_redis(rows))
            self._rows = rows

    def _point(self, axis: Axis, case: Case, repetition: int) -> Point:
        name = f"{axis.name}-{case.level:.0f}-{repetition}".replace(" ", "-")
        topology = write_topology(case, name, self._redis, self._home)
        return asyncio.run(self._stage.measure(case, topology))

    async def _fill_redis(self, rows: int) -> None:
        patient = RedisSettings(ttl_s=None, timeout_s=10.0)
        store = RedisFeatures(self._redis, SystemClock(), patient)
        try:
            await fill(store, rows)
        finally:
            await store.close()


def main() -> None:
    """Measure, print, write, draw."""
    arguments = _arguments()
    size = axes.QUICK if arguments.quick else axes.FULL if arguments.full else axes.DEFAULT
    chosen = [axis for axis in axes.axes(size) if arguments.only in (None, axis.name)]
    machine = describe_machine()
    results = _measure(chosen, size.repetitions)
    show(console, results)
    write_results(results, machine, RESULTS)
    RESULTS.with_suffix(".svg").write_text(picture(results), encoding="utf-8")
    console.print(f"written: {RESULTS} and {RESULTS.with_suffix('.svg')}")


def _measure(chosen: Sequence[Axis], repetitions: int) -> list[AxisResult]:
    for variable in ("GRESS_KAFKA", "GRESS_REDIS"):
        os.environ.pop(variable, None)  # never servers that others use
    with tempfile.TemporaryDirectory(prefix="gress-scaling-") as folder:
        servers = Servers(Path(folder) / "servers")
        try:
            run = Run(servers, Path(folder), repetitions)
            return [run.measure(axis) for axis in chosen]
        finally:
            servers.down()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the cost of one event as things grow.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="first and last levels, once")
    size.add_argument("--full", action="store_true", help="with a log of ten million events")
    names = [axis.name for axis in axes.axes(axes.DEFAULT)]
    parser.add_argument("--only", choices=names, help="only this axis")
    arguments = parser.parse_args()
    free_gb = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    if arguments.full and free_gb < _FULL_NEEDS_GB:
        parser.error(f"--full needs {_FULL_NEEDS_GB} GB of disk; {free_gb:.0f} GB are free")
    return arguments


if __name__ == "__main__":
    main()
