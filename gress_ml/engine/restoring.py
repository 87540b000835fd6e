"""Restoring: a partition's plan with the newest state that can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from gress_ml.adapters.kafka.sink import Partition
from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.errors import SnapshotError, StoreUnavailable
from gress_ml.metrics import SNAPSHOTS_REFUSED
from gress_ml.ports import SnapshotStore
from gress_ml.runtime.plan import Plan

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


async def restored(
    build: Callable[[], Plan],
    snapshots: SnapshotStore,
    metrics: PrometheusMetrics,
    topology: str,
    partition: Partition,
    at_or_before: int,
) -> tuple[Plan, int | None]:
    """A plan, and the offset of its state; None when there is no state that it can go on from.

    A snapshot that cannot be read, or that an operator refuses, is told, counted and passed over
    for the one before it: state is a function of the log, so an older one costs time, not results.
    A store that does not answer is waited for.
    """
    plan = await asyncio.to_thread(build)  # may load models, from another machine
    if not plan.stateful:
        return plan, None
    for offset in await _patiently(snapshots.offsets, topology, *partition):
        if offset > at_or_before:
            continue
        try:
            state = await _patiently(snapshots.load, topology, *partition, offset)
            plan.restore(state.steps)
        except SnapshotError as error:
            _refuse(metrics, partition, offset, error)
            plan.close()
            plan = await asyncio.to_thread(build)  # some of its steps may have the state already
        else:
            log.info("state_restored", topic=partition[0], partition=partition[1], at=offset)
            return plan, offset
    return plan, None


def _refuse(
    metrics: PrometheusMetrics, partition: Partition, offset: int, error: SnapshotError
) -> None:
    topic, number = partition
    metrics.record(SNAPSHOTS_REFUSED, 1, (topic,))
    log.error("snapshot_refused", topic=topic, partition=number, at=offset, reason=str(error))


async def _patiently(ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(StoreUnavailable), wait=wait_exponential(0.1, max=5.0)
    ):
        with attempt:
            answer = await ask(*args, **kwargs)
    return answer
