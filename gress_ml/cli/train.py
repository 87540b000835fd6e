"""``gress train``: models trained, judged and published."""

from __future__ import annotations

import json
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gress_ml.dwcp.dataset import read
from gress_ml.dwcp.features import feature_spec, feature_spec_v2
from gress_ml.dwcp.training import finish as finishing
from gress_ml.dwcp.training import gates
from gress_ml.dwcp.training.extra import require_libraries
from gress_ml.dwcp.training.report.content import Finished
from gress_ml.dwcp.training.table import table_of
from gress_ml.dwcp.training.train import QUICK, Effort
from gress_ml.dwcp.training.train import train as train_bundle
from gress_ml.errors import GressError, ModelError
from gress_ml.registry import Registry, open_storage
from gress_ml.registry.version import Version
from gress_ml.rfc3339 import rfc3339_now

NAME = "compression-selector"

app = typer.Typer(help="Train models, judge them, publish those that pass.", no_args_is_help=True)


class Schema(StrEnum):
    """The feature schemas that a selector may be trained on."""

    V17 = "dwcp-v17"
    V2 = "dwcp-v2"


_SPECS = {Schema.V17: feature_spec, Schema.V2: feature_spec_v2}


@app.callback()
def train() -> None:
    """Train models, judge them, publish those that pass."""


@app.command()
def selector(
    data: Annotated[
        Path, typer.Option(help="The data set: a folder that `gress dataset` made, or a file.")
    ] = Path("build/dataset"),
    out: Annotated[Path, typer.Option(help="Folder for the report, the files and the logs.")] = (
        Path("build/selector")
    ),
    docs: Annotated[
        Path | None, typer.Option(help="Folder that gets the report as Markdown too.")
    ] = None,
    schema: Annotated[Schema, typer.Option(help="The features to train on.")] = Schema.V2,
    trials: Annotated[int, typer.Option(min=0, help="Trials of the search for trees.")] = 12,
    network_trials: Annotated[int, typer.Option(min=0, help="Trials of networks.")] = 4,
    quick: Annotated[bool, typer.Option(help="The least effort: to see that all works.")] = False,
    seed: Annotated[int, typer.Option(help="Seed; the same data give the same model.")] = 17,
    version: Annotated[str, typer.Option(help="Version to publish.")] = "1.0.0",
    models: Annotated[
        str, typer.Option("--registry", "--models", envvar="GRESS_REGISTRY", help="The registry.")
    ] = "models",
    alias: Annotated[
        str, typer.Option(help="Alias to point at the new version; empty for none.")
    ] = "champion",
    publish: Annotated[bool, typer.Option(help="Whether to publish what passes.")] = True,
    force: Annotated[
        str, typer.Option(help="Why to publish although a gate fails; goes into the manifest.")
    ] = "",
) -> None:
    """Train the compression selector on measured transfers, judge it, and publish the bundle.

    What is tested on are later transfers of payload sources and links that training has not seen.
    Nothing is published when an export differs from its model, or when a gate fails.
    """
    console = Console(soft_wrap=True, highlight=False)
    require_libraries()
    registry = Registry(open_storage(models))
    if publish:
        _require_new(registry, version)
    effort = QUICK if quick else Effort(tree_trials=trials, network_trials=network_trials)
    spec = _SPECS[schema]()
    try:
        measured = read(data)
        table = table_of(measured, spec)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            trained = train_bundle(
                table, spec, folder, effort=effort, seed=seed, say=console.print, logs=out / "logs"
            )
            bundle = registry.open_folder(folder)
            done = finishing.finish(trained, bundle, NAME, version, schema.value, measured.manifest)
            finishing.write_report(done, out, docs, force)
            finishing.write_card(done, folder, force)
            finishing.write_figures(
                out.with_suffix(".json"), finishing.figures(done, _link_error(out.parent))
            )
            console.print(_table(done), f"report: {out / 'report.html'}")
            if publish:
                gates.require(done.gates, force)
                _publish(registry, folder, done, alias, force)
                console.print(f"published {NAME} {version}" + (f" as {alias}" if alias else ""))
    except (ValueError, OSError) as error:
        raise GressError(f"not published: {error}") from error


def _require_new(registry: Registry, version: str) -> None:
    """Raises ModelError before the work begins rather than after it."""
    try:
        wanted = Version.parse(version)
    except ValueError as error:
        raise ModelError(f"{version!r} is not a version: expected something like 1.2.0") from error
    if wanted in registry.versions(NAME):
        raise ModelError(
            f"{NAME} {version} is published already and a version never changes: give a higher "
            "--version, or look first with --no-publish"
        )


def _publish(registry: Registry, folder: Path, done: Finished, alias: str, force: str) -> None:
    share = done.trained.model.trees_share
    registry.push(
        folder,
        NAME,
        done.version,
        created=rfc3339_now(),
        scores={name: round(value, 6) for name, value in done.trained.scores.items()},
        tags=gates.forced(done.gates, force),
        training_reference=done.trained.reference,
        weights={"trees": share, "network": round(1.0 - share, 6)},
    )
    if alias:
        registry.alias(NAME, alias, done.version)


def _link_error(build: Path) -> float | None:
    """The median error of the link model, where its check has been run."""
    path = build / "links.json"
    if not path.exists():
        return None
    found = json.loads(path.read_bytes()).get("link_model_median_error")
    return float(found) if isinstance(found, int | float) else None


def _table(done: Finished) -> Table:
    table = Table(title=f"{done.trained.evaluation.rows:,} transfers that training has not seen")
    for name in ("gate", "figure", "bound", ""):
        table.add_column(name)
    for gate in done.gates:
        colour = "green" if gate.passed else "red"
        table.add_row(gate.name, gate.figure, gate.bound, f"[{colour}]{gate.verdict}[/{colour}]")
    return table
