"""Throughput: how fast a contender works off what waits for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.running import Running
from benchmarks.topics import Ends, Topics

POLL_S = 0.02
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Pace:
    """One repetition of one contender."""

    events_per_s: float
    cpu_us: float  # of the worker's process tree, all threads, per event
    rss_mb: float  # at the end
    start_s: float  # from the start of the process to its first decision


async def measure(contender: Contender, topics: Topics, home: Path, count: int) -> Pace:
    """From the first answer to the ``count``-th, by the end offsets of the output topics."""
    topics.forget(contender.group)
    async with Ends(topics.bootstrap, contender.writes, contender.transactional) as ends:
        before = await ends.total()
        with Running(contender, topics.bootstrap, home) as worker:
            first = await _reach(ends, worker, before + 1)
            started, cpu_s = time.perf_counter(), worker.cpu_s
            last = await _reach(ends, worker, before + count)
            elapsed_s = time.perf_counter() - started
            return Pace(
                events_per_s=(last - first) / elapsed_s,
                cpu_us=(worker.cpu_s - cpu_s) / (last - first) * 1e6,
                rss_mb=worker.rss_mb,
                start_s=started - worker.started_at,
            )


async def _reach(ends: Ends, worker: Running, wanted: int) -> int:
    """Wait until the topics have ever had so many records; how many it then had."""
    give_up = time.monotonic() + PATIENCE_S
    while (total := await ends.total()) < wanted:
        worker.check()
        if time.monotonic() > give_up:
            name = worker.contender.name
            raise RuntimeError(f"{name}: {wanted - total} decisions lack after {PATIENCE_S:.0f} s")
        await asyncio.sleep(POLL_S)
    return total
