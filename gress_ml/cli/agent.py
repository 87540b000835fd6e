"""``gress agent``: moves a folder's files by the selector's decisions."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.dwcp.agent import Agent, Counts, Folder, KafkaWire, Result, Settings
from gress_ml.dwcp.links import LINKS
from gress_ml.errors import GressError


def agent(
    folder: Annotated[Path, typer.Argument(help="Folder with the files to move.")],
    link: Annotated[
        list[str] | None,
        typer.Option(help=f"Kind of link: {', '.join(LINKS)}; may be repeated. wan unless given."),
    ] = None,
    vms: Annotated[int, typer.Option(min=1, help="VMs that the files belong to.")] = 4,
    brokers: Annotated[
        str | None, typer.Option(help="Kafka's address; GRESS_KAFKA unless given.")
    ] = None,
    passes: Annotated[
        int, typer.Option(min=0, help="Passes over the folder; 0 goes on until Ctrl-C.")
    ] = 1,
    changed: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of pages that change between passes, in memory."),
    ] = 0.0,
    piece_kib: Annotated[
        int, typer.Option(min=64, max=4096, help="Largest transfer, in KiB.")
    ] = 1024,
    outstanding: Annotated[int, typer.Option(min=1, help="Transfers at once.")] = 16,
    timeout_s: Annotated[
        float, typer.Option(min=0.001, help="Without a decision by then the rules decide.")
    ] = 1.0,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Transfers per second, at most.")
    ] = None,
    dual_run: Annotated[
        float, typer.Option(min=0, max=1, help="Share of transfers that all profiles are run on.")
    ] = 0.05,
    region: Annotated[str, typer.Option(help="Region of the VMs.")] = "us-east-1",
    seed: Annotated[int, typer.Option(help="Seed of links, loads and changes.")] = 17,
    verbose: Annotated[bool, typer.Option(help="Print each transfer.")] = False,
) -> None:
    """Move the files of a folder: ask for a decision, really compress, report what it took.

    Files are only read. The network is a model; compression, its CPU time and the check of the
    bytes are real.
    """
    console = Console(soft_wrap=True, highlight=False)

    def show(result: Result) -> None:
        used, size = result.outcome["actual_algorithm"], result.transfer["payload_size"]
        console.print(
            f"{result.transfer['request_id']} {result.transfer['payload_type']:9} {size:>8} B "
            f"{result.transfer['link_type']:5} {used:4} {result.reason:16} "
            f"{result.outcome['bytes_sent']:>8} B "
            + ("failed" if result.total_ms is None else f"{result.total_ms:9.1f} ms"),
            markup=False,
        )

    try:
        settings = Settings(
            links=tuple(link or ["wan"]),
            vms=vms,
            region=region,
            outstanding=outstanding,
            timeout_s=timeout_s,
            rate=rate,
            passes=passes or None,
            dual_run_share=dual_run,
            seed=seed,
        )
        source = Folder(folder, piece_kib << 10, changed, seed)
        wire = KafkaWire(KafkaSettings.from_env(bootstrap=brokers).client)
        worker = Agent(source, wire, settings, show if verbose else None)
        counts = asyncio.run(_until_stopped(worker))
    except ValueError as error:
        raise GressError(str(error)) from error
    console.print(_table(counts))


async def _until_stopped(worker: Agent) -> Counts:
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(stop, worker.stop)
    return await worker.run()


def _table(counts: Counts) -> Table:
    table = Table(title=f"{counts.offered} transfers")
    table.add_column("what")
    table.add_column("how many", justify="right")
    for name, number in sorted(counts.algorithms.items()):
        table.add_row(f"sent as {name}", str(number))
    for reason, number in sorted(counts.reasons.items()):
        table.add_row(f"because of {reason}", str(number))
    table.add_row("failed", str(counts.failed))
    table.add_row("MB before", f"{counts.payload_bytes / 1e6:.1f}")
    table.add_row("MB sent", f"{counts.sent_bytes / 1e6:.1f}")
    return table
