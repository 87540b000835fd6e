"""``gress train``: measure transfers, train the selector, publish it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gress_ml.dwcp.dataset import Plan, Sample, load, measure_samples, save
from gress_ml.dwcp.training.extra import require_libraries
from gress_ml.dwcp.training.train import Trained
from gress_ml.dwcp.training.train import train as train_bundle
from gress_ml.errors import GressError
from gress_ml.registry import Registry, open_storage

NAME = "compression-selector"


def train(
    samples: Annotated[
        Path | None,
        typer.Option(help="Transfers with all arms, one JSON object per line; measured if absent."),
    ] = None,
    save_samples: Annotated[
        Path | None, typer.Option(help="Keep the measured transfers in this file.")
    ] = None,
    vms: Annotated[int, typer.Option(min=4, help="Simulated VMs; link types take turns.")] = 64,
    transfers: Annotated[int, typer.Option(min=4, help="Transfers per VM.")] = 96,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that measure; no more than idle cores.")
    ] = max(1, (os.cpu_count() or 1)),
    seed: Annotated[int, typer.Option(help="Seed of the transfers and of training.")] = 17,
    version: Annotated[str, typer.Option(help="Version to publish.")] = "1.0.0",
    models: Annotated[
        str, typer.Option("--registry", "--models", envvar="GRESS_REGISTRY", help="The registry.")
    ] = "models",
    alias: Annotated[
        str, typer.Option(help="Alias to point at the new version; empty for none.")
    ] = "champion",
) -> None:
    """Train the compression selector on measured transfers and publish the bundle.

    Every profile is really run on every transfer; the label is the one that cost least. Scores are
    of the newest 15 % of the transfers. Nothing is published when an export differs from its model.
    """
    console = Console(soft_wrap=True)
    plan = Plan(vms=vms, transfers_per_vm=transfers, seed=seed)
    require_libraries()
    try:
        measured = _samples(samples, plan, workers, console)
        if save_samples is not None:
            save(measured, save_samples)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with console.status("training"):
                trained = train_bundle(measured, folder, seed)
            console.print(_table(trained))
            _publish(folder, trained, version, models, alias)
    except (ValueError, OSError) as error:
        raise GressError(f"not published: {error}") from error
    console.print(f"published {NAME} {version} in {models}" + (f" as {alias}" if alias else ""))


def _samples(path: Path | None, plan: Plan, workers: int, console: Console) -> list[Sample]:
    if path is not None:
        return load(path)
    count = plan.vms * plan.transfers_per_vm
    with console.status(f"measuring {count} transfers, each with three profiles"):
        return measure_samples(plan, workers)


def _publish(folder: Path, trained: Trained, version: str, models: str, alias: str) -> None:
    registry = Registry(open_storage(models))
    registry.push(
        folder,
        NAME,
        version,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        scores={name: round(value, 6) for name, value in trained.scores.items()},
        training_reference=trained.reference,
    )
    if alias:
        registry.alias(NAME, alias, version)


def _table(trained: Trained) -> Table:
    rows: Mapping[str, int] = trained.rows
    table = Table(title=f"newest {rows['test']} transfers, after training on {rows['train']}")
    table.add_column("score")
    table.add_column("value", justify="right")
    for name, value in trained.scores.items():
        table.add_row(name, f"{value:.4f}")
    return table
