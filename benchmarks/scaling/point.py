"""Point: one repetition of one case."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.scaling.case import Case
from benchmarks.scaling.crew import Crew
from benchmarks.scaling.topics import Ends, output_of

_POLL_S = 0.02
_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured."""

    cpu_us: float  # of all workers, per event
    events_per_s: float
    broker_us: float  # CPU of the broker, per event: fetched by the worker, produced by it
    store_us: float  # CPU of Redis, per event
    rss_mb: float  # of one worker, at the end
    batch: float  # rows per batch, on the mean
    degraded: float = 0.0  # share of the batches that the feature store did not answer in time


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far things were at a moment."""

    at: float
    events: int
    cpu_s: float
    broker_s: float
    store_s: float


class Stage:
    """Measures cases on one broker and one Redis, of which the processes are told."""

    def __init__(self, bootstrap: str, broker: psutil.Process, store: psutil.Process) -> None:
        self._bootstrap = bootstrap
        self._broker = broker
        self._store = store

    async def measure(self, case: Case, topology: Path) -> Point:
        """From when all partitions are open to the last event measured.

        A worker fetches ahead, and the further the more partitions it has: what is counted from
        some event on would leave out what was fetched before it.
        """
        log = case.log
        async with Ends(self._bootstrap, output_of(log), log.partitions) as ends:
            before = await ends.total()
            with Crew(case, topology, self._bootstrap) as crew:
                await _all_at_work(crew, case)
                start = await self._reach(ends, crew, before)
                last = before + log.events
                if case.measured is not None:
                    last = min(last, start.events + case.measured)
                end = await self._reach(ends, crew, last)
                return _point(start, end, crew, (await ends.total()) - before)

    async def _reach(self, ends: Ends, crew: Crew, wanted: int) -> _Mark:
        give_up = time.monotonic() + _PATIENCE_S
        while (total := await ends.total()) < wanted:
            crew.check()
            if time.monotonic() > give_up:
                raise RuntimeError(f"{wanted - total} decisions lack after {_PATIENCE_S:.0f} s")
            await asyncio.sleep(_POLL_S)
        used = crew.cpu_s, cpu_s(self._broker), cpu_s(self._store)
        return _Mark(time.perf_counter(), total, *used)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds that a process has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def _all_at_work(crew: Crew, case: Case) -> None:
    """Wait until each worker has its share of the partitions: of both inputs."""
    give_up = time.monotonic() + _PATIENCE_S
    while not all(shares := crew.shares()) or sum(shares) != 2 * case.log.partitions:
        crew.check()
        if time.monotonic() > give_up:
            raise RuntimeError(f"the partitions are shared as {shares} after {_PATIENCE_S:.0f} s")
        await asyncio.sleep(_POLL_S)


def _point(start: _Mark, end: _Mark, crew: Crew, decided: int) -> Point:
    events = end.events - start.events
    if events <= 0:
        raise RuntimeError("all was decided before the measure began: the log is too short")
    batches = crew.counted("gress_ml_step_seconds_count", step="features")
    return Point(
        cpu_us=(end.cpu_s - start.cpu_s) / events * 1e6,
        events_per_s=events / (end.at - start.at),
        broker_us=(end.broker_s - start.broker_s) / events * 1e6,
        store_us=(end.store_s - start.store_s) / events * 1e6,
        rss_mb=crew.rss_mb,
        batch=decided / batches,
        degraded=crew.counted("gress_ml_degraded_batches_total") / batches,
    )
