"""``python -m benchmarks.scaling [--quick | --full] [--only AXIS] [--write]``: cost of one event.

Prints the tables, writes ``build/scaling.json`` and draws ``build/scaling.svg``, after each axis
what there is. ``--full`` adds a log of ten million events (6.5 GB, and two thirds of that for each
repetition's decisions). ``--write`` puts figures and picture into the documentation.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
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
from benchmarks.scaling.coordinator import Books, Upkeep
from benchmarks.scaling.document import with_figures
from benchmarks.scaling.features import fill
from benchmarks.scaling.group import sharings
from benchmarks.scaling.picture import picture
from benchmarks.scaling.point import Point, Stage
from benchmarks.scaling.report import sheets
from benchmarks.scaling.results import AxisResult, Results, result_of
from benchmarks.scaling.topics import LogTopics
from benchmarks.scaling.topology import ROOT, write_topology
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.redis import RedisFeatures, RedisSettings
from gress_ml.dev.servers import Servers

RESULTS = ROOT / "build" / "scaling.json"
PICTURE = RESULTS.with_suffix(".svg")
PAGE = ROOT / "docs" / "scaling.md"
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
        processes = {one.name: psutil.Process(one.pid) for one in servers.status() if one.pid}
        broker = processes["kafka"]
        self._stage = Stage(addresses.kafka, broker, processes["redis"])
        self._books = Books(addresses.kafka, broker)
        self._rows = 0

    def upkeep(self) -> list[Upkeep]:
        """What commits and transactions cost the broker."""
        return asyncio.run(self._books.measure())

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
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each new attempt
    results = Results(describe_machine())
    _measure(chosen, size.repetitions, results, with_books=arguments.only is None)
    for sheet in sheets(results):
        sheet.show(console)
    if arguments.write:
        _document(results)
    console.print(f"written: {RESULTS} and {PICTURE}")


def _measure(
    chosen: Sequence[Axis], repetitions: int, results: Results, *, with_books: bool
) -> None:
    for variable in ("GRESS_KAFKA", "GRESS_REDIS"):
        os.environ.pop(variable, None)  # never servers that others use
    if with_books:
        results.sharings = sharings()
    with tempfile.TemporaryDirectory(prefix="gress-scaling-") as folder:
        servers = Servers(Path(folder) / "servers")
        try:
            run = Run(servers, Path(folder), repetitions)
            for axis in chosen:
                results.axes.append(run.measure(axis))
                results.write(RESULTS)
                PICTURE.write_text(picture(results.axes), encoding="utf-8")
            if with_books:
                results.upkeep = run.upkeep()
                results.write(RESULTS)
        finally:
            servers.down()


def _document(results: Results) -> None:
    figures = {sheet.name: sheet.markdown() for sheet in sheets(results)}
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    shutil.copy(PICTURE, PAGE.parent / "images" / PICTURE.name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the cost of one event as things grow.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="first and last levels, once")
    size.add_argument("--full", action="store_true", help="with a log of ten million events")
    names = [axis.name for axis in axes.axes(axes.DEFAULT)]
    parser.add_argument("--only", choices=names, help="only this axis")
    parser.add_argument("--write", action="store_true", help="figures into the documentation")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write needs all axes: leave out --only")
    free_gb = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    if arguments.full and free_gb < _FULL_NEEDS_GB:
        parser.error(f"--full needs {_FULL_NEEDS_GB} GB of disk; {free_gb:.0f} GB are free")
    return arguments


if __name__ == "__main__":
    main()
