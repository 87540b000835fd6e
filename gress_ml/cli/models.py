"""``gress models``: publish, list and check model bundles."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gress_ml.bundle import Bundle
from gress_ml.errors import ModelError
from gress_ml.registry.local import LocalRegistry

app = typer.Typer(help="Publish, list and check model bundles.", no_args_is_help=True)

Models = Annotated[Path, typer.Option("--models", help="Folder of the registry.", metavar="DIR")]
MODELS = Path("models")


@app.command("list")
def list_models(
    name: Annotated[str | None, typer.Argument(help="One model; all unless given.")] = None,
    models: Models = MODELS,
) -> None:
    """List the versions of models, and the aliases that point to them."""
    registry = LocalRegistry(models)
    if name is not None:
        registry.resolve(name, "latest")  # says what there is when there is no such model
    table = _table("model", "version", "aliases")
    for entry in registry.entries(name):
        table.add_row(entry.name, str(entry.version), ", ".join(entry.aliases))
    _out().print(table)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="NAME, or NAME@VERSION, NAME@ALIAS, NAME@latest.")],
    models: Models = MODELS,
) -> None:
    """Show what is in a bundle. All its checksums are checked."""
    name, _, reference = model.partition("@")
    bundle = LocalRegistry(models).find(name, reference or "champion")
    manifest = bundle.manifest
    table = _table("file", "for", "bytes", "sha256", title=f"{bundle.name} {bundle.version}")
    for role, entry in sorted(manifest.files.items()):
        table.add_row(entry.path, role, str(entry.size), entry.sha256[:12])
    _out().print(table)
    for key, value in _facts(bundle):
        _out().print(f"{key}: {value}", markup=False)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder with the model's files.")],
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    version: Annotated[str, typer.Argument(help="Version, such as 1.2.0.")],
    alias: Annotated[
        list[str] | None, typer.Option("--alias", help="Alias to point at it; repeatable.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="KEY=VALUE to keep with it; repeatable.")
    ] = None,
    models: Models = MODELS,
) -> None:
    """Publish a folder of model files as a new version. A version never changes afterwards."""
    tags = _tags(tag or [])
    registry = LocalRegistry(models)
    created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    bundle = registry.push(folder, name, version, created=created, tags=tags)
    for word in alias or []:
        registry.alias(name, word, bundle.version)
    aliases = f" as {', '.join(alias)}" if alias else ""
    _out().print(f"{bundle.name} {bundle.version} is published{aliases}: {bundle.folder}")


@app.command("alias")
def set_alias(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    alias: Annotated[str, typer.Argument(help="The alias, such as champion.")],
    reference: Annotated[str, typer.Argument(help="Version, alias or latest.")],
    models: Models = MODELS,
) -> None:
    """Point an alias at a version."""
    version = LocalRegistry(models).alias(name, alias, reference)
    _out().print(f"{name}@{alias} is {version}")


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="One model; all unless given.")] = None,
    models: Models = MODELS,
) -> None:
    """Check every file of every version. Exit 1 when one is not as published."""
    registry = LocalRegistry(models)
    if name is not None:
        registry.resolve(name, "latest")
    faults = registry.verify(name)
    entries = registry.entries(name)
    for (model, version), fault in faults.items():
        _out().print(f"✗ {model} {version}: {fault}", markup=False)
    _out().print(f"{len(entries) - len(faults)} of {len(entries)} bundles are whole")
    if faults:
        raise typer.Exit(1)


def _facts(bundle: Bundle) -> list[tuple[str, str]]:
    manifest = bundle.manifest
    facts = {
        "folder": str(bundle.folder),
        "classes": ", ".join(manifest.classes),
        "feature schema": manifest.feature_fingerprint[:12],
        "created": manifest.created,
        "scores": ", ".join(f"{key} {value:g}" for key, value in sorted(manifest.scores.items())),
        "tags": ", ".join(f"{key}={value}" for key, value in sorted(manifest.tags.items())),
    }
    return [(key, value) for key, value in facts.items() if value]


def _tags(texts: list[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise ModelError(f"tag {text!r}: expected KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    return table


def _out() -> Console:
    return Console(soft_wrap=True, highlight=False, emoji=False)
