"""Supervisor: workers one after another, under the same health pages, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from gress_ml.adapters.prometheus import PrometheusMetrics
from gress_ml.engine.http import HttpServer
from gress_ml.engine.stores import Stores
from gress_ml.engine.worker import Worker, WorkerSettings
from gress_ml.errors import ConfigError
from gress_ml.topology.topology import Topology

log = structlog.get_logger(__name__)

_RESTART_PAUSE_S = (0.5, 1.0, 2.0, 5.0)
#: A worker that ran this long is healthy again: its next failure starts with the shortest pause.
_HEALTHY_S = 60.0


class Supervisor:
    """A failure is not the end: what was not committed is read again by the next worker.

    The pages stay up in between, alive and not ready; counters go on.
    """

    def __init__(
        self,
        topology: Topology,
        open_stores: Callable[[Topology], Stores],
        settings: WorkerSettings,
    ) -> None:
        self._topology = topology
        self._open_stores = open_stores
        self._settings = replace(settings, http_port=None)
        self._metrics = PrometheusMetrics()
        self._worker: Worker | None = None
        self._stopping = asyncio.Event()
        port = settings.http_port or 0
        self.http = HttpServer(settings.http_host, port, self._metrics, self._status)

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Keep a worker running until told to stop.

        Raises OSError when the port is taken, ConfigError for a setting of no worker's use.
        """
        await self.http.start()
        log.info("pages", address=self.http.address)
        failures = 0
        try:
            while not self._stopping.is_set():
                started = asyncio.get_running_loop().time()
                try:
                    await self._run_one()
                except ConfigError:  # it stays wrong however often it is tried
                    raise
                except Exception as error:  # whatever ended it, the next one may live
                    lived_s = asyncio.get_running_loop().time() - started
                    failures = 1 if lived_s > _HEALTHY_S else failures + 1
                    await self._pause(failures, error)
        finally:
            await self.http.stop()
        log.info("worker_stopped", topology=self._topology.name)

    async def _run_one(self) -> None:
        self._worker = Worker(
            self._topology, self._open_stores(self._topology), self._settings, self._metrics
        )
        running = asyncio.create_task(self._worker.run())
        told = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([running, told], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        self._worker.stop()
        try:
            await running
        finally:
            self._worker = None

    async def _pause(self, failures: int, error: Exception) -> None:
        pause_s = _RESTART_PAUSE_S[min(failures, len(_RESTART_PAUSE_S)) - 1]
        log.error("worker_failed_will_restart", error=repr(error), pause_s=pause_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)

    def _status(self) -> Mapping[str, Any]:
        if self._worker is None:
            return {"ready": False, "topology": self._topology.name, "partitions": []}
        return self._worker.status()
