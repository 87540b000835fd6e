"""One decision in this process: a dictionary in, a decision out, nothing waiting before or behind.

The topology's own plan, driven as a partition drives it: encode the event, decode it, features,
model within its deadline, decision as JSON, parse it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from benchmarks.profile.flagship import no_rows, open_plan
from benchmarks.topics import TRANSFERS
from benchmarks.transfers import make_templates
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.calls import Calls
from gress_ml.engine.driving import drive
from gress_ml.record import FileRecord

_WARM_UP = 500
_TRANSFERS = 1024


class Decider:
    """Decides one transfer after the other by the topology's plan."""

    def __init__(self) -> None:
        self._plan = open_plan()
        self._calls = Calls(SystemClock(), PrometheusMetrics())
        self._offset = 0

    async def decide(self, transfer: dict[str, Any]) -> dict[str, Any]:
        """The decision of one transfer."""
        record = FileRecord(self._offset, orjson.dumps(transfer), transfer["vm_id"].encode())
        self._offset += 1
        result = await drive(self._plan.run(TRANSFERS, 0, [record]), self._calls.run, no_rows)
        decision: dict[str, Any] = orjson.loads(result.produced[0].values[0])
        return decision

    def close(self) -> None:
        self._plan.close()


@dataclass(frozen=True, slots=True)
class Call:
    """The time that one call takes, in µs."""

    p50_us: float
    p99_us: float


async def _time(calls: int) -> Call:
    transfers = [orjson.loads(one.body(i)) for i, one in enumerate(make_templates(_TRANSFERS))]
    decider = Decider()
    gc.freeze()  # as the worker does when it opens a partition
    took = np.empty(_WARM_UP + calls)
    for index in range(len(took)):
        transfer = transfers[index % len(transfers)]
        started = time.perf_counter_ns()
        await decider.decide(transfer)
        took[index] = time.perf_counter_ns() - started
    decider.close()
    p50, p99 = (np.percentile(took[_WARM_UP:], (50, 99)) / 1e3).tolist()
    return Call(p50, p99)


def measure(calls: int) -> Call:
    """Time so many calls, warm."""
    return asyncio.run(_time(calls))
