"""Announcer: rings the bell of ``gress.models`` when a worker has changed a model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gress_ml.adapters.kafka.models import MODELS_TOPIC, announcement
from gress_ml.adapters.kafka.producer import Message, OutputProducer, TooLargeError
from gress_ml.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

#: How long a batch may wait for it: workers that are not told look at their next rebalance.
_PATIENCE_S = 10.0


class Announcer:
    """Tells all workers that a model has changed, or says in the log that it could not.

    ``ensure`` makes the topic where it is missing. Raises BrokerUnavailable.
    """

    def __init__(self, producer: OutputProducer, ensure: Callable[[], Awaitable[None]]) -> None:
        self._producer = producer
        self._ensure = ensure

    async def tell(self, model: str, alias: str, version: str, time: str) -> None:
        """Send the announcement and wait until it is safe."""
        message = Message(*announcement(model, alias, version, time))
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if not self._producer.known_partitions(MODELS_TOPIC):
                    await self._ensure()
                await (await self._producer.deliver(MODELS_TOPIC, 0, [message]))
        except (BrokerUnavailable, TooLargeError, TimeoutError) as error:
            log.warning("model_not_announced", model=model, version=version, error=repr(error))
