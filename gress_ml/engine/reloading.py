"""Reloader: when an alias moved, loads the new version beside the loop and swaps it in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

import structlog

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.bundle import Bundle
from gress_ml.engine.engine import Engine
from gress_ml.engine.models import Moved, Reference, uses_any
from gress_ml.engine.partition import PartitionRunner
from gress_ml.engine.planning import reopened
from gress_ml.errors import StoreUnavailable
from gress_ml.metrics import MODEL_RELOADS
from gress_ml.runtime.plan import Step

log = structlog.get_logger(__name__)

#: While the store is away: the waits before it is asked again.
_FIRST_PAUSE_S = 1.0
_LAST_PAUSE_S = 30.0


class Reloader:
    """Looks what references mean when it is told to, and moves all partitions of a worker on.

    Either all partitions that are open swap, each between two of its batches, or none does: what
    cannot be loaded, or does not fit, leaves the running version in place.
    """

    def __init__(self, engine: Engine, metrics: PrometheusMetrics) -> None:
        self._engine = engine
        self._models = engine.models
        self._metrics = metrics
        self._wanted: dict[str, None] = {}
        self._told = asyncio.Event()
        self._pause_s = _FIRST_PAUSE_S

    def announced(self, model: str, _: bytes | None) -> None:
        """A record of ``gress.models``: the registry says what it means."""
        self._want(model)

    def look(self) -> None:
        """Look at all models in use, as after a rebalance."""
        for model in sorted(self._models.names):
            self._want(model)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._told.wait()
            self._told.clear()
            while self._wanted:
                model = next(iter(self._wanted))
                del self._wanted[model]
                await self._reload(model)

    def _want(self, model: str) -> None:
        self._wanted[model] = None
        self._told.set()

    async def _reload(self, model: str) -> None:
        try:
            moved = await asyncio.to_thread(self._models.moved, model)
            self._pause_s = _FIRST_PAUSE_S
            if moved:
                await self._swap(model, moved)
        except StoreUnavailable as error:
            self._failed(model, "unavailable", error)
            asyncio.get_running_loop().call_later(self._pause_s, self._want, model)
            self._pause_s = min(2 * self._pause_s, _LAST_PAUSE_S)
        except Exception as error:
            self._failed(model, "failed", error)

    async def _swap(self, model: str, moved: Mapping[Reference, Bundle]) -> None:
        prepared: dict[PartitionRunner, list[Step]] = {}
        try:
            while missing := [r for r in self._engine.runners if r not in prepared]:
                for runner in missing:
                    prepared[runner] = await self._prepared(runner, moved)
        except BaseException:
            for steps in prepared.values():
                _close(steps)
            raise
        # from here on nothing is awaited: a partition has either the old plan or the new steps
        self._models.adopt(moved)
        open_now = set(self._engine.runners)
        for runner, steps in prepared.items():
            if runner in open_now:
                self._engine.replace(runner, steps)
            else:
                _close(steps)
        self._metrics.record(MODEL_RELOADS, 1, (model, "loaded"))
        for (name, reference), bundle in moved.items():
            log.info("model_loaded", model=name, reference=reference, version=bundle.version)

    async def _prepared(
        self, runner: PartitionRunner, moved: Mapping[Reference, Bundle]
    ) -> list[Step]:
        topology = self._engine.topology
        return await asyncio.to_thread(
            reopened,
            topology,
            self._engine.input_of(runner),
            runner.steps,
            Moved(self._models, moved),
            partial(uses_any, moved=moved),
        )

    def _failed(self, model: str, result: str, error: Exception) -> None:
        self._metrics.record(MODEL_RELOADS, 1, (model, result))
        log.error("model_not_loaded", model=model, result=result, reason=str(error))


def _close(steps: list[Step]) -> None:
    for step in steps:
        step.operator.close()
