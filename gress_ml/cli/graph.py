"""``gress graph``: a topology as a picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gress_ml.engine.stores import open_models
from gress_ml.errors import ConfigError
from gress_ml.topology.load import load_topology
from gress_ml.topology.mermaid import mermaid
from gress_ml.topology.svg import svg


class Picture(StrEnum):
    MERMAID = "mermaid"
    SVG = "svg"


def graph(
    file: Annotated[Path, typer.Argument(help="Topology file.")],
    format: Annotated[  # noqa: A002 - the name of the option
        Picture | None, typer.Option("--format", help="By default svg for a file *.svg.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; standard output else.")
    ] = None,
) -> None:
    """Draw a topology: its topics, steps and the streams between them."""
    try:
        topology = load_topology(file, open_models)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    named_svg = output is not None and output.suffix == ".svg"
    picture = format or (Picture.SVG if named_svg else Picture.MERMAID)
    text = svg(topology) if picture is Picture.SVG else mermaid(topology)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
