"""``python -m benchmarks.overlap``: what it brings to ask the model beside the event loop.

Four partitions of full batches through the flagship's plan in one process, without Kafka: first
with every call on the spot, then with long ones beside the loop, in turn. The loop's own CPU time
tells of the gain on a noisy machine too: it is what bounds a worker while a second core is free.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from itertools import cycle, islice

from rich.console import Console
from rich.table import Table

from benchmarks.profile.flagship import no_rows, open_patient_plan
from benchmarks.transfers import make_templates
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.calls import Calls
from gress_ml.engine.driving import drive
from gress_ml.record import FileRecord
from gress_ml.runtime.plan import Plan

_PARTITIONS = 4
_ROUNDS = 7
_BATCHES = 40  # per partition and round
_SIZE = 512
_WAYS = {"on the spot": 1, "beside the loop": 2}  # cores that the calls know of


@dataclass(frozen=True, slots=True)
class Cost:
    """One round."""

    events_per_s: float
    loop_us: float  # CPU time of the event loop's thread, per event
    all_us: float  # of the process


def _batches() -> list[list[FileRecord]]:
    templates = islice(cycle(make_templates(_SIZE * 4)), _SIZE * _BATCHES)
    records = [FileRecord(at, one.body(at), one.key) for at, one in enumerate(templates)]
    return [records[start : start + _SIZE] for start in range(0, len(records), _SIZE)]


async def _work(partition: int, plan: Plan, calls: Calls, batches: list[list[FileRecord]]) -> None:
    for batch in batches:
        await drive(plan.run("dwcp.transfers", partition, batch), calls.run, no_rows)
        await asyncio.sleep(0)  # as a partition with more to do


async def _round(plans: list[Plan], calls: Calls, batches: list[list[FileRecord]]) -> Cost:
    started, loop_s, all_s = time.perf_counter(), time.thread_time(), time.process_time()
    await asyncio.gather(
        *(_work(number, plan, calls, batches) for number, plan in enumerate(plans))
    )
    events = len(plans) * sum(map(len, batches))
    return Cost(
        events / (time.perf_counter() - started),
        (time.thread_time() - loop_s) / events * 1e6,
        (time.process_time() - all_s) / events * 1e6,
    )


async def measure() -> dict[str, list[Cost]]:
    """The cost of both ways, round by round; the first round of each warms up."""
    plans, batches = [open_patient_plan() for _ in range(_PARTITIONS)], _batches()
    ways = {way: Calls(SystemClock(), PrometheusMetrics(), cores) for way, cores in _WAYS.items()}
    found: dict[str, list[Cost]] = {way: [] for way in ways}
    for number in range(_ROUNDS + 1):
        for way, calls in ways.items():
            cost = await _round(plans, calls, batches)
            if number:
                found[way].append(cost)
    for plan in plans:
        plan.close()
    return found


def main() -> None:
    """Measure and print medians."""
    table = Table("calls", "events/s", "CPU µs per event: loop", "process")
    for way, costs in asyncio.run(measure()).items():
        pace, loop_us, all_us = (
            statistics.median(getattr(cost, name) for cost in costs) for name in Cost.__slots__
        )
        table.add_row(way, f"{pace:,.0f}", f"{loop_us:.2f}", f"{all_us:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
