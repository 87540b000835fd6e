"""``gress worker``: run a topology."""

from __future__ import annotations

import asyncio
import gc
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import structlog
import typer
from tenacity import Retrying, retry_if_exception_type, wait_exponential

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.logging import LogFormat, set_up_logging
from gress_ml.engine.stores import open_models, open_stores
from gress_ml.engine.supervisor import Supervisor
from gress_ml.engine.worker import WorkerSettings
from gress_ml.errors import ConfigError, StoreUnavailable
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

log = structlog.get_logger(__name__)

#: Events make and drop objects by the thousand and hardly ever a cycle: look for cycles rarely.
_COLLECT_AFTER = 50_000


class OffsetReset(StrEnum):
    EARLIEST = "earliest"
    LATEST = "latest"


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
    auto_offset_reset: Annotated[
        OffsetReset, typer.Option(help="Where a new group begins to read.")
    ] = OffsetReset.EARLIEST,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log lines.")] = LogFormat.AUTO,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run a topology until SIGTERM or Ctrl-C; then drain, commit and leave the group."""
    gc.set_threshold(_COLLECT_AFTER, 20, 20)
    set_up_logging(log_format, log_level)
    topology = _loaded(file)
    settings = WorkerSettings(
        KafkaSettings.from_env(bootstrap=kafka),
        http_host=http_host,
        http_port=http_port,
        session_timeout_s=session_timeout,
        instance_id=instance_id,
        auto_offset_reset=auto_offset_reset.value,
    )
    try:
        asyncio.run(_run(topology, settings))
    except OSError as error:
        raise ConfigError(
            f"health pages cannot listen on {http_host}:{http_port}: {error.strerror}; "
            "choose another --http-port (0 takes a free one)"
        ) from None


def _loaded(file: Path) -> Topology:
    """The checked topology; a registry that is away is waited for. Raises ConfigError."""
    patiently = Retrying(
        retry=retry_if_exception_type(StoreUnavailable),
        wait=wait_exponential(0.2, max=5.0),
        before_sleep=lambda state: log.warning(
            "waiting_for_models",
            attempt=state.attempt_number,
            reason=str(state.outcome and state.outcome.exception()),
        ),
    )
    return patiently(load_topology, file, open_models)


async def _run(topology: Topology, settings: WorkerSettings) -> None:
    supervisor = Supervisor(topology, open_stores, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
    await supervisor.run()
