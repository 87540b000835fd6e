"""``gress replay``: run a topology over files instead of Kafka."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gress_ml.adapters.clock import SystemClock
from gress_ml.adapters.memory import MemoryFeatures
from gress_ml.engine.stores import open_models
from gress_ml.errors import ConfigError
from gress_ml.offline.replay import replay as replay_file
from gress_ml.offline.run import OfflineRun
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology


def replay(
    file: Annotated[Path, typer.Argument(help="Topology file.", metavar="TOPOLOGY")],
    input: Annotated[  # noqa: A002 - the name of the option
        list[str],
        typer.Option(
            "--input",
            help="Events, one JSON object per line: FILE for the only (or first) input, or "
            "NAME=FILE; repeat it to run several, in this order.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder for <topic>.jsonl files.")],
    key: Annotated[
        str | None, typer.Option(help="Member of the event that is the message key.")
    ] = None,
) -> None:
    """Run a topology over files of events: the same results as on Kafka.

    The feature store is one in memory, empty at first: a replay never writes to the real one.
    """
    topology = load_topology(file, open_models)
    sources = [_source(topology, text) for text in input]
    settings = topology.settings
    run = OfflineRun(
        topology,
        open_models(settings.ml, settings.project),
        MemoryFeatures(SystemClock()),
    )
    console = Console(highlight=False)
    for name, events in sources:
        done = asyncio.run(replay_file(run, topology.inputs[name], events, output, key))
        console.print(
            f"{name}: {done.events:,} events, {done.outputs:,} messages, "
            f"{done.dead_letters:,} dead letters → {output}",
            markup=False,
        )
    run.close()


def _source(topology: Topology, text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator:
        return next(iter(topology.inputs)), Path(text)
    if name not in topology.inputs:
        known = ", ".join(sorted(topology.inputs))
        raise ConfigError(f"--input {text}: no input {name!r}; there are: {known}")
    return name, Path(path)
