"""``gress check``: all faults of topology files, each with its line and column."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gress_ml.engine.stores import open_models
from gress_ml.errors import ConfigError, Finding
from gress_ml.topology.load import load_topology
from gress_ml.topology.topology import Topology


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


def check(
    files: Annotated[list[Path], typer.Argument(help="Topology files.", metavar="FILE...")],
    format: Annotated[  # noqa: A002 - the name of the option
        Format, typer.Option("--format", help="text: one finding per line; json: one document.")
    ] = Format.TEXT,
) -> None:
    """Check topology files: keys, types, columns, operators, models. Exit 1 when one has faults."""
    results = [(file, *_checked(file)) for file in files]
    if format is Format.JSON:
        _print_json(results)
    else:
        _print_text(results)
    if any(findings for _, _, findings in results):
        raise typer.Exit(1)


Result = tuple[Path, Topology | None, Sequence[Finding]]


def _checked(file: Path) -> tuple[Topology | None, Sequence[Finding]]:
    try:
        return load_topology(file, open_models), ()
    except ConfigError as error:
        return None, error.findings


def _print_text(results: Sequence[Result]) -> None:
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    for file, topology, findings in results:
        for finding in findings:
            console.print(str(finding), markup=False)
        if topology is not None:
            console.print("✓", style="green", end=" ")
            console.print(f"{file}: {_summary(topology)}", markup=False)


def _summary(topology: Topology) -> str:
    counts = (
        (len(topology.inputs), "input"),
        (len(topology.steps), "step"),
        (len(topology.outputs), "output"),
    )
    parts = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts)
    return f"{topology.name}: {parts}"


def _print_json(results: Sequence[Result]) -> None:
    findings = [asdict(finding) for _, _, found in results for finding in found]
    valid = [str(file) for file, topology, _ in results if topology is not None]
    typer.echo(json.dumps({"findings": findings, "valid": valid}, indent=2))
