"""Publishing: models that learners offer go to the registry, and all workers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.bundle import Publication
from gress_ml.errors import ModelError, StoreUnavailable
from gress_ml.metrics import MODELS_PUBLISHED
from gress_ml.ports import Clock, ModelPublisher, Published
from gress_ml.rfc3339 import rfc3339

log = structlog.get_logger(__name__)

#: Tells all workers that a model has changed: the model, an alias or nothing, a version, the time.
Announce = Callable[[str, str, str, str], Awaitable[None]]


class Publishing:
    """Publishes for all partitions of a worker, one model after the other, so that an alias does
    not go back. A model that the registry does not take is counted: the next one is a better one.

    ``publisher`` None: no model is published.
    """

    def __init__(
        self,
        publisher: ModelPublisher | None,
        announce: Announce,
        metrics: PrometheusMetrics,
        clock: Clock,
    ) -> None:
        self._publisher = publisher
        self._announce = announce
        self._metrics = metrics
        self._clock = clock
        self._turn = asyncio.Lock()

    async def publish(self, wanted: Iterable[Publication]) -> None:
        """Publish these; it is done when the registry has answered."""
        created = rfc3339(self._clock.wall_ms())
        async with self._turn:
            for one in wanted:
                result = await self._published(one, created)
                self._metrics.record(MODELS_PUBLISHED, 1, (one.name, result))
                log.info("model_published", model=one.name, version=one.version, result=result)
                # "present": an earlier run may have ended before it told anybody
                if result in (Published.PUBLISHED, Published.PRESENT):
                    await self._announce(one.name, one.alias or "", one.version, created)

    async def _published(self, wanted: Publication, created: str) -> str:
        if self._publisher is None:
            return "refused"
        try:
            return await asyncio.to_thread(self._publisher.publish, wanted, created)
        except StoreUnavailable as error:
            log.warning("registry_unavailable", model=wanted.name, error=str(error))
            return "unavailable"
        except ModelError as error:
            log.error("model_refused", model=wanted.name, error=str(error))
            return "refused"
