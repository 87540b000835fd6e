"""``gress experiment``: set and show how an experiment is split, in every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli.compacted import newest, publish
from gress_ml.engine.stores import open_models
from gress_ml.errors import ConfigError
from gress_ml.experiments import BUCKETS, EXPERIMENTS_TOPIC, Split, encode_split, published_split
from gress_ml.topology.load import load_topology

app = typer.Typer(help="Set and show the split of experiments.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the experiment.")]
Kafka = Annotated[str | None, typer.Option(help="Bootstrap servers; default: GRESS_KAFKA.")]
TopologyFile = Annotated[
    Path | None,
    typer.Option("--topology", help="File of the topology that runs it.", metavar="FILE"),
]
#: Names and ranges stay whole, however narrow the terminal is: it wraps them itself.
_WIDTH = 250


@app.command("set")
def set_split(
    name: Name,
    weights: Annotated[
        list[str], typer.Argument(help="ARM=WEIGHT for each arm.", metavar="ARM=WEIGHT ...")
    ],
    topology: TopologyFile = None,
    kafka: Kafka = None,
) -> None:
    """Split an experiment anew, e.g. fraud-test control=75 treatment=25, in every worker.

    Who has an arm whose share does not fall keeps it. The first split is that of the topology, so
    its file is named the first time.
    """
    wanted = _weights(weights)
    settings = KafkaSettings.from_env(bootstrap=kafka)
    before = _present(settings, name, topology)
    try:
        after = before.changed(wanted)
    except ValueError as error:
        raise ConfigError(f"experiment {name!r}: {error}") from None
    value = encode_split(after, wanted)
    asyncio.run(publish(settings, EXPERIMENTS_TOPIC, name.encode(), value))
    table = Table("arm", "share before", "share", box=None, pad_edge=False)
    for arm, old, new in zip(after.arms, before.sizes, after.sizes, strict=True):
        table.add_row(arm, _percent(old), _percent(new))
    _out().print(table)
    _out().print(f"{_percent(before.moved(after))} of the ids have another arm than before")


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="One experiment; all unless given.")] = None,
    kafka: Kafka = None,
) -> None:
    """Show the splits that were set; an experiment that is not listed is as its topology says."""
    values = _values(KafkaSettings.from_env(bootstrap=kafka))
    if name is not None and name not in values:
        raise ConfigError(f"no split of {name!r} was set: it is as its topology says")
    table = Table("experiment", "arm", "share", "buckets", box=None, pad_edge=False)
    for experiment in sorted(values) if name is None else [name]:
        split = _split(experiment, values[experiment])
        if split is None:
            table.add_row(experiment, "", "", "weights alone: as its topology makes of them")
            continue
        for arm, size in zip(split.arms, split.sizes, strict=True):
            ranges = ", ".join(f"{start}-{end - 1}" for start, end in split.ranges[arm])
            table.add_row(experiment, arm, _percent(size), ranges)
    _out().print(table)


@app.command()
def reset(name: Name, kafka: Kafka = None) -> None:
    """Take back what was set: the split is that of the topology again."""
    settings = KafkaSettings.from_env(bootstrap=kafka)
    asyncio.run(publish(settings, EXPERIMENTS_TOPIC, name.encode(), None))
    _out().print(f"{name} is split as its topology says", markup=False)


def _weights(texts: list[str]) -> Mapping[str, float]:
    weights: dict[str, float] = {}
    for text in texts:
        arm, separator, weight = text.rpartition("=")
        try:
            number = float(weight)
        except ValueError:
            separator = ""
        if not separator:
            raise ConfigError(f"{text!r}: expected ARM=WEIGHT, e.g. control=75")
        if arm in weights:
            raise ConfigError(f"{text!r}: arm {arm!r} has a weight already")
        weights[arm] = number
    return weights


def _present(settings: KafkaSettings, name: str, topology: Path | None) -> Split:
    """The split of now: the one that was set, else that of the topology. Raises ConfigError."""
    value = _values(settings).get(name)
    split = None if value is None else _split(name, value)
    if split is not None:
        return split
    if topology is None:
        raise ConfigError(
            f"no split of {name!r} was set yet: name the file of the topology that runs it with "
            "--topology, to begin from its split"
        )
    for step in load_topology(topology, open_models).steps:
        if getattr(step.config, "experiment", None) == name:
            return Split.of(step.config.shares)  # type: ignore[attr-defined] # as ab_test has them
    raise ConfigError(f"{topology}: no step runs the experiment {name!r}")


def _values(settings: KafkaSettings) -> Mapping[str, bytes]:
    return asyncio.run(newest(settings, EXPERIMENTS_TOPIC))


def _split(name: str, value: bytes) -> Split | None:
    try:
        return published_split(value)
    except ValueError as error:
        raise ConfigError(
            f"topic {EXPERIMENTS_TOPIC}, key {name!r}: {error}. `gress experiment reset {name}` "
            "takes it back"
        ) from None


def _percent(buckets: int) -> str:
    return f"{buckets / BUCKETS:.2%}"


def _out() -> Console:
    return Console(soft_wrap=True, highlight=False, emoji=False, width=_WIDTH)
