"""``gress new``: a project of one's own, that runs."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from gress_ml.errors import ConfigError

_LEFT_BEHIND = shutil.ignore_patterns("__pycache__")


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make.", metavar="DIR")],
) -> None:
    """Make a project: an operator in one file, a topology with its tests, a registry of models."""
    _require_room(folder)
    with as_file(files("gress_ml") / "project") as template:
        shutil.copytree(template, folder, ignore=_LEFT_BEHIND, dirs_exist_ok=True)
    typer.echo(f"{folder} is ready. Begin with:")
    typer.echo(f"  cd {folder}")
    typer.echo("  gress check topologies/readings.yaml")
    typer.echo("  gress test topologies/readings_test.yaml")


def _require_room(folder: Path) -> None:
    """A new project takes nothing's place. Raises ConfigError."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file: name a folder that is new or empty")
    if any(folder.iterdir()):
        raise ConfigError(f"{folder} has files in it: name a folder that is new or empty")
