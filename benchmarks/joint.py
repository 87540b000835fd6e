"""``python -m benchmarks.joint``: what it brings to decide small batches of partitions together.

The flagship's plan in one process, without Kafka: each of some partitions has a few records at the
same moment, decided partition by partition and in one call, in turn. CPU times of the process, so
the ratios hold on a noisy machine too.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.profile.flagship import no_rows, open_patient_plan
from benchmarks.report import show_machine
from benchmarks.transfers import make_templates
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.calls import Calls
from gress_ml.engine.together import MOST_ROWS, Together
from gress_ml.record import FileRecord
from gress_ml.runtime.plan import Plan

_PARTITIONS = (2, 4, 16)
_ROWS = (1, 4, 16, 64)
_EVENTS = 2_000  # of a round
_ROUNDS = 7


@dataclass(eq=False)
class Member:
    """A partition that has a batch now."""

    partition: tuple[str, int]
    plan: Plan
    ready: bool = True


def _members(count: int) -> list[Member]:
    return [Member(("dwcp.transfers", number), open_patient_plan()) for number in range(count)]


async def _round(members: Sequence[Member], rows: int, *, joint: bool) -> float:
    """µs of CPU per event."""
    calls = Calls(SystemClock(), PrometheusMetrics(), cores=1)
    together = Together(calls.run)
    for member in members:
        member.ready = joint  # when nobody else is ready, each decides alone
        together.enter(member)
    templates = make_templates(rows)
    records = [FileRecord(at, one.body(at), one.key) for at, one in enumerate(templates)]
    at_once = rows * len(members)
    turns = max(_EVENTS // at_once, 10)
    started = time.process_time()
    for _ in range(turns):
        await asyncio.gather(*(together.decide(each, records, no_rows) for each in members))
    return (time.process_time() - started) / (turns * at_once) * 1e6


async def _measure(table: Table) -> None:
    for count in _PARTITIONS:
        members = _members(count)
        for rows in _ROWS:
            found: dict[bool, list[float]] = {False: [], True: []}
            for number in range(_ROUNDS + 1):
                for joint in (False, True) if number % 2 else (True, False):
                    spent = await _round(members, rows, joint=joint)
                    if number:  # the first round warms up
                        found[joint].append(spent)
            apart, together = (statistics.median(found[joint]) for joint in (False, True))
            ratio = statistics.median(
                one / other for one, other in zip(found[True], found[False], strict=True)
            )
            table.add_row(str(count), str(rows), f"{apart:.1f}", f"{together:.1f}", f"{ratio:.2f}")


def main() -> None:
    """Measure and print."""
    console = Console()
    show_machine(console, describe_machine())
    table = Table(title=f"µs of CPU per event; joint batches of at most {MOST_ROWS} rows")
    for column in ("partitions", "rows of each", "apart", "together", "ratio"):
        table.add_column(column, justify="right")
    gc.disable()
    asyncio.run(_measure(table))
    console.print(table)


if __name__ == "__main__":
    main()
