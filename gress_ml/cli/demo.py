"""``gress demo``: the main job end to end on this machine, with something to look at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import aiohttp
import typer
from rich.console import Console
from rich.live import Live

from gress_ml.adapters.kafka.control import CONTROL_TOPIC
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.demo_stats import DemoStats
from gress_ml.cli.demo_view import view
from gress_ml.cli.dev import open_servers
from gress_ml.dev.topics import TopicSettings, create_topics
from gress_ml.dwcp.agent import Agent, Folder, KafkaWire, Result, Settings
from gress_ml.dwcp.links import LINKS
from gress_ml.engine.stores import open_models
from gress_ml.errors import GressError
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology

if TYPE_CHECKING:
    from gress_ml.dev.servers import Addresses

_PARTITIONS = 4
_READY_S = 30.0
_STOP_S = 15.0
_REFRESH_S = 0.25


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder with the files to move; Python's library unless given."),
    ] = None,
    topology: Annotated[Path, typer.Option(help="Topology file.")] = Path(
        "topologies/compression_selector.yaml"
    ),
    seconds: Annotated[float, typer.Option(help="Stop after so long; 0 runs on.")] = 0.0,
    changed: Annotated[
        float, typer.Option(min=0, max=1, help="Share of pages that change between passes.")
    ] = 0.05,
    dual_run: Annotated[
        float, typer.Option(min=0, max=1, help="Share of transfers that are sent every way.")
    ] = 0.2,
    keep_servers: Annotated[
        bool, typer.Option("--keep-servers", help="Leave the servers running at the end.")
    ] = False,
) -> None:
    """Servers, a worker and an agent: real files become transfers, decisions and outcomes."""
    console = Console()
    source = folder or Path(sysconfig.get_paths()["stdlib"])
    if not source.is_dir():
        raise GressError(f"{source}: there is no such folder; give one with files to move")
    graph = load_topology(topology, open_models)  # faults are told before anything is started
    servers = open_servers()
    running = {status.name for status in servers.status() if status.state == "running"}
    try:
        with console.status("starting Kafka, Redis and PostgreSQL …"):
            addresses = servers.up()
        agent_folder = Folder(source, 1024 << 10, changed, seed=17)
        # few at once: compression is timed, and must not wait for a core
        settings = Settings(
            links=tuple(LINKS), vms=8, passes=None, dual_run_share=dual_run, outstanding=2
        )
        names = asyncio.run(_make_topics(graph, addresses))
        console.print(f"topics: {', '.join(names)} on {addresses.kafka}", style="dim")
        worker = _worker(console, topology, addresses, servers.home / "worker.log")
        asyncio.run(_run(console, worker, addresses, agent_folder, settings, seconds))
    finally:
        if not keep_servers and not running:
            with console.status("stopping the servers …"):
                servers.down()
    console.print("stopped; nothing is left running" if not keep_servers else "stopped")


async def _run(
    console: Console,
    worker: AbstractAsyncContextManager[str],
    addresses: Addresses,
    folder: Folder,
    settings: Settings,
    seconds: float,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with worker as pages:
        stats = DemoStats(time.monotonic())

        def note(result: Result) -> None:
            stats.add(result, time.monotonic())

        agent = Agent(
            folder, KafkaWire(KafkaSettings(bootstrap=addresses.kafka).client), settings, note
        )
        work = asyncio.create_task(agent.run())
        await _show(console, stats, pages, work, stop, seconds)
        agent.stop()
        await work
    console.print(view(stats, time.monotonic(), pages, "(stopped)"))


async def _show(
    console: Console,
    stats: DemoStats,
    pages: str,
    work: asyncio.Task[object],
    stop: asyncio.Event,
    seconds: float,
) -> None:
    end = time.monotonic() + seconds if seconds else float("inf")
    with Live(console=console, screen=False, auto_refresh=False, transient=True) as live:
        while not stop.is_set() and not work.done() and time.monotonic() < end:
            live.update(view(stats, time.monotonic(), pages, "Ctrl-C stops all"), refresh=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _REFRESH_S)


async def _make_topics(graph: Topology, addresses: Addresses) -> list[str]:
    names = {output.topic for output in graph.outputs}
    for node in graph.inputs.values():
        names |= {node.topic, node.dead_letters}
    wanted = {name: TopicSettings(_PARTITIONS) for name in sorted(names)}
    wanted[CONTROL_TOPIC] = TopicSettings(1, {"cleanup.policy": "compact"})
    await create_topics(addresses.kafka, wanted)
    return list(wanted)


@contextlib.asynccontextmanager
async def _worker(
    console: Console, topology: Path, addresses: Addresses, log_path: Path
) -> AsyncIterator[str]:
    """A worker process, ready; the address of its pages. It is stopped in the end."""
    pages = f"http://127.0.0.1:{_free_port()}"
    with _log(log_path) as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gress_ml.cli.main", "worker", str(topology),
            "--http-port", pages.rpartition(":")[2],
            env={**os.environ, "GRESS_KAFKA": addresses.kafka, "GRESS_REDIS": addresses.redis},
            stdout=log, stderr=log,
            start_new_session=True,  # Ctrl-C reaches us; we end it in order
        )  # fmt: skip
        try:
            with console.status("starting the worker …"):
                await _until_ready(process, pages, log_path)
            yield f"{pages}/metrics"
        finally:
            await _end(process)


async def _until_ready(process: asyncio.subprocess.Process, pages: str, log: Path) -> None:
    end = time.monotonic() + _READY_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < end and process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{pages}/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise GressError(f"the worker was not ready after {_READY_S:.0f} s; its log is {log}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


@contextlib.contextmanager
def _log(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
