"""Look-ups: the flagship's events without their history, for which Redis is asked, or nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np
import orjson

from benchmarks.peers.names import TRANSFERS
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.adapters.redis import RedisFeatures, RedisSettings
from gress_ml.dwcp.events import HISTORY_FIELDS, HISTORY_KEY, HISTORY_TABLE
from gress_ml.engine.calls import Calls
from gress_ml.engine.driving import drive
from gress_ml.features.keys import SEPARATOR
from gress_ml.operator import Lookup
from gress_ml.ports import Float32
from gress_ml.record import FileRecord
from gress_ml.runtime.plan import Plan

Batches = Sequence[Sequence[FileRecord]]
Fetching = Callable[[Sequence[Lookup]], Awaitable[list[Float32]]]
#: About as long as Redis takes to answer.
PAUSE_S = 0.0002
#: Nobody is given up on here: the machine may be busy.
_PATIENT = RedisSettings(prefix="bench", timeout_s=30.0)


def without_history(batches: Batches) -> Batches:
    """The same events, each to be looked up."""
    return [[_bare(record) for record in batch] for batch in batches]


def looking_up(plan: Plan, redis: str) -> Callable[[Batches], Mapping[str, float]]:
    """CPU time of the event loop's thread in µs per event, the client of Redis in it.

    What Redis itself takes is not in it: it has a core of its own, and meanwhile the worker decides
    other partitions.
    """
    calls = Calls(SystemClock(), PrometheusMetrics(), cores=1)
    filled = False

    async def decide(batches: Batches) -> float:
        nonlocal filled
        store = RedisFeatures(redis, SystemClock(), _PATIENT)

        async def fetch(lookups: Sequence[Lookup]) -> list[Float32]:
            return [await store.fetch(one.table, one.fields, one.keys) for one in lookups]

        try:
            if not filled:
                await _fill(store, batches)
                filled = True
            await drive(plan.run(TRANSFERS, 0, batches[0]), calls.run, fetch)  # connect
            return await _spent_s(plan, calls, fetch, batches)
        finally:
            await store.close()

    def measure(batches: Batches) -> Mapping[str, float]:
        spent_s = asyncio.run(decide(batches))
        return {"answer": spent_s / sum(map(len, batches)) * 1e6}

    return measure


def pausing(plan: Plan) -> Callable[[Batches], Mapping[str, float]]:
    """The same with a pause in the place of Redis: what it costs that the loop rests."""
    calls = Calls(SystemClock(), PrometheusMetrics(), cores=1)

    async def fetch(lookups: Sequence[Lookup]) -> list[Float32]:
        await asyncio.sleep(PAUSE_S)
        return [np.full((len(one.keys), len(one.fields)), 2.5, np.float32) for one in lookups]

    def measure(batches: Batches) -> Mapping[str, float]:
        spent_s = asyncio.run(_spent_s(plan, calls, fetch, batches))
        return {"answer": spent_s / sum(map(len, batches)) * 1e6}

    return measure


async def _spent_s(plan: Plan, calls: Calls, fetch: Fetching, batches: Batches) -> float:
    """CPU seconds of this thread for all batches, one after the other."""
    started = time.thread_time()
    for batch in batches:
        await drive(plan.run(TRANSFERS, 0, batch), calls.run, fetch)
    return time.thread_time() - started


async def _fill(store: RedisFeatures, batches: Batches) -> None:
    for records in batches:
        events = [orjson.loads(record.value or b"{}") for record in records]
        keys = [SEPARATOR.join(event[name] for name in HISTORY_KEY).encode() for event in events]
        rows = np.full((len(keys), len(HISTORY_FIELDS)), 2.5, np.float32)
        await store.put(HISTORY_TABLE, HISTORY_FIELDS, keys, rows)


def _bare(record: FileRecord) -> FileRecord:
    event = orjson.loads(record.value or b"{}")
    kept = {name: value for name, value in event.items() if name not in HISTORY_FIELDS}
    return FileRecord(record.offset, orjson.dumps(kept), record.key, record.timestamp)
