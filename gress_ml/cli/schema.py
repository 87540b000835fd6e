"""``gress schema``: the JSON Schema of topology files, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gress_ml.topology.catalogue import project_operators
from gress_ml.topology.json_schema import topology_schema
from gress_ml.topology.schemas import named_schemas


def schema(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; standard output else.")
    ] = None,
    project: Annotated[
        Path, typer.Option(help="Project folder; operators in its operators/ are part of it.")
    ] = Path(),
) -> None:
    """Print the JSON Schema of topology files, with the configuration of each operator."""
    catalogue = project_operators(project)
    for problem in catalogue.problems:
        typer.echo(f"{problem.file}: {problem.message}", err=True)
    names = tuple(sorted(named_schemas().schemas))
    text = json.dumps(topology_schema(catalogue, names), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
    if catalogue.problems:
        raise typer.Exit(1)
