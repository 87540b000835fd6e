"""``gress models``: publish, compare and check model bundles, and move their aliases."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from gress_ml.adapters.kafka.decided import decided_by, read_decided
from gress_ml.adapters.kafka.models import MODELS_TOPIC, announcement
from gress_ml.adapters.kafka.settings import KafkaSettings
from gress_ml.cli import models_tables as tables
from gress_ml.cli.compacted import publish
from gress_ml.errors import BrokerUnavailable, ConfigError, ModelError
from gress_ml.registry import Registry, open_storage
from gress_ml.rfc3339 import rfc3339_now

app = typer.Typer(
    help="Publish, compare and check model bundles, and move their aliases.", no_args_is_help=True
)

Address = Annotated[
    str,
    typer.Option(
        "--registry",
        "--models",
        envvar="GRESS_REGISTRY",
        help="The registry: a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER.",
        metavar="ADDRESS",
    ),
]
Kafka = Annotated[
    str | None,
    typer.Option(help="Bootstrap servers of the workers; default: GRESS_KAFKA, else none."),
]
Name = Annotated[str, typer.Argument(help="Name of the model.", metavar="NAME")]
Reference = Annotated[
    str,
    typer.Argument(
        help="NAME, or NAME@VERSION, NAME@ALIAS, NAME@latest.", metavar="NAME[@REFERENCE]"
    ),
]
MODELS = "models"


@app.command("list")
def list_models(
    name: Annotated[str | None, typer.Argument(help="One model; all unless given.")] = None,
    registry: Address = MODELS,
) -> None:
    """List the versions of models, and the aliases that point to them."""
    models = _open(registry)
    if name is not None:
        models.resolve(name, "latest")  # says what there is when there is no such model
    tables.out().print(tables.versions(models.entries(name)))


@app.command()
def show(model: Reference, registry: Address = MODELS) -> None:
    """Show what is in a bundle. All its checksums are checked."""
    bundle = _open(registry).find(*_reference(model))
    tables.out().print(tables.files(bundle))
    for key, value in tables.facts(bundle):
        tables.out().print(f"{key}: {value}", markup=False)


@app.command()
def diff(model: Reference, other: Reference, registry: Address = MODELS) -> None:
    """Show in what two bundles differ: files, classes, features, scores, tags."""
    models = _open(registry)
    one, two = (models.find(*_reference(text)) for text in (model, other))
    found = tables.differences(one, two)
    if found is None:
        tables.out().print("no difference")
    else:
        tables.out().print(found)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder with the model's files.")],
    name: Name,
    version: Annotated[str, typer.Argument(help="Version, such as 1.2.0.")],
    alias: Annotated[
        list[str] | None, typer.Option("--alias", help="Alias to point at it; repeatable.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="KEY=VALUE to keep with it; repeatable.")
    ] = None,
    registry: Address = MODELS,
    kafka: Kafka = None,
) -> None:
    """Publish a folder of model files as a new version. A version never changes afterwards."""
    tags = _tags(tag or [])
    models = _open(registry)
    bundle = models.push(folder, name, version, created=rfc3339_now(), tags=tags)
    for word in alias or []:
        models.alias(name, word, bundle.version)
    aliases = f" as {', '.join(alias)}" if alias else ""
    where = models.entry(name, bundle.version).where
    tables.out().print(f"{name} {bundle.version} is published{aliases}: {where}", markup=False)
    _announce(kafka, name, (alias or [""])[-1], bundle.version)


@app.command("alias")
def set_alias(
    name: Name,
    alias: Annotated[str, typer.Argument(help="The alias, such as champion.")],
    reference: Annotated[str, typer.Argument(help="Version, alias or latest.")],
    registry: Address = MODELS,
    kafka: Kafka = None,
) -> None:
    """Point an alias at a version. Workers that use it load that version while they go on."""
    version = _open(registry).alias(name, alias, reference)
    tables.out().print(f"{name}@{alias} is {version}", markup=False)
    _announce(kafka, name, alias, str(version))


@app.command()
def rollback(
    name: Name,
    alias: Annotated[str, typer.Argument(help="The alias.")] = "champion",
    to: Annotated[
        str, typer.Option(help="Version to go back to; the one before unless given.")
    ] = "",
    registry: Address = MODELS,
    kafka: Kafka = None,
) -> None:
    """Point an alias back at the version that it had before; again, and it goes one further."""
    version = _open(registry).rollback(name, alias, to)
    tables.out().print(f"{name}@{alias} is {version} again", markup=False)
    _announce(kafka, name, alias, str(version))


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="One model; all unless given.")] = None,
    registry: Address = MODELS,
) -> None:
    """Check every file of every version. Exit 1 when one is not as published."""
    models = _open(registry)
    if name is not None:
        models.resolve(name, "latest")
    faults = models.verify(name)
    entries = models.entries(name)
    for (model, version), fault in faults.items():
        tables.out().print(f"✗ {model} {version}: {fault}", markup=False)
    tables.out().print(f"{len(entries) - len(faults)} of {len(entries)} bundles are whole")
    if faults:
        raise typer.Exit(1)


@app.command()
def pull(
    model: Reference,
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    registry: Address = MODELS,
) -> None:
    """Copy a bundle to a new folder. All its checksums are checked."""
    bundle = _open(registry).pull(*_reference(model), folder)
    tables.out().print(f"{bundle.name} {bundle.version} is in {folder}", markup=False)


@app.command()
def history(
    name: Name,
    topic: Annotated[str | None, typer.Option(help="Of this input topic alone.")] = None,
    partition: Annotated[int | None, typer.Option(help="Of this partition alone.", min=0)] = None,
    offset: Annotated[
        int | None, typer.Option(help="Which version decided this offset.", min=0)
    ] = None,
    registry: Address = MODELS,
    kafka: Kafka = None,
) -> None:
    """Show how a model's aliases moved and, with Kafka, from which offsets on each version decided.

    With --topic, --partition and --offset it answers which version decided that event; exit 1 when
    none is known to.
    """
    asked = (topic, partition, offset)
    if offset is not None and None in asked:
        raise ConfigError("--offset needs --topic and --partition")
    if topic is None and partition is None:
        tables.out().print(tables.changes(_open(registry).history(name)))
    settings = _kafka(kafka)
    if settings is None:
        if asked != (None, None, None):
            raise ConfigError("which version decided is kept in Kafka: name it with --kafka")
        return
    known = asyncio.run(read_decided(settings.client))
    found = [
        one
        for one in known
        if one.model == name and topic in (None, one.topic) and partition in (None, one.partition)
    ]
    if topic is None or partition is None or offset is None:
        tables.out().print(tables.decided(found))
        return
    answer = decided_by(found, topic, partition, offset)
    if not answer:
        tables.out().print(f"no version of {name} is known to have decided {topic}-{partition}")
        raise typer.Exit(1)
    tables.out().print(tables.decided(answer))


def _open(address: str) -> Registry:
    return Registry(open_storage(address))


def _reference(model: str) -> tuple[str, str]:
    name, _, reference = model.partition("@")
    return name, reference or "champion"


def _announce(kafka: str | None, model: str, alias: str, version: str) -> None:
    """Tell the workers, when Kafka is named."""
    settings = _kafka(kafka)
    if settings is None:
        return
    key, value = announcement(model, alias, version, rfc3339_now())
    try:
        asyncio.run(publish(settings, MODELS_TOPIC, key, value))
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"{error}. The registry is changed, the workers were not told: they look at their next "
            f"rebalance, or tell them with `gress models alias {model} {alias or 'ALIAS'} "
            f"{version}`."
        ) from None


def _kafka(bootstrap: str | None) -> KafkaSettings | None:
    """How to reach Kafka; None when none is named."""
    if not bootstrap and not os.environ.get("GRESS_KAFKA"):
        return None
    return KafkaSettings.from_env(bootstrap=bootstrap)


def _tags(texts: list[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise ModelError(f"tag {text!r}: expected KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)
