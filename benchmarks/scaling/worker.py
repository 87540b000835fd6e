"""Worker: as ``gress worker``, with a memory store that has its rows from the beginning.

``python -m benchmarks.scaling.worker TOPOLOGY BROKER PORT KEYS``. In production those rows would
have come as outcomes; to send a million of them before each measure would only take long.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.scaling.features import fill
from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.cli.logging import LogFormat, set_up_logging
from gress_ml.engine.stores import Stores, open_models, open_stores
from gress_ml.engine.supervisor import Supervisor
from gress_ml.engine.worker import WorkerSettings
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology


async def work(file: Path, broker: str, port: int, keys: int) -> None:
    """Until SIGTERM."""
    store = MemoryFeatures(SystemClock())
    await fill(store, keys)

    def with_rows(topology: Topology) -> Stores:
        return replace(open_stores(topology), features=store)

    settings = WorkerSettings(KafkaSettings.from_env(bootstrap=broker), http_port=port)
    supervisor = Supervisor(load_topology(file, open_models), with_rows, settings)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, supervisor.stop)
    await supervisor.run()


if __name__ == "__main__":
    set_up_logging(LogFormat.AUTO, "info")
    gc.set_threshold(50_000, 20, 20)  # as `gress worker` does
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
