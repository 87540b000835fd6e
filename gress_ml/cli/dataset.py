"""``gress dataset``: measure payloads, label transfers, show what is there."""

from __future__ import annotations

import os
from dataclasses import replace
from enum import StrEnum
from math import expm1
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from gress_ml.dwcp.dataset.build import shares, write_labelled, write_sample
from gress_ml.dwcp.dataset.measuring import Progress
from gress_ml.dwcp.dataset.measuring import measure as measure_payloads
from gress_ml.dwcp.dataset.reader import Dataset, read
from gress_ml.dwcp.dataset.recipe import FULL, SMALL, Labelling, Recipe
from gress_ml.dwcp.profiles import ALGORITHMS
from gress_ml.dwcp.transfer_time import DEFAULT_CPU_PRICE

app = typer.Typer(help="Make and show the data set of measured transfers.", no_args_is_help=True)


class Size(StrEnum):
    """How much is measured."""

    SMALL = "small"
    FULL = "full"


_RECIPES = {Size.SMALL: SMALL, Size.FULL: FULL}
_ROWS = {Size.SMALL: 10_000, Size.FULL: 100_000}

Folder = Annotated[Path, typer.Argument(help="Folder of the data set.", metavar="DIR")]
HowMuch = Annotated[
    Size, typer.Option(help="A small one takes minutes, a full one most of an hour.")
]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes that measure; no more than there are cores.")
]
Seed = Annotated[int, typer.Option(help="Seed of payloads, links and hosts.")]
Rows = Annotated[int | None, typer.Option(min=1, help="Transfers, at least.")]
Price = Annotated[float, typer.Option(min=0.0, help="Milliseconds that one of CPU costs.")]

_DEFAULT_FOLDER = Path("build/dataset")
_CORES = max(1, os.cpu_count() or 1)


@app.command()
def build(
    folder: Folder = _DEFAULT_FOLDER,
    size: HowMuch = Size.FULL,
    workers: Workers = _CORES,
    seed: Seed = FULL.seed,
    rows: Rows = None,
    cpu_price: Price = DEFAULT_CPU_PRICE,
) -> None:
    """Measure and label. A build that was ended goes on where it was."""
    measure(folder, size, workers, seed)
    label(folder, rows or _ROWS[size], seed, cpu_price)
    show(folder)


@app.command()
def measure(
    folder: Folder = _DEFAULT_FOLDER,
    size: HowMuch = Size.FULL,
    workers: Workers = _CORES,
    seed: Seed = FULL.seed,
) -> None:
    """Run every profile on every payload; one part file per source, kept for the next time."""
    recipe: Recipe = replace(_RECIPES[size], seed=seed)
    with Bar(
        TextColumn("measuring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("sources, {task.fields[payloads]} payloads"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("", total=None, payloads=0)

        def on_progress(now: Progress) -> None:
            bar.update(task, total=now.of, completed=now.sources, payloads=now.payloads)

        measure_payloads(folder, recipe, workers, on_progress=on_progress)


@app.command()
def label(
    folder: Folder = _DEFAULT_FOLDER,
    rows: Rows = None,
    seed: Seed = FULL.seed,
    cpu_price: Price = DEFAULT_CPU_PRICE,
) -> None:
    """Put what is measured on links and hosts, as the link model is now; nothing is compressed."""
    labelling = Labelling(rows=rows or _ROWS[Size.FULL], seed=seed, cpu_price=cpu_price)
    with Console(stderr=True).status("labelling"):
        manifest = write_labelled(folder, labelling)
    _out().print(
        f"{manifest['rows']:,} transfers of {manifest['payloads']:,} payloads "
        f"({manifest['payload_bytes'] / 1e6:,.0f} MB) from {manifest['sources']} sources"
    )


@app.command()
def show(folder: Folder = _DEFAULT_FOLDER) -> None:
    """Label shares per kind of link and class of payload, and how steady the labels are."""
    data = read(folder)
    machine = data.manifest["machine"]
    _out().print(
        f"measured on {machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
    )
    for name, why in data.manifest["lacking"].items():
        _out().print(f"left out: {name}, since {why}")
    for by in ("link_type", "payload_class"):
        _out().print(_shares(data, by))
    _out().print(_noise(data))
    for name, found in data.manifest["noise_floor"]["cpu_spread"].items():
        _out().print(
            f"CPU time of {name} measured again: half differ by less than "
            f"{_factor(found['median'])}, nine of ten by less than {_factor(found['p90'])}"
        )


@app.command()
def sample(
    path: Annotated[Path, typer.Argument(help="Parquet file to write.", metavar="FILE")],
    folder: Annotated[Path, typer.Option(help="Folder of the data set.")] = _DEFAULT_FOLDER,
    rows: Annotated[int, typer.Option(min=1, help="Transfers, at most.")] = 5000,
) -> None:
    """Write whole VMs of each cohort and kind of link as one small Parquet file."""
    count = write_sample(folder, path, rows)
    _out().print(f"{count:,} transfers in {path}, {path.stat().st_size / 1e6:.2f} MB")


def _shares(data: Dataset, by: str) -> Table:
    table = Table(title=f"cheapest arm by {by}", title_justify="left", box=None, pad_edge=False)
    table.add_column(by)
    for name in ("transfers", *ALGORITHMS):
        table.add_column(name, justify="right")
    for value, (count, parts) in shares(data, by).items():
        table.add_row(value, f"{count:,}", *(f"{100 * parts[name]:.1f} %" for name in ALGORITHMS))
    return table


def _noise(data: Dataset) -> Table:
    floor = data.manifest["noise_floor"]
    table = Table(
        title=f"noise floor: {floor['payloads']:,} payloads measured twice",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("link_type")
    for name in ("transfers", "labels that change", "regret", "mean regret"):
        table.add_column(name, justify="right")
    for name, found in floor["labels"].items():
        figures = (found["labels_changed"], found["regret"], found["mean_regret"])
        table.add_row(name, f"{found['transfers']:,}", *(f"{100 * one:.2f} %" for one in figures))
    return table


def _factor(logarithm: float) -> str:
    """How much larger the larger one is, in percent."""
    return f"{100 * expm1(logarithm):.0f} %"


def _out() -> Console:
    return Console(soft_wrap=True, highlight=False)
