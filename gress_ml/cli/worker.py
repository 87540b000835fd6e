"""``gress worker``: run a topology."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import structlog
import typer

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.logging import LogFormat, set_up_logging
from gress_ml.engine.stores import open_models, open_stores
from gress_ml.engine.worker import Worker, WorkerSettings
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

log = structlog.get_logger(__name__)

_RESTART_PAUSE_S = (0.5, 1.0, 2.0, 5.0)
#: A worker that ran this long is healthy again: its next failure starts with the shortest pause.
_HEALTHY_S = 60.0


def worker(
    file: Annotated[Path, typer.Argument(help="Topology file.", metavar="TOPOLOGY")],
    kafka: Annotated[
        str | None, typer.Option(help="Bootstrap servers; default: GRESS_KAFKA.")
    ] = None,
    http_host: Annotated[str, typer.Option(help="Where health and metrics listen.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="Port for them; 0 takes a free one.")] = 9464,
    session_timeout: Annotated[
        float, typer.Option(help="Seconds until the group gives up on a worker that is gone.")
    ] = 6.0,
    instance_id: Annotated[
        str | None, typer.Option(help="Static membership (KIP-345): a name that outlives restarts.")
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log lines.")] = LogFormat.AUTO,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run a topology until SIGTERM or Ctrl-C; then drain, commit and leave the group."""
    set_up_logging(log_format, log_level)
    topology = load_topology(file, open_models)
    settings = WorkerSettings(
        KafkaSettings.from_env(bootstrap=kafka),
        http_host=http_host,
        http_port=http_port,
        session_timeout_s=session_timeout,
        instance_id=instance_id,
    )
    asyncio.run(supervise(topology, settings))


async def supervise(topology: Topology, settings: WorkerSettings) -> None:
    """Run workers, one after another, until told to stop: a failure is not the end.

    What was not committed is read again, so a new worker goes on where the failed one stood.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    failures = 0
    while not stopping.is_set():
        started = loop.time()
        try:
            await _run_one(topology, settings, stopping)
        except Exception as error:  # whatever ended it, the next one may live
            failures = 1 if loop.time() - started > _HEALTHY_S else failures + 1
            pause = _RESTART_PAUSE_S[min(failures, len(_RESTART_PAUSE_S)) - 1]
            log.error("worker_failed_will_restart", error=repr(error), pause_s=pause)
            await _wait(stopping, pause)
    log.info("worker_stopped", topology=topology.name)


async def _run_one(topology: Topology, settings: WorkerSettings, stopping: asyncio.Event) -> None:
    one = Worker(topology, open_stores(topology), settings)
    running = asyncio.create_task(one.run())
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait([running, told], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    one.stop()
    await running


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
