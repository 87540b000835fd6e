"""``gress dev``: real servers on a bare machine."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gress_ml.errors import ConfigError

if TYPE_CHECKING:
    from gress_ml.dev.servers import Servers, ServerStatus

app = typer.Typer(
    help="Real Kafka, Redis and PostgreSQL on this machine, without containers.",
    no_args_is_help=True,
)


@app.command()
def up(
    mock_kafka: Annotated[
        bool,
        typer.Option(
            "--mock-kafka",
            help="Where no Java can be had: librdkafka's mock cluster instead of Kafka. A lesser "
            "mode: in memory, small, no admin requests.",
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this server (kafka, redis or postgres); may be repeated."),
    ] = None,
) -> None:
    """Start the servers that do not run yet, make the topics, and return when all answer.

    Servers named in GRESS_KAFKA, GRESS_REDIS and GRESS_POSTGRES are used instead of our own.
    """
    console = Console()
    servers = open_servers()
    before = time.monotonic()
    with console.status("starting the servers (the first time, Kafka is fetched: 43 MB)"):
        servers.up(only, mock_kafka=mock_kafka)
        _make_topics(servers)
    console.print(_table(servers.status()))
    console.print(f"up after {time.monotonic() - before:.1f} s; data in {servers.home}")


@app.command()
def status() -> None:
    """Show each server: version, address, process, memory, state."""
    Console().print(_table(open_servers().status()))


@app.command()
def env() -> None:
    """Print the addresses as shell commands, for `eval "$(gress dev env)"`."""
    for name, address in asdict(open_servers().addresses()).items():
        if address:
            typer.echo(f"export GRESS_{name.upper()}={shlex.quote(address)}")


@app.command()
def down(
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Stop the servers, but keep data and ports.")
    ] = False,
) -> None:
    """End the servers and remove their data."""
    servers = open_servers()
    servers.down(keep_data=keep_data)
    kept = f"; data kept in {servers.home}" if keep_data else ""
    Console().print(f"down{kept}")


def _make_topics(servers: Servers) -> None:
    """In our own Kafka only: an existing one is not ours to change, a mock makes its own."""
    from gress_ml.dev.project_topics import create_project_topics

    for row in servers.status():
        if row.kind == "kafka" and row.state == "running":
            create_project_topics(row.address)


def open_servers() -> Servers:
    """Imported here: who runs a worker in production has no servers and not this extra."""
    try:
        from gress_ml.dev.servers import Servers
    except ImportError as error:
        raise ConfigError(
            f"`gress dev` needs the package {error.name}; install `pip install 'gress-ml[servers]'`"
        ) from error
    return Servers()


def redacted(address: str) -> str:
    """The address without its password, also where that holds an ``@`` or stands in the query."""
    shown = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", address)
    return re.sub(r"([?&][^=&]*password=)[^&]*", r"\1***", shown)


def _table(rows: list[ServerStatus]) -> Table:
    table = Table("server", "version", "address", "pid", "memory", "state")
    for row in rows:
        lesser = " (lesser mode)" if row.kind.startswith("mock-") else ""
        table.add_row(
            row.kind + lesser if lesser else row.name,
            row.version,
            redacted(row.address),
            str(row.pid or ""),
            f"{row.memory_bytes / 2**20:.0f} MiB" if row.memory_bytes else "",
            row.state,
        )
    return table
