"""``gress docs``: the reference pages, from the declarations in the code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gress_ml.cli.docs_pages import metrics_page, reference_pages
from gress_ml.errors import ConfigError
from gress_ml.topology.catalogue import project_operators
from gress_ml.topology.schemas import named_schemas


def docs(
    output: Annotated[Path, typer.Option(help="Folder for the pages.", metavar="DIR")] = Path(
        "docs/reference"
    ),
    metrics: Annotated[
        Path | None, typer.Option(help="File for the page of metrics; none is written else.")
    ] = None,
    project: Annotated[
        Path, typer.Option(help="Project folder; operators in its operators/ are part of it.")
    ] = Path(),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when a page is out of date.")
    ] = False,
) -> None:
    """Write the reference pages: topology keys, operators, event schemas, metrics."""
    pages = _pages(output, metrics, project)
    if check:
        stale = [path for path, text in pages.items() if not _holds(path, text)]
        for path in stale:
            typer.echo(f"{path} is out of date; run `gress docs`")
        raise typer.Exit(1 if stale else 0)
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    typer.echo(f"{len(pages)} pages written")


def _pages(output: Path, metrics: Path | None, project: Path) -> Mapping[Path, str]:
    catalogue = project_operators(project)
    if catalogue.problems:
        raise ConfigError("; ".join(f"{p.file}: {p.message}" for p in catalogue.problems))
    reference = reference_pages(catalogue, named_schemas().schemas)
    pages = {output / path: text for path, text in reference.items()}
    if metrics is not None:
        pages[metrics] = metrics_page(catalogue)
    return pages


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
